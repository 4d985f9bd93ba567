"""The command line: ls, show, doctor, help, version, completion."""
import json
import subprocess

from harness import *

with Parallax() as p:
    wait_for(
        lambda: any(n == "libvirt_domain_block_stats_read_bytes_total" for n, _ in p.scrape()), 30, "block statistics"
    )
    wait_for(
        lambda: all(
            m["cpu_percent"] is not None
            and m["memory"]["limit_bytes"] is not None
            and (m["memory"]["guest_used_bytes"] is not None or not m["name"].startswith("lab-"))
            for m in p.machines()["machines"]
            if m["kind"] == "vm" and m["state"] == "running"
        ),
        40,
        "two looks at every VM",
    )

    @test("parallax ls: a row for each guest of the lab and each container")
    def _():
        text = p.cli("ls").stdout.decode()
        for name in ("lab-idle", "lab-busy", "lab-io", "lab-leak"):
            assert name in text, text
        rows = json.loads(p.cli("ls", "--json").stdout)
        rows = rows["machines"] if isinstance(rows, dict) else rows
        busy = next(r for r in rows if r["name"] == "lab-busy")
        assert busy["vcpus"] == 1 and busy["state"] == "running" and 0 < busy["cpu_percent"] <= 130, busy
        assert (
            busy["memory"]["guest_used_bytes"] < busy["memory"]["limit_bytes"] <= busy["memory"]["host_rss_bytes"] * 2
        ), busy

    @test("parallax show: everything about one, by name and by UUID; an unknown one is an error")
    def _():
        identity = virsh("domuuid", "lab-io").strip()
        text = p.cli("show", "lab-io").stdout.decode()
        assert identity in text and "vda" in text, text
        assert "lab-io" in p.cli("show", identity).stdout.decode()
        json.loads(p.cli("show", "lab-io", "--json").stdout)
        done = p.cli("show", "no-such-vm", check=False)
        assert done.returncode == 1 and b"no-such-vm" in done.stderr, done

    @test("parallax doctor: names what it found and what mends the rest")
    def _():
        text = p.cli("doctor", check=False).stdout.decode()
        for word in ("libvirt", "cgroup", "BTF"):
            assert word.lower() in text.lower(), text

    @test("parallax ls --watch: shows itself again and ends on SIGINT")
    def _():
        process = subprocess.Popen(
            [BUILD + "/parallax", "--runtime-dir", p.run, "ls", "--watch"], stdout=subprocess.PIPE
        )
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=5)
        assert out.decode().count("lab-idle") >= 2, out[:500]

    @test("help, version, completion, wrong usage")
    def _():
        for program in ("parallax", "parallaxd", "parallax-sensor"):
            done = subprocess.run([f"{BUILD}/{program}", "--help"], capture_output=True, text=True)
            assert done.returncode == 0 and "Usage" in done.stdout, done
            assert subprocess.run([f"{BUILD}/{program}", "--version"], capture_output=True).returncode == 0
            assert subprocess.run([f"{BUILD}/{program}", "--no-such-option"], capture_output=True).returncode == 2
        for shell in ("bash", "zsh", "fish"):
            assert b"parallax" in p.cli("completion", shell).stdout
        chinese = subprocess.run(
            [BUILD + "/parallax", "--help"],
            capture_output=True,
            text=True,
            env={**os.environ, "LANG": "zh_CN.UTF-8", "LC_ALL": ""},
        )
        assert re.search("[\u4e00-\u9fff]", chinese.stdout), chinese.stdout


finish()
