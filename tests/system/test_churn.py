"""Churn: domains come and go while being scraped. CHURN (default 30; 200 in `make soak`) domains."""
import time
import uuid

from harness import *



def held(p):
    """KiB of both programs without what the store says it has in memory: that grows with history, up to a budget of its own."""
    store = value(p.scrape("/metrics/self"), "parallax_store_memory_bytes") / 1024
    return rss_kib(p.daemon.pid) + rss_kib(p.sensor.pid) - store


ROUNDS = int(os.environ.get("CHURN", "30"))

with Parallax() as p:
    wait_for(lambda: value(p.scrape(), "libvirt_up") == 1, 20, "libvirt")

    @test(f"churn: {ROUNDS} domains created and destroyed under one name, no value under another UUID")
    def _():
        memory = None
        for number in range(ROUNDS):
            identity = str(uuid.uuid4())
            create(tiny_xml("plx-churn", uuid=identity))
            try:
                if number % 5 == 0:
                    wait_for(
                        lambda: value(p.scrape(), "parallax_domain_age_seconds", uuid=identity, lane="kernel")
                        is not None,
                        10,
                        identity,
                    )
                else:
                    time.sleep(0.05 * (number % 8))
                series = p.scrape()
                seen = {
                    dict(labels).get("uuid")
                    for (n, labels) in series
                    if n.startswith("parallax_domain_") and dict(labels).get("domain") == "plx-churn"
                }
                assert seen <= {identity}, f"round {number}: {seen}, now {identity}"
            finally:
                virsh("destroy", "plx-churn", check=False)
            if number % 5 == 0:
                wait_for(
                    lambda: value(p.scrape(), "libvirt_domain_info_vstate", domain="plx-churn") is None,
                    3,
                    "series of the dead gone",
                )
            assert p.daemon.poll() is None and p.sensor.poll() is None, "a program died"
            if number == ROUNDS // 3:
                memory = held(p)
        grown = held(p) - memory
        assert grown < 512, f"resident memory grew by {grown} KiB"


finish()
