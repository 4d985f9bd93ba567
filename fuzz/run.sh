#!/bin/bash
# make fuzz: every target with libFuzzer, ASan and UBSan, for FUZZ_SECONDS each (600).
# New inputs that reach new code are left in build/fuzz/corpus; crashes in build/fuzz/crash-*.
set -eu
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-600}
[ -e build/fuzz/build.ninja ] || CC=clang CXX=clang++ meson setup build/fuzz -Dfuzzers=true -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1 >/dev/null
# shellcheck disable=SC2046
ninja -C build/fuzz $(cd fuzz && ls fuzz_*.c | sed 's/\.c$//') >build/fuzz/build.log || { cat build/fuzz/build.log; exit 1; }
failed=0
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
for program in build/fuzz/fuzz_*; do
        [ -f "$program" ] && [ -x "$program" ] || continue
        name=${program##*/fuzz_}
        mkdir -p "build/fuzz/corpus/$name"
        if (cd build/fuzz && "./fuzz_$name" -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=5 -print_final_stats=1 \
                "corpus/$name" "../../fuzz/corpus/$name" >"fuzz_$name.log" 2>&1); then
                echo "clean  $name: $(awk '/stat::number_of_executed_units/ { print $2 }' "build/fuzz/fuzz_$name.log") runs in $seconds s"
        else
                failed=1
                echo "CRASH  $name: see build/fuzz/fuzz_$name.log"
        fi
done
exit $failed
