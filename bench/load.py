"""More than parallaxd may be able to take, beside reads: what is accepted, what is refused and how, what it costs in memory.

    bench/load.py [--minutes N] [--rate N] [--connections N] [--url PATH]... [--readers N] [--memory SIZE] [--keep]

RATE samples a second are offered (60 samples of each of 14,207 series a request, 500,000 a second unless said otherwise) and every refusal
is taken as an answer, so that the pressure never eases. Meanwhile each URL is fetched in a loop, by as many readers as said. {begin} and
{end} in a URL are the first hour of the stream in milliseconds, {begin_s} and {end_s} in seconds. The two programs share the machine:
on two cores the sender takes part of one. Ends with 1 when an answer was neither 2xx nor 429 or 503, a read failed, or memory
left its budget: an empty server, four times store.memory (samples in memory up to twice, what is sorted and packed for the disk),
64 MiB for requests on their way and what the log holds until it is synced."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from servers import BUILD, Parallax
from streams import program, stream

URLS = [
    "/api/v1/status/tsdb",
    "/api/v1/parallax/export?match0=vm%3D{vm}&begin={begin}&end={end}",
    "/metrics/self",
]
EXTRA_MIB = 64 + 48


class Reader(threading.Thread):
    """Fetches one URL again and again."""

    def __init__(self, server, url):
        super().__init__(daemon=True)
        self.server, self.url, self.ended = server, url, threading.Event()
        self.took, self.statuses, self.bytes = [], {}, 0

    def once(self):
        begin = time.monotonic()
        try:
            with urllib.request.urlopen(self.server.url + self.url, timeout=60) as answer:
                self.bytes += len(answer.read())
                status = answer.status
        except urllib.error.HTTPError as error:
            status = error.code
        except OSError as error:
            status = type(error).__name__
        self.took.append(time.monotonic() - begin)
        self.statuses[status] = self.statuses.get(status, 0) + 1

    def run(self):
        while not self.ended.is_set():
            self.once()
            self.ended.wait(0.02)

    def report(self):
        took = sorted(self.took)
        return {"url": self.url, "reads": len(took), "statuses": self.statuses, "mib": self.bytes / 2**20,
                "ms": {"p50": statistics.median(took) * 1e3, "p99": took[int(0.99 * (len(took) - 1))] * 1e3, "max": took[-1] * 1e3}}

    def failed(self):
        return any(status != 200 for status in self.statuses)


def rss_kib(pid, key="VmRSS"):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(key))


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--minutes", type=float, default=10)
    p.add_argument("--rate", type=float, default=500000)
    p.add_argument("--connections", type=int, default=8)
    p.add_argument("--url", action="append", help="read in a loop, instead of the usual ones")
    p.add_argument("--readers", type=int, default=1, help="of each URL")
    p.add_argument("--memory", type=int, default=64, help="store.memory in MiB")
    p.add_argument("--keep", action="store_true", help="leave the directory and the stream")
    a = p.parse_args()
    seconds = a.minutes * 60
    hours = a.rate * seconds / (14207 * 360) * 1.05 + 1
    path, _ = stream(["--hours", f"{hours:.1f}"], 7)
    begin_ms = int((os.path.getmtime(path + ".json") - hours * 3600) * 1000)
    where = {"begin": begin_ms, "end": begin_ms + 3600000, "begin_s": begin_ms // 1000, "end_s": begin_ms // 1000 + 3600, "vm": "vm-0017"}

    server = Parallax(os.path.join(BUILD, "bench", "load"))
    server.wipe()
    server.extra = [f"--config={os.path.join(BUILD, 'bench', 'load.yaml')}"]
    with open(server.extra[0].removeprefix("--config="), "w") as f:
        f.write(f"store:\n  memory: {a.memory}MiB\n")
    server.start()
    try:
        empty = rss_kib(server.pid)
        readers = [Reader(server, url.format(**where)) for url in a.url or URLS for _ in range(a.readers)]
        cpu = cpu_seconds(server.pid)
        sender = subprocess.Popen([program("rw_send"), "--drop", "--rate", str(a.rate), "--seconds", str(seconds), "--connections", str(a.connections), path,
                                   server.address + server.write_path], stdout=subprocess.PIPE, text=True)
        for reader in readers:
            reader.start()
        while sender.poll() is None:
            time.sleep(1)
        sent = json.loads(sender.stdout.read())
        for reader in readers:
            reader.ended.set()
        for reader in readers:
            reader.join(90)
        peak, cpu, info = rss_kib(server.pid, "VmHWM"), cpu_seconds(server.pid) - cpu, server.info()
        budget = empty / 1024 + 4 * a.memory + EXTRA_MIB
        took, refused = sent["seconds"], sent["refused"]
        print(f"offered   {(sent['samples'] + refused['samples']) / took:12,.0f} samples/s of {a.rate:,.0f} wanted, for {took:.0f} s, {a.connections} connections")
        print(f"accepted  {sent['samples'] / took:12,.0f} samples/s in {sent['requests']:,} requests")
        print(f"refused   {refused['samples'] / took:12,.0f} samples/s: {refused['429']:,} with 429, {refused['503']:,} with 503")
        print(f"acks      p50 {sent['ack_ms']['p50']:.1f} ms, p99 {sent['ack_ms']['p99']:.1f} ms, at most {sent['ack_ms']['max']:.1f} ms")
        print(f"memory    {peak / 1024:.1f} MiB resident at most, {empty / 1024:.1f} empty, budget {budget:.0f}; head {info['head']['bytes'] / 2**20:.1f} MiB, store.memory {a.memory}")
        if sent["outcome"]:
            print(f"the sender ended early with {sent['outcome']}: {'an answer that was no refusal' if sent['outcome'] == 1 else 'a connection broke'}")
        print(f"CPU       parallaxd {cpu / took:.2f} cores, sender {sent['own_cpu_seconds'] / took:.2f}")
        for reader in readers:
            r = reader.report()
            print(f"read      {r['reads']:6} x {r['url']}: {r['statuses']}, p50 {r['ms']['p50']:.1f} ms, p99 {r['ms']['p99']:.1f}, at most {r['ms']['max']:.1f}; {r['mib']:.0f} MiB")
        return sent["outcome"] != 0 or any(reader.failed() for reader in readers) or peak / 1024 > budget
    finally:
        if a.keep:
            server.stop()
        else:
            server.wipe()
            os.unlink(path)
            os.unlink(path + ".json")


if __name__ == "__main__":
    sys.exit(main())
