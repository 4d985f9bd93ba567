"""kill -9 at random moments: what was acknowledged is there afterwards, once and with its value, and nothing that was not sent.

    tests/crash/kill.py [--cycles 2000] [--recovery 500] [--seed N] [--server NAME] [--option=--flag=value]...
    tests/crash/kill.py --at-calls    kill instead on entry to the 1st, 2nd, ... sync, rename, unlink, truncation and write
                                      of a run of a few seconds, until one completes (strace)

A cycle starts the server, sends requests of a virtual-machine fleet, notes in a journal what was sent and what was acknowledged
(bench/rw_send.c), kills the server with SIGKILL at a random moment under load or shortly after it, reads everything back and compares
(bench/rw_check.c). `--recovery` cycles more begin with a kill in the middle of the start-up. Every --per-store cycles begin with
an empty store, so that the comparison stays short; a store grows over hours of samples in that time, so that flushes,
compaction and rollups are among what is interrupted. Options of the server that make those frequent: --option.

The moments are random by --seed, but the machine's time is not: a failure keeps the directory, the stream and the journal."""
import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "bench"))
from servers import BUILD, SERVERS

WORK = os.path.join(BUILD, "crash")


def program(name):
    return os.path.join(BUILD, name)


def make_stream(seed):
    """Two million samples of 500 series, 100 a request: eleven hours at 10 s."""
    path = os.path.join(WORK, f"stream-{seed}.rw")
    subprocess.run([program("fleet_gen"), "--shape", "live", "--series", "500", "--per-request", "100", "--rounds", "4000", "--seed", str(seed), "--out", path],
                   check=True, stdout=subprocess.DEVNULL)
    return path


def read_back(server, stream, journal):
    """Compares what the stopped server's directory holds with the journal. The one place that knows how a store is read."""
    export = server.export()
    check = subprocess.run([program("rw_check"), stream, journal], stdin=export.stdout, capture_output=True, text=True)
    export.stdout.close()
    if export.wait() != 0:
        return {}, f"the export ended with {export.returncode}"
    counts = json.loads(check.stdout) if check.stdout else {}
    return counts, "" if check.returncode == 0 else f"{check.stdout}{check.stderr}"


def first_unacked(journal):
    """Where a sender goes on that has seen these answers; what was sent further on is sent again."""
    acked, number = set(), 0
    with open(journal) as f:
        for line in f:
            what, _, rest = line.partition(" ")
            if what == "acked" and rest.endswith("\n"):
                acked.add(int(rest))
    while number in acked:
        number += 1
    return number


class Lost(Exception):
    pass


class Store:
    """One directory through its crashes."""

    def __init__(self, kind, options, seed, stream):
        self.server = kind(os.path.join(WORK, f"store-{seed}"), options)
        self.server.wipe()
        self.stream = stream
        self.journal = os.path.join(WORK, f"journal-{seed}")
        open(self.journal, "w").close()
        self.next, self.ended = 0, False
        self.ready_times = [0.2]

    def start(self, chance, kill_first):
        server = self.server
        if kill_first:  # somewhere in the start-up, sometimes just after it
            server.launch()
            time.sleep(chance.uniform(0, 1.2) * max(self.ready_times[-5:]))
            server.kill()
        self.ready_times.append(server.start(timeout=60, pause=0.002))

    def load(self, chance):
        """Sends until the kill, which comes under load mostly."""
        rate = chance.choice((5000, 20000, 60000, 200000))
        connections = chance.choice((1, 1, 4))
        sending = chance.uniform(0.02, 0.6)
        sender = subprocess.Popen([program("rw_send"), "--from", str(self.next), "--journal", self.journal, "--rate", str(rate), "--connections", str(connections), "--seconds", str(sending),
                                   self.stream, self.server.address + self.server.write_path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(sending * chance.uniform(0.3, 1) if chance.random() < 0.8 else sending + chance.uniform(0, 0.4))
        ended = chance.random() < 0.03
        if ended:
            self.server.process.send_signal(signal.SIGTERM)
            time.sleep(chance.uniform(0, 0.1))
        self.server.kill()
        out, err = sender.communicate(timeout=30)
        if sender.returncode not in (0, 3) and not (ended and "HTTP/1.1 5" in err):
            raise Lost(f"the load was refused: {err[:500]}")
        self.next = first_unacked(self.journal)
        self.ended = sender.returncode == 0 and json.loads(out)["seconds"] < sending * 0.9

    def cycle(self, chance, kill_first):
        self.start(chance, kill_first)
        self.load(chance)
        counts, complaint = read_back(self.server, self.stream, self.journal)
        if complaint:
            raise Lost(complaint)
        return counts


def at_calls(kind, options, seed, stream):
    """A run for each call; behind the 12th, every third part further. Returns the number of failures."""
    failed = runs = 0
    for call in ("fsync", "fdatasync", "rename", "renameat", "renameat2", "unlink", "unlinkat", "ftruncate", "pwrite64", "writev", "pwritev"):
        number, last = 1, 0
        while True:
            store = Store(kind, options, seed, stream)
            store.server.prefix = ["strace", "-D", "-f", "-q", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}"]
            complete, complaint = run_traced(store)
            runs += 1
            if complaint:
                failed += 1
                print(f"killed on entry to {call} number {number}: {complaint.strip()}", flush=True)
            if complete:
                break
            last, number = number, number + 1 + (number // 3 if number > 12 else 0)
        print(f"{call}: killed at up to {last} calls of a run; {runs} runs so far, {failed} failed", flush=True)
    store.server.wipe()
    return failed


def run_traced(store):
    """Starts, loads, ends; whether it came to its end, and what was wrong with the store before and after another start."""
    server = store.server
    try:
        server.start(timeout=60)
        subprocess.run([program("rw_send"), "--journal", store.journal, "--rate", "60000", "--seconds", "1.5", store.stream, server.address + server.write_path], capture_output=True)
        server.stop()
    except RuntimeError:  # killed in its start
        pass
    complete = server.process.wait(60) != -signal.SIGKILL
    server.prefix = []
    if os.path.isdir(server.dir) and os.path.getsize(store.journal) > 0:
        complaint = read_back(server, store.stream, store.journal)[1]
    else:
        complaint = ""
    server.start(timeout=60)
    server.stop()
    return complete, complaint or read_back(server, store.stream, store.journal)[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=2000)
    parser.add_argument("--recovery", type=int, default=500, help="cycles besides, with a kill during the start-up")
    parser.add_argument("--per-store", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--server", default="parallaxd", choices=SERVERS)
    parser.add_argument("--option", action="append", default=[], help="argument of the server; may be repeated")
    parser.add_argument("--at-calls", action="store_true")
    a = parser.parse_args()
    chance = random.Random(a.seed)
    SERVERS["prometheus"].config = "storage: {tsdb: {out_of_order_time_window: 2h}}\n"  # for what is sent again
    os.makedirs(WORK, exist_ok=True)
    kinds = [False] * a.cycles + [True] * a.recovery
    chance.shuffle(kinds)
    stream = make_stream(a.seed)
    if a.at_calls:
        sys.exit(1 if at_calls(SERVERS[a.server], a.option, a.seed, stream) else 0)
    store, age, samples, unacked, failed, slowest, begin = None, 0, 0, 0, 0, 0.0, time.monotonic()
    acked = 0
    for number, kill_first in enumerate(kinds, 1):
        if store is None or age == a.per_store or store.ended:
            samples += acked
            store, age, acked = Store(SERVERS[a.server], a.option, a.seed, stream), 0, 0
        age += 1
        try:
            counts = store.cycle(chance, kill_first)
            acked = counts["acked"]
            unacked += counts["unacked_present"]
        except (Lost, RuntimeError) as error:
            failed += 1
            store.server.kill()
            kept = os.path.join(WORK, f"failed-{a.seed}-{number}")
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(store.server.dir, kept)
            shutil.copy(store.journal, kept + ".journal")
            print(f"cycle {number}{' (killed in recovery)' if kill_first else ''}, {age} of its store: {str(error).strip()}\n  kept: {kept}", flush=True)
            store = None
        slowest = max([slowest, *(store.ready_times[1:] if store else [])])
        if number % 100 == 0 or number == len(kinds):
            print(f"{number} cycles, {samples + acked:,} acknowledged samples, {unacked:,} times a sample was there that was not acknowledged, {failed} failed, slowest start {slowest:.2f} s, "
                  f"{(time.monotonic() - begin) / number:.2f} s a cycle", flush=True)
    if store:
        store.server.wipe()
    if not failed:
        for path in (stream, os.path.join(WORK, f"journal-{a.seed}")):
            os.unlink(path)
    sys.exit(1 if failed else 0)


main()
