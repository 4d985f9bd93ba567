#!/bin/sh
# Checks the layering of src/: which folder may include which (ranks below), that every header compiles alone,
# that libvirt is seen by src/virt (and the main file of the worker that runs it) only and pthread by src/rt only, and that no file is over MAX_LINES.
# Prints each offence as FILE:LINE: what is wrong, and exits 1 if there was one.
#
#   tests/layers.sh [TREE]      TREE has src/ and tables/; default: the tree this script is in
#
# CC and CPPFLAGS are used for the headers.
set -u

MAX_LINES=1200
tree=${1:-$(dirname "$0")/..}
cd "$tree" || exit 2
[ -d src ] || { echo "layers: no src/ in $(pwd)" >&2; exit 2; }

work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 2' HUP INT TERM

find src -type f \( -name '*.[ch]' -o -name '*.cc' -o -name '*.hh' \) | LC_ALL=C sort >"$work/files"
[ -s "$work/files" ] || { echo "layers: no source files in $(pwd)/src" >&2; exit 2; }

# Ranks, includes, libvirt, pthread and length in one reading.
# shellcheck disable=SC2016
check_text() {
        tr '\n' '\0' <"$work/files" | LC_ALL=C xargs -0 awk -v max="$MAX_LINES" '
        BEGIN {
                n = split("base 0 model 1 rt 1 wire 2 store 2 virt 2 auth 2 net 3 query 3 collect 3 " \
                          "ingest 4 forward 4 export 4 scrape 4 reconcile 4 alert 4 api 5 daemon 6 sensor 6 broker 6 agent 6 cli 6", t, " ")
                for (i = 1; i < n; i += 2)
                        rank[t[i]] = t[i + 1] + 0
        }
        function offence(what) {
                printf "%s:%d: %s\n", FILENAME, FNR, what
        }
        function may_see(own, other) {
                if (own == other)
                        return 1
                # Settings name tiers and lanes: rt is above model within their rank.
                if (own == "rt" && other == "model")
                        return 1
                return rank[other] < rank[own]
        }
        function check_own_include(path,    parts, other) {
                if (path ~ /(^|\/)\.\.?\//) {
                        offence("\"" path "\": includes are written from src/ on")
                        return
                }
                # Tables are data without a rank.
                if (path ~ /\.def$/ && path !~ /\//)
                        return
                if (path !~ /\//) {
                        offence("\"" path "\": includes are written from src/ on (\"" folder "/" path "\")")
                        return
                }
                split(path, parts, "/")
                other = parts[1]
                if (!(other in rank))
                        offence("\"" path "\": folder " other " has no rank")
                else if (!may_see(folder, other))
                        offence("\"" path "\": " folder " (rank " rank[folder] ") may not include " other \
                                " (rank " rank[other] ")")
        }
        FNR == 1 {
                split(FILENAME, at, "/")
                folder = at[2]
                if (at[3] == "" || !(folder in rank)) {
                        offence("folder " folder " has no rank in tests/layers.sh")
                        rank[folder] = -1
                }
        }
        FNR == max + 1 { offence("file is over " max " lines") }
        /^[ \t]*#[ \t]*include[ \t]*"/ {
                path = $0
                sub(/^[^"]*"/, "", path)
                sub(/".*$/, "", path)
                if (path ~ /^libvirt\// || path ~ /^pthread\.h$/)
                        offence("\"" path "\": a system header is included with <>")
                else
                        check_own_include(path)
        }
        /^[ \t]*#[ \t]*include[ \t]*<(libvirt\/|libvirt-)/ && folder != "virt" && FILENAME != "src/sensor/virt_main.c" { offence("libvirt is for src/virt alone") }
        /^[ \t]*#[ \t]*include[ \t]*<(pthread|threads)\.h>/ && folder != "rt" { offence("threads are for src/rt alone") }
        /(^|[^A-Za-z0-9_])pthread_[a-z_]+[ \t]*\(/ && folder != "rt" { offence("threads are for src/rt alone") }
        '
}

# A header that needs another include before it, or that is an error by itself, does not stand alone.
check_headers() {
        flags=
        for package in libxml-2.0 libcap jansson libmicrohttpd libvirt libuv; do
                flags="$flags $(pkg-config --cflags "$package" 2>/dev/null)"
        done
        grep '\.h$' "$work/files" | while IFS= read -r header; do
                printf '#include "%s"\n' "${header#src/}" >"$work/alone.c"
                # shellcheck disable=SC2086
                ${CC:-cc} -std=gnu17 -D_GNU_SOURCE -fsyntax-only -Wall -Wextra -Werror -Isrc -Itables $flags ${CPPFLAGS:-} \
                        "$work/alone.c" >"$work/errors" 2>&1 && continue
                awk -v header="$header" '
                        /: (fatal )?error:/ {
                                place = what = $0
                                sub(/: (fatal )?error:.*/, "", place)
                                sub(/.*: (fatal )?error: /, "", what)
                                printf "%s:%s: does not compile alone: %s\n", header, \
                                       (split(place, p, ":") > 1 && p[1] == header ? p[2] : "1"), \
                                       (p[1] == header ? what : place ": " what)
                                found = 1
                                exit
                        }
                        { last = $0 }
                        END { if (!found) printf "%s:1: does not compile alone: %s\n", header, last }' "$work/errors"
        done
}

check_text >"$work/offences" || { echo "layers: the check itself failed" >&2; exit 2; }
check_headers >>"$work/offences"
if [ -s "$work/offences" ]; then
        cat "$work/offences"
        echo "layers: $(wc -l <"$work/offences") offence(s)" >&2
        exit 1
fi
echo "layers: $(wc -l <"$work/files") files in order"
