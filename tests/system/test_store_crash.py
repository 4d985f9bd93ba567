"""A short run of tests/crash/kill.py: nothing acknowledged is lost by kill -9, under load and in recovery."""
import subprocess

from harness import *

sys.path.insert(0, os.path.join(TOP, "bench"))
import servers


@test("store: 40 kills under load and 10 in recovery lose nothing and invent nothing")
def _():
    done = subprocess.run([sys.executable, os.path.join(TOP, "tests/crash/kill.py"), "--cycles", "40", "--recovery", "10", "--seed", str(os.getpid())], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


finish()
