"""One stuck VM, one stuck libvirtd: everything else stays fresh, and the numbers say what is stuck.

STUCK_SECONDS (default 25; 120 in `make soak`) is how long the QEMU of one of five domains stays stopped."""
import time

from harness import *

SECONDS = int(os.environ.get("STUCK_SECONDS", "25"))
NAMES = [f"plx-stuck-{n}" for n in range(5)]
KERNEL, LIBVIRT, MONITOR = 1.0, 1.0, 2.0

with tiny_domains(NAMES), Parallax(intervals=("1s", "1s", "2s")) as p:

    def ages(series):
        return {
            (dict(labels)["domain"], dict(labels)["lane"]): v
            for (n, labels), v in series.items()
            if n == "parallax_domain_age_seconds"
        }

    wait_for(
        lambda: all((name, "monitor") in ages(p.scrape()) for name in NAMES), 30, "every domain looked at by every lane"
    )
    limits = {"kernel": 2 * KERNEL, "libvirt": 2 * LIBVIRT, "monitor": 2 * MONITOR}
    victim, others = NAMES[0], NAMES[1:]

    @test(f"stuck: one QEMU stopped for {SECONDS} s, the others' ages stay under two intervals in every scrape")
    def _():
        pid = qemu_pid(victim)
        os.kill(pid, signal.SIGSTOP)
        try:
            start, last = time.monotonic(), -1
            while time.monotonic() - start < SECONDS:
                begin = time.monotonic()
                series = p.scrape()
                took = time.monotonic() - begin
                assert took < 1, f"a scrape took {took:.2f} s"
                for (domain, lane), age in ages(series).items():
                    if domain in others:
                        assert (
                            age <= limits[lane] + 0.3
                        ), f"{domain} {lane}: {age:.2f} s after {time.monotonic() - start:.1f} s"
                        assert value(series, "parallax_domain_stuck_seconds", domain=domain) == 0
                last = value(series, "parallax_domain_stuck_seconds", domain=victim)
                time.sleep(0.5)
            assert last is not None and SECONDS - 6 <= last <= SECONDS + 2, f"stuck {last} s, stopped for {SECONDS} s"
        finally:
            os.kill(pid, signal.SIGCONT)

    @test("stuck: it recovers within two intervals after SIGCONT")
    def _():
        wait_for(
            lambda: value(p.scrape(), "parallax_domain_stuck_seconds", domain=victim) == 0,
            2 * KERNEL + 1,
            "stuck_seconds 0",
        )
        wait_for(lambda: ages(p.scrape())[(victim, "monitor")] <= 2 * MONITOR, 2 * MONITOR + 2, "monitor lane fresh")

    @test("libvirtd stopped: host, cgroup and /proc values go on, libvirt_up 0; then 1 again")
    def _():
        with open("/run/libvirtd.pid") as f:
            pid = int(f.read())
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_for(lambda: value(p.scrape(), "libvirt_up") == 0, 20, "libvirt_up 0")
            before = p.scrape()
            time.sleep(3)
            series = p.scrape()
            for name in NAMES:
                assert ages(series)[(name, "kernel")] <= 2 * KERNEL + 0.3, ages(series)
            host_before, host = p.scrape("/metrics/node"), None
            time.sleep(2.5)
            host = p.scrape("/metrics/node")
            assert value(host, "node_context_switches_total") > value(host_before, "node_context_switches_total")
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_for(lambda: value(p.scrape(), "libvirt_up") == 1, 45, "libvirt_up 1")

    @test("libvirtd away and back: no descriptor, thread or process is left over")
    def _():
        count = lambda: sum(len(os.listdir(f"/proc/{d}/fd")) for d in descendants(p.sensor.pid))
        wait_for(lambda: len(descendants(p.sensor.pid)) >= 2, 20, "workers are back")
        time.sleep(3)
        first, children = count(), len(descendants(p.sensor.pid))
        workers = [d for d in descendants(p.sensor.pid) if d != p.sensor.pid]
        for _ in range(5):
            for worker in [d for d in descendants(p.sensor.pid) if d != p.sensor.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
            time.sleep(2)
        wait_for(
            lambda: len(descendants(p.sensor.pid)) == children and value(p.scrape(), "libvirt_up") == 1,
            60,
            "as many processes as before",
        )
        time.sleep(2)
        assert count() - first <= 4, f"{first} descriptors before, {count()} after"
        assert not set(workers) & set(descendants(p.sensor.pid))


finish()
