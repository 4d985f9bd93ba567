"""Bad input: a clear error or an escaped value, never a crash, never another VM's number."""
import socket
import subprocess
import time
import uuid

from harness import *


def check_config(text, name="parallax.yaml"):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, name)
        with open(path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        done = subprocess.run(
            [BUILD + "/parallaxd", "--check-config", "--config", path], capture_output=True, timeout=10
        )
        return done.returncode, done.stderr.decode(errors="replace").replace(folder + "/", "")


@test("config: errors name file, line, column and what was expected")
def _():
    for text, place in (
        ("listeners: 5\n", "parallax.yaml:1:12:"),
        ("tiers:\n  basic:\n    kernel: soon\n", "parallax.yaml:3:13:"),
        ("hots:\n  interval: 10s\n", "parallax.yaml:1:1:"),
        ("a: [1, 2\n", "parallax.yaml:"),
        ("host:\n\tinterval: 1s\n", "parallax.yaml:2:"),
        ("host: &a\n  interval: 1s\ntiers: *a\n", "parallax.yaml:"),
        ("default_tier: fast\n", "parallax.yaml:1:15:"),
    ):
        code, error = check_config(text)
        assert code == 1 or code == 2, f"{text!r}: exit {code}"
        assert place in error, f"{text!r}: {error}"
        assert "expected" in error or "did you mean" in error or "not" in error, error


@test("config: deep, large, binary files are refused in under a second")
def _():
    for text in ("[" * 10000, "a" * (2 << 20), b"\xff\xfe\x00\x01" * 100, "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n"):
        begin = time.monotonic()
        code, error = check_config(text)
        assert code in (1, 2) and error, f"{code} {error[:200]}"
        assert time.monotonic() - begin < 1


@test("config: a directory and a missing file are named")
def _():
    for path in ("/etc", "/nonexistent/parallax.yaml"):
        done = subprocess.run(
            [BUILD + "/parallaxd", "--check-config", "--config", path], capture_output=True, text=True
        )
        assert done.returncode in (1, 2) and path in done.stderr, done.stderr


@test("listener: a port in use ends the start with an error that names it")
def _():
    with socket.socket() as taken, tempfile.TemporaryDirectory() as folder:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with open(folder + "/c.yaml", "w") as f:
            f.write(f'runtime_dir: {folder}\nlisteners:\n  - address: "{address}"\n')
        done = subprocess.run(
            [BUILD + "/parallaxd", "--config", folder + "/c.yaml"], capture_output=True, text=True, timeout=10
        )
        assert done.returncode == 1 and address in done.stderr, f"{done.returncode} {done.stderr}"


with Parallax() as p:
    wait_for(lambda: value(p.scrape(), "libvirt_up") == 1, 20, "libvirt")

    @test("reload: a bad file leaves the old configuration in force and says so")
    def _():
        with open(p.config, "a") as f:
            f.write("nonsense: 1\n")
        p.daemon.send_signal(signal.SIGHUP)
        wait_for(lambda: value(p.scrape("/metrics/self"), "parallax_config_last_reload_successful") == 0, 5, "metric 0")
        assert "nonsense" in p.log("parallaxd")
        assert p.machines()["machines"]
        with open(p.config, "w") as f:
            f.write(p.base)
        p.daemon.send_signal(signal.SIGHUP)
        wait_for(lambda: value(p.scrape("/metrics/self"), "parallax_config_last_reload_successful") == 1, 5, "metric 1")

    HOSTILE = [
        "plx \"quoted\" 'name'",
        "plx <script>alert(1)<script>",
        "plx\\back\\slash",
        "plx-" + "é" * 60,
        "plx-ünï-中文",
    ]
    for name in HOSTILE:

        @test(f"hostile name: {name[:40]!r} is escaped and keeps its own values")
        def _():
            identity = str(uuid.uuid4())
            create(tiny_xml(name, uuid=identity))
            try:
                series = wait_for(
                    lambda: (
                        lambda s: s
                        if value(s, "parallax_domain_age_seconds", uuid=identity, lane="libvirt") is not None
                        else None
                    )(p.scrape()),
                    15,
                    "seen",
                )
                label = dict(
                    next(
                        labels
                        for (n, labels) in series
                        if n == "parallax_domain_age_seconds" and dict(labels)["uuid"] == identity
                    )
                )["domain"]
                assert label.encode().decode("unicode_escape").encode("latin-1", "ignore") or label
                assert label.replace('\\"', '"').replace("\\\\", "\\") == name, f"{label!r}"
                for path in ("/metrics?profile=inovex", "/metrics?profile=zhangjianweibj"):
                    p.scrape(path)
                assert [m for m in p.machines()["machines"] if m["name"] == name and m["uuid"] == identity]
                assert p.cli("ls").returncode == 0 and b"\x1b" not in p.cli("ls").stdout
            finally:
                virsh("destroy", identity, check=False)

    @test("tenant metadata of 1 MiB: the domain is shown, the programs live and stay small")
    def _():
        identity = str(uuid.uuid4())
        blob = "x" * (1 << 20)
        metadata = f"<t:big xmlns:t='https://tenant.example/x'>{blob}</t:big><n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'><n:name>&lt;b&gt;\"boss\"&lt;/b&gt;</n:name></n:instance>"
        create(tiny_xml("plx-big", uuid=identity, metadata=metadata, title="t" * 4000))
        try:
            series = wait_for(
                lambda: (lambda s: s if value(s, "libvirt_domain_info_meta", uuid=identity) is not None else None)(
                    p.scrape()
                ),
                20,
                "libvirt_domain_info_meta",
            )
            assert p.daemon.poll() is None and p.sensor.poll() is None
            wait_for(
                lambda: value(p.scrape(), "parallax_domain_age_seconds", uuid=identity, lane="kernel") is not None,
                10,
                "the kernel lane has found it",
            )
        finally:
            virsh("destroy", identity, check=False)

    @test("http: odd requests get an answer or a closed connection, and the next one is served")
    def _():
        for raw in (
            b"GET " + b"/" * 70000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 10000 + b"\r\n",
            b"\0\1\2\3\r\n\r\n",
            b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
            b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"GET /..%2f..%2fetc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", p.port), timeout=5) as s:
                with contextlib.suppress(OSError):
                    s.sendall(raw)
                    answer = s.recv(200)
                    assert b" 200 " not in answer[:20], (raw[:40], answer)
        assert p.scrape()

    @test("sensor away: parallaxd says so, values of the dead sensor go; back: everything is there again")
    def _():
        p.sensor.send_signal(signal.SIGKILL)
        p.sensor.wait()
        wait_for(lambda: not any(n == "libvirt_domain_info_vstate" for n, _ in p.scrape()), 10, "series gone")
        p.sensor = p._start("parallax-sensor")
        wait_for(lambda: any(n == "libvirt_domain_info_vstate" for n, _ in p.scrape()), 20, "series back")


finish()
