"""The time-series servers that bench/store.py and tests/crash/kill.py run: Parallax and its peers of Debian, each on a port
and a directory of its own, all spoken to over HTTP and the command line only.

A server's CPU is that of all its threads (/proc/PID/stat); of idle ones in nanoseconds (/proc/PID/task/*/schedstat)."""
import contextlib
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("PARALLAX_BUILD", os.path.join(TOP, "build"))
TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def directory_bytes(path):
    """Allocated bytes of all files, each once."""
    seen, total = set(), 0
    for folder, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(OSError):
                st = os.lstat(os.path.join(folder, name))
                if (st.st_dev, st.st_ino) not in seen:
                    seen.add((st.st_dev, st.st_ino))
                    total += st.st_size
    return total


class Server:
    """One server process on `directory`, which is made, and removed by wipe()."""
    name = None
    write_path = "/api/v1/write"
    ready_path = "/-/ready"

    def __init__(self, directory, extra=()):
        self.dir = os.path.abspath(directory)
        self.extra = list(extra)
        self.prefix = []  # a tracer's command
        self.process = None
        self.port = free_port()

    # What differs.
    @classmethod
    def available(cls):
        return shutil.which(cls.name) is not None

    @classmethod
    def version(cls):
        """Of the Debian package."""
        return subprocess.run(["dpkg-query", "-W", "-f", "${Version}", cls.name], capture_output=True, text=True).stdout

    def command(self):
        raise NotImplementedError

    def compact(self):
        """Brings what is stored into its final form, as far as the server offers that."""

    def disk(self):
        """{"bytes", "index_bytes" or None, "samples" or None} of the compacted data; the server runs."""
        raise NotImplementedError

    # What is common.
    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"http://{self.address}"

    @property
    def pid(self):
        return self.process.pid

    def get(self, path, timeout=60, method="GET"):
        with urllib.request.urlopen(urllib.request.Request(self.url + path, method=method, data=b"" if method == "POST" else None), timeout=timeout) as answer:
            return answer.read()

    def launch(self):
        """Starts the process and does not wait for it."""
        os.makedirs(self.dir, exist_ok=True)
        with open(self.dir + ".log", "ab") as log:
            self.process = subprocess.Popen(self.prefix + self.command() + self.extra, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=os.path.dirname(self.dir))

    def is_ready(self):
        with contextlib.suppress(OSError, urllib.error.URLError):
            self.get(self.ready_path, timeout=5)
            return True
        return False

    def start(self, timeout=300, pause=0.005):
        """Seconds until it is ready."""
        self.launch()
        begin = time.monotonic()
        while not self.is_ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {self.log_tail()}")
            if time.monotonic() > begin + timeout:
                raise RuntimeError(f"{self.name} is not ready after {timeout} s: {self.log_tail()}")
            time.sleep(pause)
        return time.monotonic() - begin

    def stop(self, timeout=120):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def wipe(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.unlink(self.dir + ".log")

    def log_tail(self):
        with contextlib.suppress(OSError), open(self.dir + ".log", errors="replace") as f:
            return f.read()[-2000:]

    def cpu(self):
        with open(f"/proc/{self.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def cpu_ns(self):
        total = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{self.pid}/task/{task}/schedstat") as f:
                total += int(f.read().split()[0])
        return total

    def rss(self):
        """KiB now and at most."""
        with open(f"/proc/{self.pid}/status") as f:
            values = dict(line.split(":", 1) for line in f)
        return int(values["VmRSS"].split()[0]), int(values["VmHWM"].split()[0])

    def settle(self, timeout=300, quiet=6, share=0.01):
        """Waits until the server has used less than `share` of a core for `quiet` seconds: background work is over."""
        end, since, last = time.monotonic() + timeout, None, self.cpu_ns()
        while time.monotonic() < end:
            began = time.monotonic()
            time.sleep(1)
            now = self.cpu_ns()
            idle = now - last < share * 1e9 * (time.monotonic() - began) + 1e6
            last = now
            since = (since or began) if idle else None
            if since and time.monotonic() - since >= quiet:
                return True
        return False

    def metric(self, pattern, path="/metrics"):
        """Sum of the samples of the server's own metrics whose text matches."""
        return sum(float(line.rsplit(" ", 1)[1]) for line in self.get(path).decode().splitlines() if re.match(pattern, line))


class Prometheus(Server):
    name = "prometheus"
    config = "global: {}\n"

    def command(self):
        with open(self.dir + ".yml", "w") as f:
            f.write(self.config)
        return ["prometheus", f"--config.file={self.dir}.yml", f"--storage.tsdb.path={self.dir}", f"--web.listen-address={self.address}",
                "--web.enable-remote-write-receiver", "--web.enable-admin-api", "--storage.tsdb.retention.time=100y"]

    def disk(self):
        """A snapshot with the head, so that everything is in blocks."""
        name = json.loads(self.get("/api/v1/admin/tsdb/snapshot", timeout=600, method="POST"))["data"]["name"]
        folder = os.path.join(self.dir, "snapshots", name)
        samples = sum(json.load(open(meta))["stats"]["numSamples"] for meta in glob.glob(folder + "/*/meta.json"))
        index = sum(os.path.getsize(path) for path in glob.glob(folder + "/*/index"))
        found = {"bytes": directory_bytes(folder), "index_bytes": index, "samples": samples, "blocks": len(glob.glob(folder + "/*/meta.json"))}
        shutil.rmtree(folder)
        return found

    def export(self):
        """All samples as text lines; the server must not run."""
        return subprocess.Popen(["promtool", "tsdb", "dump", self.dir], stdout=subprocess.PIPE)

    def wipe(self):
        super().wipe()
        with contextlib.suppress(OSError):
            os.unlink(self.dir + ".yml")


class VictoriaMetrics(Server):
    name = "victoria-metrics"
    ready_path = "/health"

    def command(self):
        return ["victoria-metrics", f"-storageDataPath={self.dir}", f"-httpListenAddr={self.address}", "-retentionPeriod=100y", "-loggerLevel=WARN"]

    def compact(self):
        self.get("/internal/force_flush")
        self.get("/internal/force_merge", timeout=600)
        time.sleep(1)
        while self.metric("vm_active_force_merges") > 0:
            time.sleep(0.2)

    def disk(self):
        return {"bytes": directory_bytes(os.path.join(self.dir, "data")) + directory_bytes(os.path.join(self.dir, "indexdb")),
                "index_bytes": directory_bytes(os.path.join(self.dir, "indexdb")), "samples": int(self.metric(r'vm_rows\{type="storage/'))}

    def export(self):
        """As text lines, through its API: it has no reader of a stopped directory."""
        self.port = free_port()
        self.start()
        lines = []
        for row in self.get('/api/v1/export?match[]={__name__!=""}&reduce_mem_usage=1', timeout=600).decode().splitlines():
            row = json.loads(row)
            labels = "{" + ",".join(f"{k}={json.dumps(v)}" for k, v in row["metric"].items()) + "}"
            lines += [f"{labels} {'NaN' if v is None else v!r} {t}\n" for t, v in zip(row["timestamps"], row["values"])]
        self.kill()
        with open(self.dir + ".export", "w") as f:
            f.writelines(lines)
        return subprocess.Popen(["cat", self.dir + ".export"], stdout=subprocess.PIPE)

    def wipe(self):
        super().wipe()
        with contextlib.suppress(OSError):
            os.unlink(self.dir + ".export")


class Parallax(Server):
    name = "parallaxd"
    config = ""  # of parallax.yaml, where the defaults will not do
    program = os.path.join(BUILD, "parallaxd")
    tool = os.path.join(BUILD, "parallax")

    @classmethod
    def available(cls):
        if not os.path.exists(cls.program):
            return False
        done = subprocess.run([cls.program, "--help"], capture_output=True, text=True)
        return "--data-dir" in done.stdout + done.stderr

    @classmethod
    def version(cls):
        return subprocess.run([cls.tool, "--version"], capture_output=True, text=True).stdout.strip() or "?"

    def command(self):
        command = [self.program, "--no-collect", f"--listen={self.address}", f"--data-dir={self.dir}"]
        if self.config:
            with open(self.dir + ".yaml", "w") as f:
                f.write(self.config)
            command.append(f"--config={self.dir}.yaml")
        return command

    def wipe(self):
        super().wipe()
        with contextlib.suppress(OSError):
            os.unlink(self.dir + ".yaml")

    def info(self):
        return json.loads(self.get("/api/v1/parallax/store"))

    def compact(self):
        job = json.loads(self.get("/api/v1/parallax/store/compact", method="POST"))
        deadline = time.monotonic() + 3600
        while job["state"] in ("waiting", "running"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"still compacting: {job}")
            time.sleep(0.1)
            job = json.loads(self.get(f"/api/v1/parallax/store/job?id={job['job']}"))
        if job["state"] != "done":
            raise RuntimeError(f"cannot compact: {job}")

    def disk(self):
        """The whole directory, log and index included; the tiers apart when the store tells them."""
        found = {"bytes": directory_bytes(self.dir), "index_bytes": None, "samples": None}
        tiers = self.tiers()
        raw = tiers.pop("raw", None)
        if raw:
            found["samples"] = raw.get("samples")
            found["rollup_bytes"] = {name: tier["bytes"] for name, tier in tiers.items()}
            found["rollup_share"] = {name: self.per_day(tier) / self.per_day(raw) for name, tier in tiers.items() if self.per_day(tier)}
            found["bytes"] -= sum(found["rollup_bytes"].values())
        return found

    def tiers(self):
        """{"raw": {"bytes", "samples", "min_ms", "max_ms"}, "5m": ..., "1h": ...} or {}."""
        tiers = self.info().get("tiers", {})
        if isinstance(tiers, list):
            tiers = {tier.get("name", tier.get("tier")): tier for tier in tiers}
        return tiers if all("bytes" in tier for tier in tiers.values()) else {}

    @staticmethod
    def per_day(tier):
        covered = tier.get("max_ms", 0) - tier.get("min_ms", 0)
        return tier["bytes"] / covered if covered > 0 else 0

    def export(self):
        return subprocess.Popen([self.tool, "store", "export", "--data-dir", self.dir], stdout=subprocess.PIPE)


SERVERS = {c.name: c for c in (Parallax, Prometheus, VictoriaMetrics)}
