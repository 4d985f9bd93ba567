#!/bin/bash
# make bench: what watching costs, on real domains, beside the peers in the same run. Figures on standard output.
#   DOMAINS  how many tiny domains (200)      ROUNDS  rounds of 10 s to average over (12)      BENCH  all, fleet, node or footprint
#   MINUTES  of the footprint (12)
set -eu
cd "$(dirname "$0")/.."
LAB_GUESTS= tests/lab/lab.sh up build/bench/state
trap 'tests/lab/lab.sh down build/bench/state' EXIT
# What sleeps disturbs no measurement.
docker stop -t 0 lab-worker >/dev/null 2>&1 || true
part=${BENCH:-all}
case $part in all | fleet) python3 bench/fleet.py ;; esac
case $part in all | node) python3 bench/node.py ;; esac
case $part in all | footprint) python3 bench/footprint.py ;; esac
