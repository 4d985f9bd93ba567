#!/bin/bash
# make demo (demo.sh lab) and make run (demo.sh host): starts Parallax from build/ in the foreground, shows a
# live table, and on Ctrl-C takes down what it started and nothing else.
#   PARALLAX_LISTEN   address of the HTTP listener, default 127.0.0.1:9177
#   PARALLAX_SECONDS  end by itself after this many seconds (for scripts)
set -euo pipefail
mode=$1
top=$(cd "$(dirname "$0")/.." && pwd)
listen=${PARALLAX_LISTEN:-127.0.0.1:9177}
work=$top/build/$mode
run=$work/run
pids=$work/pids
lab=$top/tests/lab/lab.sh

[ "$(id -u)" -eq 0 ] || { echo "parallax: this needs root: libvirt, cgroups and the guests' processes are read" >&2; exit 1; }

started_at() { awk '{ print $22 }' "/proc/$1/stat" 2>/dev/null || true; }

stop_programs() {
        [ -e "$pids" ] || return 0
        tac "$pids" | while read -r pid start; do
                [ "$(started_at "$pid")" = "$start" ] || continue
                kill "$pid" 2>/dev/null || true
                for _ in $(seq 50); do [ "$(started_at "$pid")" = "$start" ] || break; sleep 0.1; done
                [ "$(started_at "$pid")" != "$start" ] || kill -9 "$pid" 2>/dev/null || true
        done
        rm -f "$pids"
}

down() {
        trap '' INT TERM
        trap - EXIT
        [ -z "${table:-}" ] || kill "$table" 2>/dev/null || true
        echo
        echo "parallax: taking down what was started"
        stop_programs
        [ "$mode" != lab ] || "$lab" down "$work/state"
        exit "${1:-0}"
}

start() { # start PROGRAM ARGS...: in its own session, so that Ctrl-C reaches this script alone
        local name=$1; shift
        setsid "$top/build/$name" --config "$work/parallax.yaml" "$@" </dev/null >"$work/$name.log" 2>&1 &
        echo "$! $(started_at $!)" >>"$pids"
}

mkdir -p "$run"
stop_programs # leavings of a run that was killed
trap 'down 0' INT TERM
trap 'down 1' EXIT
[ "$mode" != lab ] || { echo "parallax: starting four guests and two containers"; "$lab" up "$work/state"; }

cat >"$work/parallax.yaml" <<YAML
runtime_dir: $run
listeners:
  - address: "$listen"
    metrics: all
libvirt:
  worker: $top/build/parallax-virt
store:
  directory: $work/store
YAML
start parallaxd
for _ in $(seq 50); do [ -S "$run/api.sock" ] && break; sleep 0.1; done
start parallax-sensor

url=http://$listen
for _ in $(seq 100); do
        "$top/build/parallax" --runtime-dir "$run" ls 2>/dev/null | grep -q running && break
        if ! kill -0 "$(head -n 1 "$pids" | cut -d' ' -f1)" 2>/dev/null; then
                echo "parallax: parallaxd ended:" >&2
                tail -n 5 "$work/parallaxd.log" >&2
                exit 1
        fi
        sleep 0.1
done
cat <<EOT

Parallax is running.
  metrics    $url/metrics          (libvirt exporter profiles: ?profile=inovex, ?profile=zhangjianweibj)
             $url/metrics/node     $url/metrics/container     $url/metrics/self
  terminal   build/parallax --runtime-dir $run ls | show NAME | doctor
  logs       $work/parallaxd.log, $work/parallax-sensor.log
  Ctrl-C takes down what was started here.

EOT
if [ -t 1 ] && [ -z "${PARALLAX_SECONDS:-}" ]; then
        "$top/build/parallax" --runtime-dir "$run" ls --watch &
        table=$!
        wait "$table" || true
else
        end=$((SECONDS + ${PARALLAX_SECONDS:-1000000000}))
        while [ $SECONDS -lt $end ]; do
                "$top/build/parallax" --runtime-dir "$run" ls || true
                for _ in 1 2 3 4 5 6 7 8 9 10; do [ $SECONDS -lt $end ] && sleep 1; done
        done
fi
down 0
