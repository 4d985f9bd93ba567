"""Debian's Prometheus scrapes every exposition with the configuration its users have; promtool finds nothing."""
import json
import subprocess
import tempfile
import urllib.parse

from harness import *

# What promtool's linter dislikes in names that existing dashboards need: kept on purpose.
KNOWN_LINT = re.compile(open(os.path.join(TOP, "tests/promtool_known.txt")).read().strip().replace("\n", "|"))

node_port, libvirt_port = free_port(), free_port()

with Parallax() as p:
    # Extra listeners, as scrape configurations with libvirt-exporter:9177 and node-exporter:9100 expect them.
    with open(p.config) as f:
        text = f.read()
    text = text.replace(
        "    metrics: all\n",
        f'    metrics: all\n  - address: "127.0.0.1:{node_port}"\n    metrics: node\n  - address: "127.0.0.1:{libvirt_port}"\n    metrics: libvirt\n',
    )
    with open(p.config, "w") as f:
        f.write(text)
    p.daemon.send_signal(signal.SIGHUP)
    wait_for(
        lambda: any(n == "libvirt_domain_block_stats_read_bytes_total" for n, _ in p.scrape()), 30, "block statistics"
    )

    PATHS = [
        "/metrics",
        "/metrics?profile=inovex",
        "/metrics?profile=zhangjianweibj",
        "/metrics/node",
        "/metrics/container",
        "/metrics/self",
    ]

    @test("reload: SIGHUP opens the listeners added to the configuration")
    def _():
        wait_for(lambda: b"node_load1" in fetch(f"http://127.0.0.1:{node_port}/metrics")[0], 5, "node listener")
        assert b"libvirt_up 1" in fetch(f"http://127.0.0.1:{libvirt_port}/metrics")[0]

    for path in PATHS:

        @test(f"promtool: nothing to say on {path}")
        def _():
            body = fetch(p.url + path)[0]
            done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True)
            complaints = [
                line
                for line in (done.stdout + done.stderr).decode().splitlines()
                if line.strip() and not KNOWN_LINT.search(line)
            ]
            assert not complaints, "\n".join(complaints[:20])

        @test(f"OpenMetrics: {path} negotiated by Accept, ends with # EOF, same samples")
        def _():
            body, headers = fetch(p.url + path, accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
            assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0"), headers[
                "Content-Type"
            ]
            assert body.endswith(b"# EOF\n"), body[-100:]
            names = {n for n, _ in parse(body.decode())}
            plain, headers = fetch(p.url + path)
            assert headers["Content-Type"].startswith("text/plain; version=0.0.4"), headers["Content-Type"]
            assert names == {n for n, _ in parse(plain.decode())}

    @test("gzip: the same body, smaller")
    def _():
        import gzip

        body, headers = fetch(p.url + "/metrics/node", encoding="gzip")
        assert headers["Content-Encoding"] == "gzip"
        assert len(parse(gzip.decompress(body).decode())) > 100

    prometheus_port = free_port()
    folder = tempfile.mkdtemp(prefix="prometheus-")
    with open(folder + "/prometheus.yml", "w") as f:
        jobs = [
            ("libvirt", f"127.0.0.1:{libvirt_port}", "/metrics", None),
            ("node", f"127.0.0.1:{node_port}", "/metrics", None),
            ("inovex", f"127.0.0.1:{p.port}", "/metrics", "inovex"),
            ("zhangjianweibj", f"127.0.0.1:{p.port}", "/metrics", "zhangjianweibj"),
            ("container", f"127.0.0.1:{p.port}", "/metrics/container", None),
            ("self", f"127.0.0.1:{p.port}", "/metrics/self", None),
        ]
        f.write("global: {scrape_interval: 1s}\nscrape_configs:\n")
        for job, target, path, profile in jobs:
            f.write(f"- job_name: {job}\n  metrics_path: {path}\n  static_configs: [{{targets: ['{target}']}}]\n")
            if profile:
                f.write(f"  params: {{profile: [{profile}]}}\n")
    prometheus = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{prometheus_port}",
        ],
        stderr=subprocess.DEVNULL,
    )

    def query(expression):
        body = fetch(
            f"http://127.0.0.1:{prometheus_port}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        )[0]
        return json.loads(body)["data"]["result"]

    try:

        @test("prometheus: every job is up and parses what it gets")
        def _():
            def up():
                with contextlib.suppress(OSError):
                    return sum(int(r["value"][1]) for r in query("up")) == len(jobs)

            wait_for(up, 30, "six targets up")

        @test("prometheus: the queries of dashboards give one answer a guest")
        def _():
            for expression in (
                'rate(libvirt_domain_info_cpu_time_seconds_total{job="libvirt"}[10s])',
                'libvirt_domain_memory_stats_usable_bytes{job="libvirt"} / libvirt_domain_memory_stats_available_bytes{job="libvirt"}',
                'irate(libvirt_domain_interface_stats_receive_bytes_total{job="libvirt"}[10s])',
                'libvirt_domain_info_meta{job="libvirt"} * on(domain) group_right libvirt_domain_info_vstate{job="libvirt"} or libvirt_domain_info_vstate{job="libvirt"}',
            ):

                def complete():
                    return {"lab-idle", "lab-busy", "lab-io", "lab-leak"} <= {
                        r["metric"].get("domain") for r in query(expression)
                    }

                wait_for(complete, 20, expression)
            wait_for(
                lambda: query('100 - avg(rate(node_cpu_seconds_total{mode="idle"}[10s])) * 100'),
                20,
                "the host's CPU use",
            )

        @test("prometheus: a destroyed guest's series end within one interval")
        def _():
            with tiny_domains(["plx-short"]):
                wait_for(lambda: query('libvirt_domain_info_vstate{job="libvirt",domain="plx-short"}'), 15, "seen")
            wait_for(lambda: not query('libvirt_domain_info_vstate{job="libvirt",domain="plx-short"}'), 4, "gone")

    finally:
        prometheus.kill()
        prometheus.wait()
        shutil.rmtree(folder, ignore_errors=True)

finish()
