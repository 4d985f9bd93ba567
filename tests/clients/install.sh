#!/bin/sh
# Installs the npm clients of package.json into build/clients, once for each state of that file. Prints the directory.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
to=${1:-$here/../../build/clients}
mkdir -p "$to"
if ! cmp -s "$here/package.json" "$to/installed.json"; then
        cp "$here/package.json" "$to/package.json"
        # Peers are for pages; what the clients themselves need is named in package.json.
        (cd "$to" && npm install --silent --no-audit --no-fund --legacy-peer-deps --ignore-scripts) >"$to/npm.log" 2>&1 ||
                { cat "$to/npm.log" >&2; exit 1; }
        cp "$here/package.json" "$to/installed.json"
fi
echo "$to"
