"""The same samples and the same random queries in Parallax and in Debian's Prometheus 2.42: the answers must be equal to 1e-12, or differ
for a listed reason (justified.py).

    tests/differential/differential.py [-n N] [--seed S] [--keep-going N] [--data-seed S] [--only NUMBER] [--theirs-only]

Case k of a seed is always the same query. What fails is made smaller before it is shown. Ends with a line
"N same, N justified, N failed"."""
import argparse
import collections
import concurrent.futures
import http.client
import json
import os
import random
import re
import shutil
import sys
import tempfile
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "bench"))
import compare
import data
import grammar
import justified
import servers

SHRINK_SECONDS = 10
FEATURES = "promql-experimental-functions"


class Case:
    """One query: instant or range."""

    def __init__(self, seed, number, begin_s, end_s):
        rng = random.Random(f"{seed}/{number}")
        self.number = number
        g = grammar.Grammar(rng, begin_s, end_s)
        self.range = rng.random() < 0.5
        if self.range:
            step = rng.choice((7, 13, 15, 30, 47, 60, 61, 91, 300, 600))
            start = rng.randint(begin_s, end_s) + 0.5
            self.times = {"start": start, "end": start + step * rng.randint(0, 40), "step": step}
            self.tree = g.query()
        else:
            self.times = {"time": rng.randint(begin_s, end_s) + 0.5}
            self.tree = g.instant_query()

    @property
    def text(self):
        return self.tree.text()

    @property
    def ordered(self):
        return self.text.startswith(("sort", "topk", "bottomk"))

    def with_tree(self, tree, times=None):
        copy = object.__new__(Case)
        copy.number, copy.tree, copy.times = self.number, tree, times or self.times
        copy.range = "step" in copy.times
        return copy

    def with_text(self, text):
        return self.with_tree(grammar.Node("vector", text.replace("{", "{{").replace("}", "}}")))

    def path(self, old):
        return ("/api/v1/query_range" if self.range else "/api/v1/query"), {"query": self.tree.text(old), **self.times}

    def shown(self):
        return f"{self.text}   " + " ".join(f"{k}={v}" for k, v in self.times.items())


class Client:
    """One connection a thread."""

    def __init__(self, address, old):
        self.address, self.old, self.local = address, old, threading.local()

    def ask(self, case):
        path, parameters = case.path(self.old)
        text = urllib.parse.urlencode(parameters)
        for attempt in (1, 2):
            connection = getattr(self.local, "connection", None)
            if connection is None:
                connection = self.local.connection = http.client.HTTPConnection(self.address, timeout=60)
            try:
                if case.number % 2:
                    connection.request("GET", path + "?" + text)
                else:
                    connection.request("POST", path, text, {"Content-Type": "application/x-www-form-urlencoded"})
                answer = connection.getresponse()
                return answer.status, json.loads(answer.read())
            except (OSError, http.client.HTTPException):
                self.local.connection = None
                if attempt == 2:
                    raise


class Comparison:
    def __init__(self, ours, theirs):
        self.ours, self.theirs = ours, theirs

    def __call__(self, case):
        """None, or (kind, text) of what differs."""
        return compare.difference(self.ours.ask(case), self.theirs.ask(case), case.ordered)


def shrink(case, found, differs):
    """The smallest case near it that differs for a reason that is not listed."""
    end = time.monotonic() + SHRINK_SECONDS
    progress = True

    def candidates():
        at = re.search(r" at (\d+\.\d+): ", found[1])
        if case.range and at:
            yield case.with_tree(case.tree, {"time": float(at.group(1))})
        if case.range and case.times["end"] > case.times["start"]:
            steps = int((case.times["end"] - case.times["start"]) / case.times["step"])
            for k in sorted({0, steps // 2, steps}):
                yield case.with_tree(case.tree, {"time": case.times["start"] + k * case.times["step"]})
            yield case.with_tree(case.tree, {**case.times, "end": case.times["start"] + steps // 2 * case.times["step"]})
        for tree in grammar.smaller(case.tree):
            yield case.with_tree(tree)

    while progress and time.monotonic() < end:
        progress = False
        for candidate in candidates():
            if time.monotonic() > end:
                break
            other = differs(candidate)
            if other and not justified.explain(candidate, *other):
                case, found, progress = candidate, other, True
                break
    return case, found


def start(folder, theirs_only):
    prometheus = servers.Prometheus(folder + "/prometheus", ["--enable-feature=native-histograms"])
    prometheus.start()
    started = [prometheus]
    if not theirs_only:
        parallax = servers.Parallax(folder + "/parallax")
        parallax.config = f"query:\n  features: {FEATURES}\n"
        parallax.start()
        started.append(parallax)
    return started


def explain_inside(case, differs):
    """Of a case that is as small as can be: why a part of it differs."""
    for node in case.tree.nodes():
        if node.type not in ("vector", "scalar"):
            continue
        part = case.with_tree(node)
        found = differs(part)
        row = justified.explain_small(part, *found, differs.ours.ask) if found else None
        if row:
            return row
    return None


def check(cases, differs, most):
    """Counts, and the failures as (case, what differs, the smallest case, what differs there)."""
    counts, reasons, failures = collections.Counter(), collections.Counter(), []
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for case, found in zip(cases, pool.map(differs, cases)):
            row = justified.explain(case, *found) if found else None
            if found and not row:
                small, what = shrink(case, found, differs)
                row = explain_inside(small, differs)
            counts["justified" if row else "failed" if found else "same"] += 1
            if row:
                reasons[row.name] += 1
            elif found:
                failures.append((case, found, small, what))
                if len(failures) >= most:
                    pool.shutdown(cancel_futures=True)
                    break
    return counts, reasons, failures


def statistics(cases, client):
    """Of 2.42 alone: how many queries say something."""
    counts = collections.Counter()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for case, (status, body) in zip(cases, pool.map(client.ask, cases)):
            outcome = body.get("error", "")[:60] if body["status"] == "error" else "some" if body["data"]["result"] else "empty"
            counts[outcome if outcome in ("some", "empty") else f"{status} {outcome}"] += 1
    for outcome, n in counts.most_common(25):
        print(f"{n:7} {outcome}")


def run(a, folder):
    begin_ms = (int(time.time()) // 86400 - 1) * 86400_000 + 6 * 3_600_000 if not a.begin else a.begin * 1000
    everything = data.make(a.data_seed, begin_ms)
    started = start(folder, a.theirs_only)
    try:
        for server in started:
            sent = data.send(everything, server.url + server.write_path)
        print(f"# {sent} samples of {len(everything)} series from {begin_ms // 1000}", flush=True)
        begin_s = begin_ms // 1000
        numbers = [a.only] if a.only is not None else range(a.n)
        cases = [Case(a.seed, k, begin_s + 1800, begin_s + data.HOURS * 3600 + 300) for k in numbers]
        theirs = Client(started[0].address, True)
        if a.theirs_only:
            statistics(cases, theirs)
            return True
        differs = Comparison(Client(started[1].address, False), theirs)
        began = time.monotonic()
        counts, reasons, failures = check(cases, differs, a.keep_going)
        seconds = time.monotonic() - began
        for case, found, small, what in failures:
            print(f"DIFFERS {case.number} ({found[0]}): {case.shown()}\n  smallest ({what[0]}): {small.shown()}\n  ours / theirs: {what[1]}", flush=True)
        for row in justified.ROWS:
            if reasons[row.name]:
                print(f"# {reasons[row.name]} {row.name}: {row.reason}")
        print(f"# {sum(counts.values()) / seconds:.0f} queries/s, seed {a.seed}")
        print(f"{counts['same']} same, {counts['justified']} justified, {counts['failed']} failed")
        return not failures
    finally:
        for server in started:
            server.wipe()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data-seed", type=int, default=1)
    parser.add_argument("--begin", type=int, help="of the samples, a Unix time (yesterday, 6:00 UTC)")
    parser.add_argument("--only", type=int, help="this case alone")
    parser.add_argument("--keep-going", type=int, default=20, help="stop after so many failures")
    parser.add_argument("--theirs-only", action="store_true", help="count what Prometheus answers")
    a = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="parallax-differential-")
    try:
        ok = run(a, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if ok else 1)


main()
