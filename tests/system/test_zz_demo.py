"""make demo: starts, shows every guest, takes down exactly what it started; again after kill -9 of everything.

The lab of this test run is taken down first, as the demo makes its own of the same names."""
import subprocess
import time

from harness import *

DEMO = os.path.join(TOP, "scripts/demo.sh")
PORT = free_port()
ENV = {**os.environ, "PARALLAX_LISTEN": f"127.0.0.1:{PORT}"}


def processes():
    """What a demo may start: name and pid."""
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/comm") as f:
                name = f.read().strip()
                if name in (
                    "libvirtd",
                    "virtlogd",
                    "dockerd",
                    "containerd",
                    "qemu-system-x86",
                    "parallaxd",
                    "parallax-sensor",
                    "parallax-virt",
                ):
                    found.add((name, int(entry)))
    return found


subprocess.run(
    [os.path.join(TOP, "tests/lab/lab.sh"), "down", os.path.join(TOP, "build/test/state")],
    check=True,
    stdin=subprocess.DEVNULL,
)
before = processes()
kvm = os.path.exists("/dev/kvm") and os.stat("/dev/kvm").st_mode


def demo(seconds):
    return subprocess.run(
        ["bash", DEMO, "lab"],
        env={**ENV, "PARALLAX_SECONDS": str(seconds)},
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )


def port_open():
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", PORT)) == 0


@test("demo: shows four guests, ends with nothing left of what it started")
def _():
    done = demo(12)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
    for name in ("lab-idle", "lab-busy", "lab-io", "lab-leak", f"http://127.0.0.1:{PORT}"):
        assert name in done.stdout, done.stdout[-3000:]
    wait_for(lambda: processes() <= before, 10, f"left over: {processes() - before}")
    assert not os.path.exists("/sys/class/net/plxlab0")
    assert (os.path.exists("/dev/kvm") and os.stat("/dev/kvm").st_mode) == kvm, "/dev/kvm is as it was"


@test("demo: runs again after kill -9 of everything, Ctrl-C takes it down")
def _():
    process = subprocess.Popen(
        ["bash", DEMO, "lab"],
        env={**ENV, "PARALLAX_SECONDS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for(lambda: any(name == "parallax-sensor" for name, _ in processes() - before), 60, "demo is up")
    time.sleep(2)
    os.killpg(process.pid, signal.SIGKILL)
    for name, pid in processes() - before:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    time.sleep(1)
    process = subprocess.Popen(
        ["bash", DEMO, "lab"],
        env={**ENV, "PARALLAX_SECONDS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for(
        lambda: process.poll() is not None
        or (port_open() and b"lab-io" in fetch(f"http://127.0.0.1:{PORT}/metrics")[0]),
        60,
        "guests are shown again",
    )
    assert process.poll() is None, process.stdout.read().decode()[-2000:]
    # dockerd and libvirtd were killed too: what they held must be taken over, not be in the way
    process.send_signal(signal.SIGINT)
    out = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 0, out[-2000:]
    assert "left alone" not in out, out[-2000:]
    wait_for(lambda: processes() <= before, 10, f"left over: {processes() - before}")


@test("demo: in a terminal it shows the table again and again; Ctrl-C takes it down")
def _():
    def tmux(*args):
        return subprocess.run(["tmux", "-L", "parallax-test", *args], capture_output=True, text=True, timeout=30).stdout

    def screen():
        return tmux("capture-pane", "-p", "-t", "demo")

    tmux(
        "new-session",
        "-d",
        "-s",
        "demo",
        "-x",
        "150",
        "-y",
        "40",
        "-e",
        f"PARALLAX_LISTEN=127.0.0.1:{PORT}",
        "-c",
        TOP,
        "make demo",
    )
    tmux("pipe-pane", "-t", "demo", f"cat >{TOP}/build/demo-terminal.log")
    try:
        wait_for(lambda: re.search(r"lab-io +vm +running.*[0-9]s/[0-9]+s/", screen()), 60, "the table: " + screen())
        shown = screen()
        wait_for(lambda: screen() != shown, 10, "the table once more")
        assert screen().lstrip().startswith("NAME"), screen()
        tmux("send-keys", "-t", "demo", "C-c")
        wait_for(lambda: not tmux("list-sessions"), 60, "make demo ends: " + screen())
    finally:
        tmux("kill-server")
    wait_for(lambda: processes() <= before, 10, f"left over: {processes() - before}")
    with open(os.path.join(TOP, "build/demo-terminal.log")) as f:
        text = f.read()
    assert "taking down what was started" in text and "left alone" not in text, text[-1500:]


@test("run: watches what the host has, and leaves the rest alone")
def _():
    done = subprocess.run(
        ["bash", DEMO, "host"],
        env={**ENV, "PARALLAX_SECONDS": "5"},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
    wait_for(lambda: processes() <= before, 10, f"left over: {processes() - before}")


finish()
