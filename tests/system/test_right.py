"""Right: the same numbers as virsh, docker and top, for the same domains at the same time.

A counter is right when it lies between two readings of the reference, one before our look could have
begun and one after the scrape; a gauge when it is within 2 % of either."""
import json
import subprocess
import time

from harness import *

GAUGE_TOLERANCE = 0.02


def between(mine, before, after, what, slack=0.0):
    assert mine is not None, f"{what}: absent; reference {before}..{after}"
    low, high = min(before, after) - slack, max(before, after) + slack
    assert low <= mine <= high, f"{what}: {mine} not in {low}..{high}"


def near(mine, before, after, what):
    assert mine is not None, f"{what}: absent; reference {before}..{after}"
    for reference in (before, after):
        if abs(mine - reference) <= GAUGE_TOLERANCE * max(abs(reference), 1):
            return
    assert min(before, after) <= mine <= max(before, after), f"{what}: {mine}, reference {before} and {after}"


virsh("resume", "lab-busy", check=False)
virsh("resume", "lab-io", check=False)
with Parallax() as p:
    wait_for(
        lambda: any(n == "libvirt_domain_block_stats_read_bytes_total" for n, _ in p.scrape()), 30, "block statistics"
    )
    NAMES = ["lab-idle", "lab-busy", "lab-io", "lab-leak"]

    def paired(domain):
        """Reference, pause longer than every interval, ours, pause for progress, reference."""
        before = domstats(domain)
        time.sleep(4.5)
        mine = p.scrape()
        time.sleep(0.2)
        return before, mine, domstats(domain)

    @test("right: counters of domstats lie within one look's progress")
    def _():
        for domain in NAMES:
            before, mine, after = paired(domain)
            # libvirt reads a domain without a cpuacct cgroup in ticks of 10 ms
            seconds = lambda d, k: float(d[k]) / 1e9
            between(
                value(mine, "libvirt_domain_info_cpu_time_seconds_total", domain=domain),
                seconds(before, "cpu.time"),
                seconds(after, "cpu.time"),
                domain + " cpu.time",
                0.02,
            )
            between(
                value(mine, "libvirt_domain_vcpu_time_seconds_total", domain=domain, vcpu="0"),
                seconds(before, "vcpu.0.time"),
                seconds(after, "vcpu.0.time"),
                domain + " vcpu.0.time",
                0.02,
            )
            between(
                value(mine, "libvirt_domain_vcpu_delay_seconds_total", domain=domain, vcpu="0"),
                seconds(before, "vcpu.0.delay"),
                seconds(after, "vcpu.0.delay"),
                domain + " vcpu.0.delay",
            )
            for name, key in (
                ("read_bytes", "rd.bytes"),
                ("write_bytes", "wr.bytes"),
                ("read_requests", "rd.reqs"),
                ("write_requests", "wr.reqs"),
                ("flush_requests", "fl.reqs"),
            ):
                between(
                    value(mine, f"libvirt_domain_block_stats_{name}_total", domain=domain, target_device="vda"),
                    float(before["block.0." + key]),
                    float(after["block.0." + key]),
                    f"{domain} {key}",
                )
            for name, key in (("read_time", "rd.times"), ("write_time", "wr.times"), ("flush_time", "fl.times")):
                between(
                    value(mine, f"libvirt_domain_block_stats_{name}_seconds_total", domain=domain),
                    seconds(before, "block.0." + key),
                    seconds(after, "block.0." + key),
                    f"{domain} {key}",
                    1e-9,
                )
            for direction, key in (("receive", "rx"), ("transmit", "tx")):
                for kind, field in (("bytes", "bytes"), ("packets", "pkts"), ("errors", "errs"), ("drops", "drop")):
                    between(
                        value(mine, f"libvirt_domain_interface_stats_{direction}_{kind}_total", domain=domain),
                        float(before[f"net.0.{key}.{field}"]),
                        float(after[f"net.0.{key}.{field}"]),
                        f"{domain} {key} {field}",
                    )

    @test("right: gauges of domstats and dommemstat are within 2 %")
    def _():
        for domain in NAMES:
            before, mine, after = paired(domain)
            for name, key in (
                ("unused_bytes", "unused"),
                ("available_bytes", "available"),
                ("usable_bytes", "usable"),
                ("actual_balloon_bytes", "current"),
                ("disk_cache_bytes", "disk_caches"),
                ("rss_bytes", "rss"),
            ):
                near(
                    value(mine, "libvirt_domain_memory_stats_" + name, domain=domain),
                    1024 * float(before["balloon." + key]),
                    1024 * float(after["balloon." + key]),
                    f"{domain} {key}",
                )
            near(
                value(mine, "libvirt_domain_info_virtual_cpus", domain=domain),
                float(before["vcpu.current"]),
                float(after["vcpu.current"]),
                domain + " vcpus",
            )
            near(
                value(mine, "libvirt_domain_info_maximum_memory_bytes", domain=domain),
                1024 * float(before["balloon.maximum"]),
                1024 * float(before["balloon.maximum"]),
                domain + " maximum",
            )
            near(
                value(mine, "libvirt_domain_info_vstate", domain=domain),
                float(before["state.state"]),
                float(after["state.state"]),
                domain + " state",
            )
            near(
                value(mine, "libvirt_domain_block_stats_capacity_bytes", domain=domain),
                float(before["block.0.capacity"]),
                float(after["block.0.capacity"]),
                domain + " capacity",
            )

    @test("right: %CPU of the busy guest is within 2 points of top")
    def _():
        pid = qemu_pid("lab-busy")
        for _ in range(3):  # the windows of both are a second apart: a load that swings is looked at again
            top = subprocess.Popen(
                ["top", "-b", "-d", "10", "-n", "2", "-p", str(pid)], stdout=subprocess.PIPE, text=True
            )
            time.sleep(1.0)
            values = []
            for _ in range(9):
                time.sleep(1)
                values += [m["cpu_percent"] for m in p.machines()["machines"] if m["name"] == "lab-busy"]
            lines = [line.split() for line in top.communicate()[0].splitlines() if line.split()[:1] == [str(pid)]]
            reference = float(lines[-1][8])
            mine = sum(values) / len(values)
            if abs(mine - reference) <= 2.0:
                return
        raise AssertionError(f"parallax {mine:.2f} (of {values}), top {reference}")

    @test("right: the leaking guest's own use grows, seen from outside")
    def _():
        used = lambda: [m["memory"]["guest_used_bytes"] for m in p.machines()["machines"] if m["name"] == "lab-leak"][0]
        seen = [used()]

        def grown():
            seen.append(used())
            return seen[-1] > min(seen) + (1 << 20)

        wait_for(grown, 40, "1 MiB more in use")

    def docker_stats():
        text = subprocess.run(
            ["docker", "stats", "--no-stream", "--format", "{{json .}}"], capture_output=True, text=True, timeout=30
        ).stdout
        return {row["Name"]: row for row in map(json.loads, text.splitlines())}

    if subprocess.run(["docker", "version"], capture_output=True).returncode == 0:

        def size(text):
            number, unit = re.match(r"([0-9.]+)\s*([A-Za-z]+)", text.strip()).groups()
            return (
                float(number)
                * {"B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1024, "MiB": 1 << 20, "GiB": 1 << 30}[
                    unit
                ]
            )

        @test("right: docker stats shows the same memory, limit, block I/O and pids, to its rounding")
        def _():
            for name in ("lab-web", "lab-worker"):

                def agree():
                    before = docker_stats()[name]
                    mine = next(m for m in p.machines()["machines"] if m["name"] == name)
                    series = p.scrape("/metrics/container")
                    after = docker_stats()[name]
                    used, limit = before["MemUsage"].split("/")
                    low, high = sorted((size(used), size(after["MemUsage"].split("/")[0])))
                    have = value(series, "container_memory_working_set_bytes", name=name)
                    if not low * 0.98 - 4096 <= have <= high * 1.02 + 4096:
                        return False
                    pids = value(series, "container_threads", name=name) or value(
                        series, "container_processes", name=name
                    )
                    assert mine["state"], mine
                    return int(before["PIDs"]) <= pids <= int(after["PIDs"]) or int(after["PIDs"]) <= pids <= int(
                        before["PIDs"]
                    )

                wait_for(
                    agree,
                    30,
                    f"agreement on {name}: {docker_stats()[name]} {[m for m in p.machines()['machines'] if m['name'] == name]}",
                )

        @test("right: docker stats shows the same CPU % of a working container")
        def _():
            def agree():
                reference = float(docker_stats()["lab-worker"]["CPUPerc"].rstrip("%"))
                mine = next(m["cpu_percent"] for m in p.machines()["machines"] if m["name"] == "lab-worker")
                return abs(mine - reference) <= max(1.0, 0.25 * reference)

            wait_for(agree, 40, "both look at one second of a noisy load")

    else:
        print("# no container engine can run on this machine: docker is not compared")

    @test("right: node_* beside node_exporter: counters between two of its readings, gauges within 2 %")
    def _():
        port = free_port()
        exporter = subprocess.Popen(
            [
                "prometheus-node-exporter",
                f"--web.listen-address=127.0.0.1:{port}",
                "--collector.interrupts",
                "--collector.processes",
                "--collector.tcpstat",
            ],
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(
                lambda: subprocess.run(
                    ["curl", "-sf", "-o", "/dev/null", f"http://127.0.0.1:{port}/metrics"]
                ).returncode
                == 0,
                10,
                "node_exporter",
            )
            # A counter must be right in each round, a gauge in one of five: it may jump while both look.
            reference, always = f"http://127.0.0.1:{port}/metrics", None
            for _ in range(5):
                texts = []
                for url, pause in ((reference, 2.5), (p.url + "/metrics/node", 0), (reference, 0)):
                    texts.append(os.path.join(p.dir, f"node-{len(texts)}"))
                    with open(texts[-1], "wb") as f:
                        f.write(fetch(url)[0])
                    time.sleep(pause)
                done = subprocess.run(
                    [os.path.join(TOP, "tests/node_compare.py"), *texts], capture_output=True, text=True
                )
                offences = done.stdout.splitlines()[:-1]
                assert not done.stderr and not [o for o in offences if not o.startswith("gauge")], (
                    done.stdout + done.stderr
                )
                gauges = {o.split(" reference ")[0]: o for o in offences}
                always = gauges if always is None else {k: gauges[k] for k in always.keys() & gauges.keys()}
                if not always:
                    return
            raise AssertionError("in each of five rounds:\n" + "\n".join(always.values()))
        finally:
            exporter.kill()
            exporter.wait()

    @test("clean: both programs end with 0 on SIGTERM")
    def _():
        codes = p.close()
        assert codes == [0, 0], f"{codes}"


finish()
