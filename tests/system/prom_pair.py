"""Parallax and Debian's Prometheus with the same samples, for the tests of the API: what one answers, the other
must answer."""
import gzip
import math
import random
import tempfile
import urllib.parse

from harness import *

sys.path.insert(0, os.path.join(TOP, "bench"))
import servers

STEP = 15
POINTS = 960  # four hours


def series():
    """(metric, type, labels, value of point i) of everything that both hold."""
    rng = random.Random(4)
    for n in range(6):
        instance = f"host-{n}:9100"
        offset = rng.randrange(1000)
        yield "up", "gauge", {"job": "node", "instance": instance}, lambda i, n=n: float(i % 50 != n)
        host = {"job": "node", "instance": instance}
        idle, user = {**host, "mode": "idle"}, {**host, "mode": "user"}
        yield "demo_cpu_seconds_total", "counter", idle, lambda i, o=offset: float((i * 14 + o) % 9000)
        yield "demo_cpu_seconds_total", "counter", user, lambda i, o=offset: (i * 1.37 + o) / 3
        yield "demo_temperature_celsius", "gauge", host, lambda i, n=n: 20 + 7 * math.sin(i / 40 + n)
    extremes = [0.0, -0.0, 1e-7, 1.5e-6, 1e6, 1e15, 1e21, 1.7976931348623157e308, 5e-324, math.inf, -math.inf, math.nan,
        123456789.125, 0.1 + 0.2]
    for n, v in enumerate(extremes):
        yield "demo_extreme", "gauge", {"n": str(n)}, lambda i, v=v: v
    yield "demo_text", "gauge", {"text": "<b>&\"quoted\" \\ ünï \u2028 日本"}, lambda i: 1.0
    yield "demo_gone", "gauge", {"job": "node"}, lambda i: 3.0 if i < 400 else None


def openmetrics(begin):
    lines, last = [], None
    for metric, kind, labels, value in sorted(series(), key=lambda s: s[0]):
        family = metric[: -len("_total")] if kind == "counter" else metric
        if metric != last:
            lines += [f"# HELP {family} Help of {metric}.", f"# TYPE {family} {kind}"]
            last = metric
        text = ",".join('%s="%s"' % (k, v.replace("\\", "\\\\").replace('"', '\\"')) for k, v in labels.items())
        for i in range(POINTS):
            v = value(i)
            if v is not None:
                number = repr(v).replace("inf", "Inf").replace("nan", "NaN")
                lines.append(f"{metric}{{{text}}} {number} {begin + i * STEP}")
    return "\n".join(lines) + "\n# EOF\n"


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body, parse_float=str)  # 1.100 and 1.1 are two texts

    def __repr__(self):
        return f"{self.status} {self.body[:600]!r}"


def call(url, method="GET", params=None, body=None, headers=None, timeout=60):
    """One request; `params` in the URL, or as a form when the method is POST."""
    headers = dict(headers or {})
    text = urllib.parse.urlencode(params or [], doseq=True)
    if method == "POST" and body is None:
        body = text.encode()
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    elif text:
        url += "?" + text
    request = urllib.request.Request(url, method=method, data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.headers, error.read())


class Pair:
    """ours and theirs, `begin` and `end` of the samples in seconds."""

    def __init__(self, config="", extra=()):
        self.dir = tempfile.mkdtemp(prefix="parallax-pair-")
        self.end = int(time.time()) // STEP * STEP - STEP
        self.begin = self.end - (POINTS - 1) * STEP
        text = openmetrics(self.begin)
        with open(self.dir + "/samples.om", "w") as f:
            f.write(text)
        self.theirs = servers.Prometheus(self.dir + "/prometheus")
        os.makedirs(self.theirs.dir)
        subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", self.dir + "/samples.om",
            self.theirs.dir],
                       check=True, capture_output=True)
        self.ours = servers.Parallax(self.dir + "/parallax")
        with open(self.dir + "/parallax.yaml", "w") as f:
            f.write(f"runtime_dir: {self.dir}\n" + config)
        self.ours.extra = ["--config", self.dir + "/parallax.yaml", *extra]
        try:
            self.theirs.start()
            self.ours.start()
            self.fill(text)
        except BaseException:
            self.close()
            raise

    def fill(self, text):
        head, lines, parts = [], [], []
        for line in text.split("\n")[:-2]:
            (head if line.startswith("#") else lines).append(line)
        for at in range(0, len(lines), 20000):
            parts.append("\n".join(head + lines[at:at + 20000]) + "\n# EOF\n")
        for part in parts:
            answer = call(self.ours.url + "/api/v1/parallax/import", "POST", body=part.encode(),
                          headers={"Content-Type": "application/openmetrics-text; version=1.0.0"})
            assert answer.status in (200, 204), answer

    def ask(self, path, params=(), method="GET", **kw):
        """(ours, theirs)"""
        return tuple(call(s.url + path, method, params, **kw) for s in (self.ours, self.theirs))

    def close(self):
        for server in (self.theirs, self.ours):
            server.wipe()
        shutil.rmtree(self.dir, ignore_errors=True)
