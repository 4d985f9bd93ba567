"""What the system tests share: a Parallax of its own on a free port, exposition text as a dictionary,
virsh, and the reporting of results as TAP lines ("ok title" / "not ok title"), which tests/run.sh counts.

Nothing here is a stand-in: domains, libvirtd, containers and Prometheus are real."""
import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("PARALLAX_BUILD", os.path.join(TOP, "build"))
LAB_STATE = os.path.join(TOP, "build/lab/state")

_failed = 0


def test(title):
    """Decorator: runs the function at once, reports it under `title`."""

    def run(function):
        global _failed
        try:
            function()
        except Exception as error:  # a test may fail in any way
            _failed += 1
            print(f"not ok {title}")
            if not isinstance(error, AssertionError):
                traceback.print_exc(file=sys.stdout)
            else:
                frame = traceback.extract_tb(error.__traceback__)[-1]
                print(f"#   {os.path.basename(frame.filename)}:{frame.lineno}: {frame.line}")
                print("#   " + str(error).replace("\n", "\n#   ")[:3000])
        else:
            print(f"ok {title}")
        sys.stdout.flush()
        return function

    return run


def finish():
    sys.exit(1 if _failed else 0)


def virsh(*args, check=True, timeout=30):
    done = subprocess.run(
        ["virsh", "-q", "-c", "qemu:///system", *args], capture_output=True, text=True, timeout=timeout
    )
    if check and done.returncode != 0:
        raise RuntimeError(f"virsh {' '.join(args)}: {done.stderr}")
    return done.stdout


def domstats(domain, *groups):
    values = {}
    for line in virsh("domstats", domain, *groups).splitlines():
        if "=" in line:
            key, value = line.strip().split("=", 1)
            values[key] = value
    return values


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def fetch(url, accept=None, timeout=10, encoding=None):
    headers = {}
    if accept:
        headers["Accept"] = accept
    if encoding:
        headers["Accept-Encoding"] = encoding
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return answer.read(), answer.headers


SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: \S+)?$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?')


def parse(text):
    """Exposition text -> {(name, ((label, value), ...sorted)): float}; duplicates are an error."""
    series = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.startswith("#"):
            continue
        match = SAMPLE.match(line)
        assert match, f"line {number} is no sample: {line[:200]!r}"
        labels = tuple(sorted(LABEL.findall(match.group(2) or "")))
        key = (match.group(1), labels)
        assert key not in series, f"line {number}: series twice: {key}"
        series[key] = float(match.group(3))
    return series


def value(series, metric, /, **labels):
    """The one sample of `metric` whose labels include `labels`; None when there is none."""
    found = [v for (n, have), v in series.items() if n == metric and set(labels.items()) <= set(have)]
    assert len(found) <= 1, f"{metric}{labels}: {len(found)} samples"
    return found[0] if found else None


def wait_for(condition, timeout, what):
    end = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.2)


class Parallax:
    """parallaxd and parallax-sensor on a free port; ended by close()."""

    def __init__(self, config="", intervals=("1s", "1s", "2s"), idle=None, sensor=True):
        self.dir = tempfile.mkdtemp(prefix="parallax-test-")
        self.run = os.path.join(self.dir, "run")
        os.mkdir(self.run)
        os.chmod(self.dir, 0o755)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = os.path.join(self.dir, "parallax.yaml")
        kernel, libvirt, monitor = intervals
        self.base = f"""\
runtime_dir: {self.run}
listeners:
  - address: "127.0.0.1:{self.port}"
    metrics: all
tiers:
  performance:
    kernel: {kernel}
    libvirt: {libvirt}
    monitor: {monitor}
    idle: {idle or monitor}
host:
  interval: {kernel}
store:
  directory: {self.dir}/store
containers:
  interval: {kernel}
"""
        with open(self.config, "w") as f:
            f.write(self.base + config)
        self.daemon = self._start("parallaxd")
        wait_for(
            lambda: os.path.exists(os.path.join(self.run, "api.sock")) or self.daemon.poll() is not None, 10, "api.sock"
        )
        self.sensor = self._start("parallax-sensor") if sensor else None
        wait_for(self.ready, 10, f"parallaxd ready; log: {self.log('parallaxd')}")

    def _start(self, program):
        log = open(os.path.join(self.dir, program + ".log"), "ab")
        return subprocess.Popen(
            [os.path.join(BUILD, program), "--config", self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )

    def log(self, program):
        with open(os.path.join(self.dir, program + ".log"), errors="replace") as f:
            return f.read()

    def ready(self):
        with contextlib.suppress(OSError):
            return fetch(self.url + "/-/healthy")[0]

    def scrape(self, path="/metrics", **kw):
        return parse(fetch(self.url + path, **kw)[0].decode())

    def cli(self, *args, check=True, timeout=20):
        done = subprocess.run(
            [os.path.join(BUILD, "parallax"), "--runtime-dir", self.run, *args],
            capture_output=True,
            timeout=timeout,
            env={**os.environ, "LANG": "C.UTF-8"},
        )
        if check:
            assert done.returncode == 0, f"parallax {' '.join(args)}: {done.returncode}: {done.stderr.decode()}"
        return done

    def machines(self):
        return json.loads(fetch(self.url + "/api/v1/parallax/machines")[0])

    def close(self):
        for process in (self.sensor, self.daemon):
            if process and process.poll() is None:
                process.send_signal(signal.SIGTERM)
        codes = []
        for process in (self.sensor, self.daemon):
            if process:
                try:
                    codes.append(process.wait(10))
                except subprocess.TimeoutExpired:
                    process.kill()
                    codes.append("killed: did not end within 10 s of SIGTERM")
        shutil.rmtree(self.dir, ignore_errors=True)
        return codes

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def descendants(pid):
    """The process and all its children."""
    found = [pid]
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                with open(f"/proc/{entry}/stat") as f:
                    parent = int(f.read().rsplit(")", 1)[1].split()[1])
                if parent == pid:
                    found += descendants(int(entry))
    return found


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def qemu_pid(domain):
    with open(f"/run/libvirt/qemu/{domain}.pid") as f:
        return int(f.read())


# cli; mov al, 0x30; out 0x43, al; hlt; jmp to hlt: the timer chip that the BIOS left ticking is stopped, so that neither
# the guest nor its QEMU wakes.
BOOT_SECTOR = (b"\xfa\xb0\x30\xe6\x43\xf4\xeb\xfd").ljust(510, b"\0") + b"\x55\xaa"


def tiny_image():
    path = os.path.join(TOP, "build/lab/boot.img")
    image = BOOT_SECTOR + b"\0" * (1 << 20)
    if not os.path.exists(path) or os.path.getsize(path) != len(image) or open(path, "rb").read() != image:
        with open(path, "wb") as f:
            f.write(image)
        os.chmod(path, 0o644)
    return path


def tiny_kind():
    """Software emulation: a boot sector is there in half a second of CPU, under a nested KVM it takes ten."""
    return "qemu"


def xml_text(text):
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(char, entity)
    return text


def tiny_xml(name, uuid=None, nic=False, metadata="", title=""):
    uuid_line = f"<uuid>{uuid}</uuid>" if uuid else ""
    nic_line = (
        "<interface type='bridge'><source bridge='plxlab0'/><model type='virtio'/><rom enabled='no'/></interface>"
        if nic
        else ""
    )
    title_line = f"<title>{xml_text(title)}</title>" if title else ""
    return f"""<domain type='{tiny_kind()}'><name>{xml_text(name)}</name>{uuid_line}{title_line}
<metadata>{metadata}</metadata><memory unit='MiB'>8</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
<seclabel type='static' model='dac' relabel='no'><label>+0:+0</label></seclabel>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='raw' cache='unsafe'/><source file='{tiny_image()}'/>
<target dev='vda' bus='virtio'/><readonly/></disk>{nic_line}
<controller type='usb' model='none'/><memballoon model='virtio'/></devices></domain>"""


def create(xml):
    """Creates a transient domain, returns its UUID."""
    with tempfile.NamedTemporaryFile("w", suffix=".xml") as f:
        f.write(xml)
        f.flush()
        virsh("create", f.name)
    return None


@contextlib.contextmanager
def tiny_domains(names, **kw):
    """Domains that halt, a few at a time: libvirtd waits more than it works while one starts."""
    made = []

    def start(name):
        create(tiny_xml(name, **kw))
        made.append(name)

    tiny_image()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        try:
            for _ in pool.map(start, names):
                pass
            yield names
        finally:
            for _ in pool.map(lambda name: virsh("destroy", name, check=False), list(made)):
                pass
