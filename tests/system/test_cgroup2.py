"""A real cgroup v2 host with every controller: a guest of the lab's kernel, in which parallaxd and parallax-sensor run
beside cgroups that are named as systemd, Docker, Podman, LXC and libvirt name them (tests/lab/cgroup2_init). What they
say is compared with the cgroups' own files, to the digit where the load stands still."""
import math
import tarfile

from harness import *

LAB = os.path.join(TOP, "build/lab")
WORK = os.path.join(TOP, "build/test/cgroup2")
ID = "0123456789abcdef" * 4
PODMAN_ID = ID.translate(str.maketrans("0123456789abcdef", "abcdef0123456789"))


def guest_files(root):
    """Programs, their libraries and a configuration, where the guest expects them."""
    wanted = {os.path.join(BUILD, program): f"bin/{program}" for program in ("parallaxd", "parallax-sensor")}
    for program in list(wanted):
        for line in subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout.splitlines():
            found = re.search(r"(/\S+)", line)
            if found:
                wanted[found[1]] = found[1].lstrip("/")
    wanted[os.path.join(TOP, "tests/lab/cgroup2_init")] = "cgroup2_init"
    for source, place in wanted.items():
        os.makedirs(os.path.dirname(os.path.join(root, place)), exist_ok=True)
        shutil.copy(os.path.realpath(source), os.path.join(root, place))
    os.makedirs(root + "/etc")
    with open(root + "/etc/parallax.yaml", "w") as f:
        f.write(
            'libvirt: {uri: ""}\ntiers: {performance: {kernel: 1s}}\nhost: {interval: 1s}\n'
            "containers: {interval: 1s, lxc: true, services: true}\n"
        )


def run_guest():
    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK + "/root")
    subprocess.run([os.path.join(TOP, "tests/lab/guest.sh"), LAB], check=True)
    guest_files(WORK + "/root")
    # The kernel unpacks one archive after the other; what is not compressed is unpacked fastest under emulation.
    with open(WORK + "/initrd", "wb") as out:
        with open(LAB + "/initrd.gz", "rb") as f:
            shutil.copyfileobj(f, out)
        out.write(b"\0" * (-out.tell() % 4))
        names = subprocess.run(["find", "."], cwd=WORK + "/root", capture_output=True, check=True).stdout
        out.write(
            subprocess.run(
                ["cpio", "-o", "-H", "newc", "--quiet"],
                cwd=WORK + "/root",
                input=names,
                capture_output=True,
                check=True,
            ).stdout
        )
    for disk in ("a", "b"):
        with open(f"{WORK}/{disk}.img", "wb") as f:
            f.truncate(16 << 20)
    command = [
        "qemu-system-x86_64",
        "-accel",
        "tcg",
        "-machine",
        "q35",
        "-m",
        "512",
        "-smp",
        "2",
        "-nographic",
        "-nodefaults",
        "-no-reboot",
        "-serial",
        "stdio",
        "-kernel",
        LAB + "/vmlinuz",
        "-initrd",
        WORK + "/initrd",
        "-append",
        "console=ttyS0 quiet panic=-1 psi=1 cgroup_no_v1=all rdinit=/cgroup2_init",
    ]
    for disk in ("a", "b"):
        command += ["-drive", f"file={WORK}/{disk}.img,format=raw,if=virtio,cache=unsafe"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert re.search(r"cgroup2: .*: done", done.stdout), done.stdout[-2000:] + done.stderr[-1000:]
    with tarfile.open(WORK + "/b.img") as tar:
        tar.extractall(WORK + "/out")
    for name in ("root", "initrd", "a.img", "b.img"):
        subprocess.run(["rm", "-rf", f"{WORK}/{name}"], check=True)


class Cgroup:
    """The files of one cgroup, as the guest left them."""

    def __init__(self, path):
        self.path = path

    def text(self, name):
        with open(f"{WORK}/out/cgroup/{self.path}/{name}") as f:
            return f.read()

    def number(self, name):
        return float(self.text(name))

    def flat(self, name, key):
        return next(float(line.split()[1]) for line in self.text(name).splitlines() if line.split()[0] == key)

    def io(self, device, key):
        line = next(line for line in self.text("io.stat").splitlines() if line.startswith(device + " "))
        return float(re.search(key + r"=(\d+)", line)[1])

    def pressure(self, name, kind):
        return float(re.search(kind + r" .*total=(\d+)", self.text(name))[1]) / 1e6


def series_of(file):
    with open(f"{WORK}/out/{file}") as f:
        return parse(f.read())


@test("cgroup v2: a guest with every controller runs parallaxd and the sensor")
def _():
    run_guest()


if os.path.exists(WORK + "/out/container"):
    CONTAINERS = series_of("container")
    DOCKER, PODMAN = Cgroup(f"system.slice/docker-{ID}.scope"), Cgroup(f"machine.slice/libpod-{PODMAN_ID}.scope")
    LXC, SERVICE, VM = (
        Cgroup("lxc.payload.box"),
        Cgroup("system.slice/web.service"),
        Cgroup(r"machine.slice/machine-qemu\x2d1\x2dweb.scope"),
    )

    def have(cgroup, metric, **labels):
        return value(CONTAINERS, metric, id=("/" + cgroup.path).replace("\\", "\\\\"), **labels)

    def same(cgroup, metric, expected, **labels):
        mine = have(cgroup, metric, **labels)
        assert mine is not None and math.isclose(
            mine, expected, rel_tol=1e-9, abs_tol=1e-9
        ), f"{cgroup.path} {metric}{labels}: {mine}, file {expected}"

    @test("cgroup v2: container_* are what the files of Docker's, Podman's, LXC's and systemd's cgroups say")
    def _():
        for c in (DOCKER, PODMAN, LXC, SERVICE):
            for name, key in (("usage", "usage_usec"), ("user", "user_usec"), ("system", "system_usec")):
                same(c, f"container_cpu_{name}_seconds_total", c.flat("cpu.stat", key) / 1e6)
            same(c, "container_memory_usage_bytes", c.number("memory.current"))
            same(
                c,
                "container_memory_working_set_bytes",
                c.number("memory.current") - c.flat("memory.stat", "inactive_file"),
            )
            same(c, "container_memory_max_usage_bytes", c.number("memory.peak"))
            same(c, "container_memory_swap", c.number("memory.swap.current"))
            for name, key in (
                ("rss", "anon"),
                ("cache", "file"),
                ("mapped_file", "file_mapped"),
                ("kernel_usage", "kernel"),
                ("total_active_file_bytes", "active_file"),
                ("total_inactive_file_bytes", "inactive_file"),
            ):
                same(c, "container_memory_" + name, c.flat("memory.stat", key))
            for kind, key in (("pgfault", "pgfault"), ("pgmajfault", "pgmajfault")):
                for scope in ("container", "hierarchy"):
                    same(
                        c, "container_memory_failures_total", c.flat("memory.stat", key), failure_type=kind, scope=scope
                    )
            for name in ("high", "max"):
                same(c, f"container_memory_events_{name}_total", c.flat("memory.events", name))
            same(c, "container_oom_events_total", c.flat("memory.events", "oom_kill"))
            same(c, "container_threads", c.number("pids.current"))
            same(c, "container_processes", len(c.text("cgroup.procs").split()))

    @test("cgroup v2: limits, throttling and what was hit of them; no limit is absent")
    def _():
        same(DOCKER, "container_spec_memory_limit_bytes", 16 << 20)
        same(DOCKER, "container_spec_memory_reservation_limit_bytes", 4 << 20)
        same(DOCKER, "container_spec_cpu_shares", math.floor(2 + 38 * 262142 / 9999))
        same(PODMAN, "container_spec_memory_swap_limit_bytes", 0)
        same(PODMAN, "container_threads_max", 40)
        same(PODMAN, "container_spec_cpu_quota", 20000)
        same(PODMAN, "container_spec_cpu_period", 100000)
        for name, key, unit in (
            ("periods", "nr_periods", 1),
            ("throttled_periods", "nr_throttled", 1),
            ("throttled_seconds", "throttled_usec", 1e6),
        ):
            same(PODMAN, f"container_cpu_cfs_{name}_total", PODMAN.flat("cpu.stat", key) / unit)
            assert PODMAN.flat("cpu.stat", key) > 0
            assert have(DOCKER, f"container_cpu_cfs_{name}_total") is None
        for metric in ("container_spec_memory_limit_bytes", "container_spec_cpu_quota", "container_threads_max"):
            assert have(LXC, metric) is None, metric
        assert have(DOCKER, "container_memory_events_max_total") > 0 and have(DOCKER, "container_oom_events_total") > 0

    @test("cgroup v2: io.stat by device, pressure by resource")
    def _():
        device = DOCKER.text("io.stat").split()[0]
        for name, key in (("reads_bytes", "rbytes"), ("writes_bytes", "wbytes"), ("reads", "rios"), ("writes", "wios")):
            same(DOCKER, f"container_fs_{name}_total", DOCKER.io(device, key), device="/dev/vda")
        assert have(DOCKER, "container_fs_reads_bytes_total", device="/dev/vda") >= 4 << 20
        for c in (DOCKER, PODMAN, LXC, SERVICE):
            for resource in ("cpu", "memory", "io"):
                # A stopped task is not waiting, yet the kernel brings the total up to date when it is read.
                for name, kind in (("waiting", "some"), ("stalled", "full")):
                    mine, file = have(c, f"container_pressure_{resource}_{name}_seconds_total"), c.pressure(
                        resource + ".pressure", kind
                    )
                    assert (
                        mine is not None and abs(mine - file) <= 0.02
                    ), f"{c.path} {resource} {kind}: {mine}, file {file}"
        assert have(PODMAN, "container_pressure_cpu_waiting_seconds_total") > 0

    @test("cgroup v2: a machine of libvirt is a VM and no container, with its scope's memory, CPU and pressure")
    def _():
        series = series_of("libvirt")
        assert value(series, "parallax_domain_cgroup_memory_bytes", domain="web") == VM.number("memory.current")
        assert value(series, "parallax_domain_cgroup_memory_limit_bytes", domain="web") == 100 << 20
        mine, file = (
            value(series, "libvirt_domain_info_cpu_time_seconds_total", domain="web"),
            VM.flat("cpu.stat", "usage_usec") / 1e6,
        )
        assert math.isclose(mine, file, rel_tol=1e-9), f"{mine}, file {file}"
        for resource in ("cpu", "memory", "io"):
            mine, file = value(
                series, "parallax_domain_pressure_waiting_seconds_total", domain="web", resource=resource
            ), VM.pressure(resource + ".pressure", "some")
            assert mine is not None and abs(mine - file) <= 0.02, f"{resource}: {mine}, file {file}"
        assert not [labels for _, labels in CONTAINERS if "machine-qemu" in dict(labels).get("id", "")]

    @test("cgroup v2: both programs said nothing worse than a notice")
    def _():
        for program in ("parallaxd", "parallax-sensor"):
            with open(f"{WORK}/out/{program}.log") as f:
                bad = [line for line in f if re.search(r"level=(warn|error)", line) and "privileges.root" not in line]
            assert not bad, "".join(bad)


finish()
