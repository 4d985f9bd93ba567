"""What an installation gives: the files, units that systemd accepts and finds tight, users, and two programs that work
as those users with the capabilities of their units, behind sockets that only the right ones may open.

The users are made in copies of /etc/passwd and its like, which a mount namespace of its own lays over the real ones."""
import pwd
import stat

from harness import *

THRESHOLDS = {"parallaxd": 1.5, "parallax-sensor": 2.0}
ROOT = tempfile.mkdtemp(prefix="parallax-root-")
os.chmod(ROOT, 0o755)
ACCOUNTS = ("passwd", "group", "shadow", "gshadow")


def run(*command, **kw):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, **kw)
    return done.returncode, done.stdout + done.stderr


def installed(name):
    found = [os.path.join(folder, name) for folder, _, files in os.walk(ROOT) if name in files]
    assert found, f"{name} is not installed"
    return found[0]


@test("install: programs, units, users, manual pages and the example of a configuration")
def _():
    code, text = run("meson", "install", "-C", BUILD, "--no-rebuild", env={**os.environ, "DESTDIR": ROOT})
    assert code == 0, text
    for name in (
        "parallaxd",
        "parallax-sensor",
        "parallax-virt",
        "parallax",
        "parallaxd.service",
        "parallax-sensor.service",
        "parallax.yaml",
        "parallax.1",
        "parallaxd.8",
        "parallax-sensor.8",
        "parallax.yaml.5",
    ):
        installed(name)
    code, text = run(os.path.join(BUILD, "parallaxd"), "--check-config", "--config", installed("parallax.yaml"))
    assert code == 0, text


for unit, most in THRESHOLDS.items():

    @test(f"units: systemd finds nothing wrong with {unit}.service, and its exposure at most {most}")
    def _():
        # verify wants programs that are there, and manual pages that man finds.
        with open(installed(unit + ".service")) as f:
            text = re.sub(r"^ExecStart=\S+/", f"ExecStart={os.path.dirname(installed(unit))}/", f.read(), flags=re.M)
        with open(f"{ROOT}/{unit}.service", "w") as f:
            f.write(text)
        code, said = run("systemd-analyze", "verify", "--man=no", f"{ROOT}/{unit}.service")
        complaints = [line for line in said.splitlines() if unit in line]
        assert not complaints, said
        code, said = run(
            "systemd-analyze",
            "security",
            "--offline=true",
            "--no-pager",
            f"--threshold={int(most * 10)}",
            f"{ROOT}/{unit}.service",
        )
        level = float(re.search(r"exposure level for \S+ ([0-9.]+)", said)[1])
        print(f"# {unit}: exposure {level}")
        assert code == 0 and level <= most, said


def within(*command):
    """The command line that runs `command` where the made users are the machine's."""
    binds = " && ".join(
        f"mount --bind {ROOT}/etc/{name} /etc/{name}" for name in ACCOUNTS if os.path.exists(f"{ROOT}/etc/{name}")
    )
    return ["unshare", "--mount", "sh", "-c", binds + ' && exec "$@"', "sh", *command]


def as_user(user, *command, caps=""):
    """With the identity and the capabilities that the unit gives."""
    keep = "".join(",+" + cap for cap in caps.split())
    return within(
        "setpriv",
        "--reuid",
        user,
        "--regid",
        user,
        "--init-groups",
        f"--inh-caps=-all{keep}",
        f"--ambient-caps=-all{keep}",
        f"--bounding-set=-all{keep}",
        "--no-new-privs",
        *command,
    )


@test("users: systemd-sysusers and systemd-tmpfiles make the users, the membership and the folder")
def _():
    os.makedirs(ROOT + "/etc", exist_ok=True)
    for name in ACCOUNTS:
        if os.path.exists("/etc/" + name):
            shutil.copy("/etc/" + name, f"{ROOT}/etc/{name}")
    sysusers = next(
        os.path.join(folder, "parallax.conf")
        for folder, _, files in os.walk(ROOT)
        if folder.endswith("sysusers.d") and files
    )
    tmpfiles = next(
        os.path.join(folder, "parallax.conf")
        for folder, _, files in os.walk(ROOT)
        if folder.endswith("tmpfiles.d") and files
    )
    code, text = run("systemd-sysusers", "--root=" + ROOT, sysusers)
    assert code == 0, text
    code, text = run("systemd-tmpfiles", "--root=" + ROOT, "--create", tmpfiles)
    assert code == 0, text
    with open(ROOT + "/etc/passwd") as f:
        users = {line.split(":")[0]: line.split(":") for line in f}
    with open(ROOT + "/etc/group") as f:
        groups = {line.split(":")[0]: line.strip().split(":") for line in f}
    assert {"parallax", "parallax-sensor"} <= users.keys(), users.keys()
    assert "parallax-sensor" in groups["parallax"][3].split(","), groups["parallax"]
    folder = os.stat(ROOT + "/run/parallax")
    assert folder.st_uid == int(users["parallax"][2]) and stat.S_IMODE(folder.st_mode) == 0o755, folder
    # libvirtd asks who its client is, and lives outside: to it, the sensor is one of Debian's unused users.
    games = pwd.getpwnam("games")
    for name, line in (("passwd", rf"\g<1>{games.pw_uid}:{games.pw_gid}:"), ("group", rf"\g<1>{games.pw_gid}:")):
        with open(f"{ROOT}/etc/{name}") as f:
            text = re.sub(
                r"^(parallax-sensor:[^:]*:)" + (r"\d+:\d+:" if name == "passwd" else r"\d+:"),
                line,
                f.read(),
                flags=re.M,
            )
        with open(f"{ROOT}/etc/{name}", "w") as f:
            f.write(text)
    # Somebody who looks, and somebody who may not.
    with open(ROOT + "/etc/passwd", "a") as f:
        f.write("plx-alice:x:61101:61101::/:/bin/sh\nplx-mallory:x:61102:61102::/:/bin/sh\n")
    with open(ROOT + "/etc/group", "a") as f:
        f.write("plx-alice:x:61101:\nplx-mallory:x:61102:\n")
    for name in ("group", "gshadow"):
        if os.path.exists(f"{ROOT}/etc/{name}"):
            with open(f"{ROOT}/etc/{name}") as f:
                text = re.sub(r"^(parallax:.*)$", r"\1,plx-alice", f.read(), flags=re.M)
            with open(f"{ROOT}/etc/{name}", "w") as f:
                f.write(text)


RUN = ROOT + "/run/parallax"
PORT = free_port()
CONFIG = ROOT + "/parallax.yaml"
with open(CONFIG, "w") as f:
    f.write(
        f'runtime_dir: {RUN}\nlisteners:\n  - address: "127.0.0.1:{PORT}"\n    metrics: all\n'
        f"libvirt: {{worker: {BUILD}/parallax-virt}}\n"
        "tiers: {performance: {kernel: 1s, libvirt: 1s, monitor: 2s}}\n"
        "host: {interval: 1s}\ncontainers: {interval: 1s}\n"
    )


def status(pid, key):
    with open(f"/proc/{pid}/status") as f:
        return next(line.split(":", 1)[1].split() for line in f if line.startswith(key + ":"))


def scrape(path="/metrics"):
    with contextlib.suppress(OSError):
        return parse(fetch(f"http://127.0.0.1:{PORT}{path}")[0].decode())
    return {}


@contextlib.contextmanager
def programs(daemon, sensor):
    """Both programs, started by these command lines; ended with SIGTERM, which must give 0."""
    started = []
    try:
        for name, command in (("parallaxd", daemon), ("parallax-sensor", sensor)):
            with open(f"{ROOT}/{name}.log", "w") as log:
                started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
            if name == "parallaxd":
                wait_for(lambda: os.path.exists(RUN + "/api.sock") or started[0].poll() is not None, 10, "api.sock")
        yield started
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(10) for process in started]
    assert codes == [0, 0], codes


def logs():
    text = ""
    for name in ("parallaxd", "parallax-sensor"):
        with open(f"{ROOT}/{name}.log") as f:
            text += f.read()
    return text


def see_everything(libvirt):
    wait_for(lambda: value(scrape("/metrics/node"), "node_load1") is not None, 10, "the host is looked at: " + logs())

    # Of QEMU, which is another user's, too: its I/O is what needs CAP_SYS_PTRACE.
    def seen():
        series = scrape()
        read = value(series, "parallax_domain_host_read_bytes_total", domain="lab-io")
        return read is not None and value(series, "libvirt_up") == libvirt

    try:
        wait_for(seen, 20, "a domain's I/O, and libvirt")
    except AssertionError as error:
        shown = [
            f"{name}{labels} {v}"
            for (name, labels), v in scrape().items()
            if name.startswith(("parallax_", "libvirt_up"))
        ]
        raise AssertionError(f"{error}; {logs()}\n" + "\n".join(shown[:60])) from None


# A clone below /root cannot be entered by other users: they run the installed programs.
def program(name):
    return installed(name)


@test("users: parallaxd as parallax and the sensor as root work together")
def _():
    with programs(
        as_user("parallax", program("parallaxd"), "--config", CONFIG),
        within(program("parallax-sensor"), "--config", CONFIG),
    ) as (daemon, sensor):
        see_everything(1)
        assert status(daemon.pid, "CapEff") == ["0000000000000000"] and status(daemon.pid, "Seccomp") == ["2"], status(
            daemon.pid, "CapEff"
        )
        assert status(daemon.pid, "Uid")[0] == status(daemon.pid, "Uid")[1] != "0"


@test("users: both with the users and capabilities of their units, and the sockets for the right ones alone")
def _():
    sensor_caps = "dac_read_search sys_ptrace"
    with programs(
        as_user("parallax", program("parallaxd"), "--config", CONFIG),
        as_user("parallax-sensor", program("parallax-sensor"), "--config", CONFIG, caps=sensor_caps),
    ) as (daemon, sensor):
        # libvirtd asks polkit about a client who is not root, over a system bus that must have been there first.
        bus = os.path.exists("/run/dbus/system_bus_socket")
        see_everything(1 if bus else 0)
        if not bus:
            print("# no system bus here: libvirtd cannot ask polkit, and lets root in alone")
            assert "system bus" in logs(), "the reason is said: " + logs()
        assert "missing" not in logs() and "level=error" not in logs(), logs()
        # CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE, and nothing else
        assert int(status(sensor.pid, "CapEff")[0], 16) == 1 << 2 | 1 << 19, status(sensor.pid, "CapEff")
        for worker in descendants(sensor.pid)[1:]:
            assert int(status(worker, "CapEff")[0], 16) == 0, f"worker {worker}: {status(worker, 'CapEff')}"
        for name in ("sensor.sock", "api.sock"):
            mode = os.stat(f"{RUN}/{name}")
            assert stat.S_IMODE(mode.st_mode) == 0o660 and stat.S_ISSOCK(mode.st_mode), f"{name}: {oct(mode.st_mode)}"
        client = [program("parallax"), "--runtime-dir", RUN, "ls"]
        code, text = run(*as_user("plx-alice", *client))
        assert code == 0 and "lab-io" in text, text
        code, text = run(*as_user("plx-mallory", *client))
        assert code != 0 and "api.sock" in text and "ermission" in text, text
        # A member of the group may look, and may not speak as the sensor: it is refused by its user id.
        speak = (
            "import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); "
            f"s.connect('{RUN}/sensor.sock'); s.settimeout(5); print(len(s.recv(9)))"
        )
        code, text = run(*as_user("plx-alice", "/usr/bin/python3", "-c", speak))
        assert code == 0 and text.strip() == "0", text
        code, text = run(*as_user("plx-mallory", "/usr/bin/python3", "-c", speak))
        assert code != 0 and "PermissionError" in text, text
        assert "peer is not the sensor" in logs(), logs()
        assert value(scrape("/metrics/self"), "parallax_sensor_connected") == 1


shutil.rmtree(ROOT, ignore_errors=True)
finish()
