#!/bin/sh
# The references in docs/reference/ are generated from tables/: they must be what the tables say now.
set -eu
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
build/gen-reference "$out"
for file in "$out"/*; do
        diff -u "docs/reference/$(basename "$file")" "$file" || { echo "docs/reference/$(basename "$file") is stale: run make docs" >&2; exit 1; }
done
