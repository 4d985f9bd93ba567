"""Streams of remote-write requests, made by bench/fleet_gen.c and kept in build/bench/streams, since they take a while."""
import hashlib
import json
import os
import subprocess
import sys
import time

from servers import BUILD

STREAMS = os.path.join(BUILD, "bench", "streams")
STREAM_AGE = 3 * 86400  # older ones are made anew: all servers take them as recent


def program(name):
    path = os.path.join(BUILD, name)
    if not os.path.exists(path):
        sys.exit(f"{path} is missing: ninja -C build {name}")
    return path


def stream(options, seed, ago=30):
    """Path and description of a load that ended so many seconds ago, made when there is none that is young."""
    os.makedirs(STREAMS, exist_ok=True)
    with open(program("fleet_gen"), "rb") as f:
        key = hashlib.sha1(f.read() + repr((options, seed) if ago == 30 else (options, seed, ago)).encode()).hexdigest()[:16]
    path = os.path.join(STREAMS, key + ".rw")
    if os.path.exists(path + ".json") and time.time() - os.path.getmtime(path + ".json") < STREAM_AGE:
        with open(path + ".json") as f:
            return path, json.load(f)
    done = subprocess.run([program("fleet_gen"), *options, "--seed", str(seed), "--end", str(int(time.time()) - ago), "--out", path], capture_output=True, text=True, check=True)
    with open(path + ".json", "w") as f:
        f.write(done.stdout)
    return path, json.loads(done.stdout)
