"""node_*: CPU for a look and a scrape beside node_exporter's for a scrape, of the same series."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/system"))
from harness import *

SCRAPES = 200


def cpu_ns(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/schedstat") as f:
            total += int(f.read().split()[0])
    return total


port = free_port()
exporter = subprocess.Popen(["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{port}", "--collector.interrupts", "--collector.processes", "--collector.tcpstat", "--web.disable-exporter-metrics"], stderr=subprocess.DEVNULL)
try:
    wait_for(lambda: subprocess.run(["curl", "-sf", "-o", "/dev/null", f"http://127.0.0.1:{port}/metrics"]).returncode == 0, 10, "node_exporter")
    begin = cpu_ns(exporter.pid)
    for _ in range(SCRAPES):
        theirs = fetch(f"http://127.0.0.1:{port}/metrics")[0]
        time.sleep(0.05)
    peer = (cpu_ns(exporter.pid) - begin) / SCRAPES / 1e3
finally:
    exporter.kill()
    exporter.wait()

# libvirt and containers off: what is left are the host's looks, one a second, and the scrapes.
with Parallax("libvirt:\n  uri: \"\"\n", intervals=("1s", "600s", "600s")) as p:
    with open(p.config) as f:
        text = f.read()
    with open(p.config, "w") as f:
        f.write(text.replace("containers:\n  interval: 1s\n", "containers:\n  docker: false\n  podman: false\n  lxc: false\n  services: false\n"))
    p.sensor.send_signal(signal.SIGTERM)
    p.sensor.wait()
    p.sensor = p._start("parallax-sensor")
    wait_for(lambda: any(n == "node_load1" for n, _ in p.scrape("/metrics/node")), 10, "node_*")
    time.sleep(2)
    begin = cpu_ns(p.daemon.pid) + cpu_ns(p.sensor.pid)
    for _ in range(60):
        ours = fetch(p.url + "/metrics/node")[0]
        time.sleep(1)
    mine = (cpu_ns(p.daemon.pid) + cpu_ns(p.sensor.pid) - begin) / 60 / 1e3
names = lambda body: {key for key in parse(body.decode()) if key[0].startswith("node_")}
shared = len(names(ours) & names(theirs))
print(f"node_*: parallax {mine:.0f} us per look and scrape of {len(names(ours))} series, node_exporter {peer:.0f} us per scrape of {len(names(theirs))}; {shared} series are the same")
print(f"CPU per series: {(mine / len(names(ours))) / (peer / len(names(theirs))):.3f} of node_exporter's   (goal 0.5)")
