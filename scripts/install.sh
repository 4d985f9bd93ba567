#!/bin/sh
# Installs what is missing of the named uses of scripts/packages.txt: install.sh build lab ...
# Services that come with a package are not started by its installation.
set -eu
cd "$(dirname "$0")/.."

missing=
for use in "$@"; do
        for entry in $(awk -v use="$use" '$1 == use { print $2 ":" $3 }' scripts/packages.txt); do
                package=${entry%%:*} program=${entry#*:}
                [ -n "$program" ] && command -v "$program" >/dev/null && continue
                dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
        done
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
        echo "parallax: these Debian packages are missing; install them as root:" >&2
        echo "  apt-get install --no-install-recommends$missing" >&2
        exit 1
fi

echo "parallax: installing$missing"
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
        trap 'rm -f $policy' EXIT
        trap 'exit 130' INT TERM
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
apt-get install -qq -y --no-install-recommends $missing >/dev/null 2>&1 || {
        apt-get update -qq
        apt-get install -qq -y --no-install-recommends $missing >/dev/null
}
