#!/bin/bash
# All tests that fit in 20 minutes on 2 cores. Prints one line a test and, last, "N passed, N failed".
#   tests/run.sh [layers|unit|fuzz|query|system]...   only these parts
set -u
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8
passed=0
failed=0
parts=${*:-layers unit fuzz query system}

pass() { passed=$((passed + 1)); }
fail() { failed=$((failed + 1)); echo "FAILED: $1"; }

# run TITLE COMMAND...: one test by its exit code; its output is shown when it fails.
run() {
        local title=$1 out; shift
        if out=$("$@" 2>&1); then pass; echo "ok      $title"; else fail "$title"; echo "$out" | tail -n 40; fi
}

# cmocka_all DIRECTORY: runs its test programs, one on each processor, and leaves PROGRAM.out and PROGRAM.code.
cmocka_all() {
        # shellcheck disable=SC2016
        find "$1" -maxdepth 1 -name 'test_*' -type f -perm -u+x | sort |
                xargs -P "$(nproc)" -I '{}' sh -c 'timeout 300 "$1" >"$1.out" 2>&1; echo $? >"$1.code"' sh '{}'
}

# cmocka PROGRAM: counts the tests inside what it left; a program that died is one more failure.
cmocka() {
        local out code ok bad
        out=$(cat "$1.out"); code=$(cat "$1.code")
        ok=$(grep -c '^\[       OK \]' <<<"$out")
        bad=$(grep -c '^\[  FAILED  \] [a-z_0-9]*$' <<<"$out")
        [ $code -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
        [ $code -ne 0 ] || [ "$ok" -gt 0 ] || bad=1 # a program without a test is a defect
        passed=$((passed + ok)); failed=$((failed + bad))
        if [ "$bad" -gt 0 ]; then echo "FAILED: $1 ($bad)"; tail -n 40 <<<"$out"; else echo "ok      ${1#build/} ($ok)"; fi
}

# tap COMMAND...: counts "ok" and "not ok" lines; ending badly without a failed test is a failure.
tap() {
        local out code ok bad
        out=$(mktemp)
        timeout 900 "$@" 2>&1 | tee "$out"; code=${PIPESTATUS[0]}
        ok=$(grep -c '^ok ' "$out"); bad=$(grep -c '^not ok ' "$out")
        if [ "$code" -ne 0 ] && [ "$bad" -eq 0 ] || [ $((ok + bad)) -eq 0 ]; then bad=$((bad + 1)); echo "FAILED: $* ended with $code"; fi
        passed=$((passed + ok)); failed=$((failed + bad))
        rm -f "$out"
}

# script FILE [OPTION...]: counts the evaluations of a test script of PromQL.
script() {
        local out code ok bad
        out=$(timeout 300 build/asan/promql_script "${@:2}" "$1" 2>&1); code=$?
        ok=$(grep -c '^PASS ' <<<"$out"); bad=$(grep -c '^FAIL ' <<<"$out")
        [ $code -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
        [ $code -ne 0 ] || [ "$ok" -gt 0 ] || bad=1
        passed=$((passed + ok)); failed=$((failed + bad))
        if [ "$bad" -gt 0 ]; then echo "FAILED: $* ($bad)"; grep -A 3 '^FAIL ' <<<"$out" | tail -n 40; else echo "ok      $* ($ok)"; fi
}

for part in $parts; do
        case $part in
        layers)
                run "layers: who includes whom" tests/layers.sh
                run "packages: every program that is started is in the list" tests/packages_check.py
                run "docs: the generated references are those of the tables" tests/docs_check.sh
                ;;
        unit)
                [ -e build/asan/build.ninja ] || meson setup build/asan -Db_sanitize=address,undefined -Doptimization=1 -Db_lundef=false >/dev/null
                if ! ninja -C build/asan >build/asan.log 2>&1; then fail "build with ASan and UBSan"; tail -n 30 build/asan.log; fi
                export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
                rm -f build/asan/test_*.out build/asan/test_*.code
                cmocka_all build/asan
                for program in build/asan/test_*.code; do cmocka "${program%.code}"; done
                ;;
        fuzz)
                for program in build/asan/replay_*; do
                        [ -x "$program" ] && [ -f "$program" ] || continue
                        name=${program##*/replay_}
                        run "fuzz corpus: $name" "$program" "fuzz/corpus/$name"
                done
                ;;
        query)
                for file in tests/promql/*.test; do script "$file"; script "$file" --flush; done
                run "differential: 1,500 queries beside Prometheus 2.42" timeout 300 python3 tests/differential/differential.py -n 1500
                ;;
        system)
                if [ "$(id -u)" -ne 0 ]; then
                        fail "system tests need root: libvirt, cgroups, guests"
                else
                        tests/lab/lab.sh up build/test/state
                        for script in tests/system/test_*.py; do echo "# $script"; tap python3 "$script"; done
                        tests/lab/lab.sh down build/test/state
                fi
                ;;
        esac
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
