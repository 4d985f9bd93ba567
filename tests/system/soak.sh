#!/bin/bash
# make soak: the long forms of the system tests.
set -eu
cd "$(dirname "$0")/../.."
tests/lab/lab.sh up build/soak/state
trap 'tests/lab/lab.sh down build/soak/state' EXIT
STUCK_SECONDS=120 python3 tests/system/test_stuck.py
CHURN=200 python3 tests/system/test_churn.py
