"""Debian's Prometheus writes what it scrapes to the store, and goes on over a kill of it: both hold the same samples."""
import math
import subprocess
import tempfile

from harness import *

sys.path.insert(0, os.path.join(TOP, "bench"))
import servers

LINE = re.compile(r'(.*\S) (\S+) (\d+)')

def samples(export):
    """Text of an export -> {((label, value), ...), ms): value}; a sample twice is an error."""
    found = {}
    for line in export.stdout:
        line = line.decode().rstrip("\n")
        if not line or line.startswith("#"):
            continue
        series, number, ms = LINE.fullmatch(line).groups()
        name, _, labels = series.partition("{")
        key = (tuple(sorted(LABEL.findall(labels) + ([("__name__", name)] if name else []))), int(ms))
        assert key not in found, f"twice: {line}"
        # NaNs with a payload are told apart by the store's export, not by promtool's dump.
        found[key] = math.nan if number == "StaleNaN" or number.startswith("NaN(") else float(number)
    assert export.wait() == 0, f"the export ended with {export.returncode}"
    return found

def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))

folder = tempfile.mkdtemp(prefix="parallax-peers-")
store = servers.Parallax(folder + "/store")
store.start()
prometheus = servers.Prometheus(folder + "/prometheus")
prometheus.config = f"""\
global: {{scrape_interval: 1s}}
scrape_configs:
- job_name: prometheus
  static_configs: [{{targets: ['{prometheus.address}']}}]
- job_name: parallax
  metrics_path: /metrics/self
  static_configs: [{{targets: ['{store.address}']}}]
remote_write:
- url: {store.url}/api/v1/write
  queue_config: {{min_backoff: 50ms, max_backoff: 200ms}}
"""
prometheus.start()

def counter(name):
    return prometheus.metric(re.escape(name) + r"[{ ]")

try:

    @test("prometheus: its samples are accepted, none fails")
    def _():
        wait_for(lambda: counter("prometheus_remote_storage_samples_total") > 5000, 60, "5,000 samples sent")
        assert counter("prometheus_remote_storage_samples_failed_total") == 0
        assert counter("prometheus_remote_storage_samples_dropped_total") == 0

    @test("prometheus: goes on after the store was killed and came back")
    def _():
        before = counter("prometheus_remote_storage_samples_total")
        store.kill()
        time.sleep(3)
        store.start()
        wait_for(lambda: counter("prometheus_remote_storage_samples_total") > before + 5000, 60, "5,000 more samples sent")
        assert counter("prometheus_remote_storage_samples_failed_total") == 0

    @test("prometheus: its metric names, labels, times and values are what the store has")
    def _():
        prometheus.stop()  # sends what is left
        store.stop()
        theirs, ours = samples(prometheus.export()), samples(store.export())
        begin = min(ms for _, ms in ours)
        missing = [key for key in theirs if key[1] >= begin and key not in ours]
        assert not missing, f"{len(missing)} of {len(theirs)} are missing: {missing[:3]}"
        other = [key for key in ours if key in theirs and not same(ours[key], theirs[key])]
        assert not other, f"{len(other)} have another value: {[(key, ours[key], theirs[key]) for key in other[:3]]}"
        invented = [key for key in ours if key not in theirs]
        assert not invented, f"{len(invented)} were not sent: {invented[:3]}"
        assert any(dict(labels)["__name__"] == "up" and dict(labels)["job"] == "parallax" for labels, _ in ours)
finally:
    for server in (prometheus, store):
        server.wipe()
    shutil.rmtree(folder, ignore_errors=True)

finish()
