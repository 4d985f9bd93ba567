#!/bin/sh
# The references in docs/reference/ are generated from tables/: they must be what the tables say now. The pages of PromQL's
# functions have each function once, marked when it is experimental.
set -eu
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
build/gen-reference "$out"
for file in "$out"/*; do
        diff -u "docs/reference/$(basename "$file")" "$file" || { echo "docs/reference/$(basename "$file") is stale: run make docs" >&2; exit 1; }
done

# NAME or NAME* for each row of functions.def, and for each row of a page.
sed -n 's/^FUNCTION([A-Z0-9_]*, "\([a-z0-9_]*\)",.*, \(true\|false\))$/\1 \2/p' src/query/functions.def |
        sed 's/ true$/*/; s/ false$//' | LC_ALL=C sort >"$out/functions"
for page in docs/query-functions.md docs/query-functions.zh.md; do
        sed -n 's/^| `\([a-z0-9_]*\)(.*)`\( \*\)\{0,1\} | .* |$/\1\2/p' "$page" | tr -d ' ' | LC_ALL=C sort >"$out/page"
        diff "$out/functions" "$out/page" || { echo "$page has other functions than src/query/functions.def" >&2; exit 1; }
done
