#!/bin/bash
# make bench: what watching costs, on real domains, beside the peers in the same run. Figures on standard output.
#   DOMAINS  how many tiny domains (200)      ROUNDS  rounds of 10 s to average over (12)
set -eu
cd "$(dirname "$0")/.."
tests/lab/lab.sh up build/bench/state
trap 'tests/lab/lab.sh down build/bench/state' EXIT
for domain in lab-busy lab-io; do virsh -q -c qemu:///system destroy $domain >/dev/null 2>&1 || true; done
python3 bench/fleet.py
python3 bench/node.py
