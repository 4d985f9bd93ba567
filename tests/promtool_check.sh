#!/bin/sh
# Runs every exposition, with every name that Parallax has, through `promtool check metrics`. What promtool
# says about names and labels that other exporters fixed is listed in tests/promtool_known.txt, a pattern a
# line; anything else fails.
#
#   tests/promtool_check.sh TEST_EXPORT_PROGRAM
set -eu
program=$1
known=$(dirname "$0")/promtool_known.txt
if ! command -v promtool >/dev/null; then
        echo "skipped: no promtool"
        exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$program" --dump "$folder"
failed=0
for file in "$folder"/*.txt; do
        said=$folder/said
        status=0
        promtool check metrics <"$file" >"$said" 2>&1 || status=$?
        # 3 is "lint found something"; 1 is "not an exposition".
        if [ "$status" -ne 0 ] && [ "$status" -ne 3 ]; then
                echo "$(basename "$file"): promtool refuses it:"
                head -20 "$said"
                failed=1
        elif grep -vxEf "$known" "$said" | sort -u >"$folder/unknown" && [ -s "$folder/unknown" ]; then
                echo "$(basename "$file"): promtool complains:"
                cat "$folder/unknown"
                failed=1
        fi
done
exit $failed
