"""A domain that does nothing is asked for its disks and its balloon at the interval for idle ones; one that works, as ever."""
import time

from harness import *

MONITOR, IDLE = 4.0, 20.0

virsh("resume", "lab-busy", check=False)
with tiny_domains(["plx-idle"]), Parallax(intervals=("1s", "1s", "4s"), idle="20s") as p:

    def age(series, domain):
        return value(series, "parallax_domain_age_seconds", domain=domain, lane="monitor")

    wait_for(lambda: all(age(p.scrape(), name) is not None for name in ("plx-idle", "lab-busy")), 40, "both looked at")

    @test("idle: the domain that does nothing is asked seldom, and its age says so; the busy one is not")
    def _():
        ages = {"plx-idle": [], "lab-busy": []}
        end = time.monotonic() + 2 * IDLE
        while time.monotonic() < end:
            series = p.scrape()
            for name in ages:
                ages[name].append(age(series, name))
            assert value(series, "parallax_domain_stuck_seconds", domain="plx-idle") == 0
            time.sleep(0.5)
        assert max(ages["lab-busy"]) <= 2 * MONITOR + 0.3, ages
        assert 2 * MONITOR < max(ages["plx-idle"]) <= IDLE + MONITOR, ages
        asked = sum(b < a for a, b in zip(ages["plx-idle"], ages["plx-idle"][1:]))
        assert asked >= 1, ages

finish()
