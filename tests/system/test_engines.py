"""Podman and LXC, each with a container of its own: found by its cgroup, with the numbers of its cgroup and the name and
labels that the engine knows, from Podman's socket and, without one, from its files. Storage is below a folder of this
test, so that nothing of the machine's own is touched."""
import json

from harness import *

WORK = tempfile.mkdtemp(prefix="parallax-engines-")
os.chmod(WORK, 0o755)
SOCKET = WORK + "/podman.sock"
PODMAN = ["podman", "--root", WORK + "/store", "--runroot", WORK + "/run", "--cgroup-manager", "cgroupfs", "--runtime", "runc"]
LOAD = "while :; do dd if=/dev/zero of=/tmp/x bs=64k count=64 2>/dev/null; sleep 0.2; done"


def run(*command, check=True):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def tree(path):
    """A root file system of busybox."""
    for folder in ("bin", "dev", "proc", "sys", "tmp", "etc"):
        os.makedirs(f"{path}/{folder}")
    shutil.copy("/bin/busybox", path + "/bin/busybox")
    for name in ("sh", "sleep", "dd", "cat"):
        os.symlink("busybox", f"{path}/bin/{name}")
    return path


def cgroup_number(pid, controller, v1, v2):
    """The number in the file of the process' cgroup, of v1 or v2."""
    with open(f"/proc/{pid}/cgroup") as f:
        places = {name: line.strip().split(":", 2)[2] for line in f for name in line.split(":")[1].split(",")}
    old = os.path.exists(f"/sys/fs/cgroup/{controller}")
    path = f"/sys/fs/cgroup/{controller}{places[controller]}/{v1}" if old else f"/sys/fs/cgroup{places['']}/{v2}"
    with open(path) as f:
        return float(f.read())


def of_name(p, name):
    return next((m for m in p.machines()["machines"] if m["name"] == name), None)


CONFIG = f'  podman_socket: "{SOCKET}"\n  podman_root: "{WORK}/store"\n  docker: false\n'


def close_to_cgroup(p, name, pid):
    """Memory is the cgroup's; so is CPU time, between two readings."""

    def agree():
        series = p.scrape("/metrics/container")
        low = cgroup_number(pid, "memory", "memory.usage_in_bytes", "memory.current")
        mine = value(series, "container_memory_usage_bytes", name=name)
        return mine is not None and abs(mine - low) <= 0.1 * low + (1 << 20)

    wait_for(agree, 20, f"memory of {name}")
    with open(f"/proc/{pid}/cgroup") as f:
        print("# " + f.read().split("\n")[0])


try:
    IMAGE = tree(WORK + "/tree")
    run("tar", "-C", IMAGE, "-c", "-f", WORK + "/image.tar", ".")
    run(*PODMAN, "import", WORK + "/image.tar", "plx-image")
    run(
        *PODMAN,
        "run",
        "-d",
        "--name",
        "plx-pod",
        "--network",
        "none",
        "--memory",
        "64m",
        "--ulimit",
        "nofile=1024:1024",
        "--ulimit",
        "nproc=1024:1024",
        "--label",
        "team=blue",
        "plx-image",
        "/bin/sh",
        "-c",
        LOAD,
    )
    pod_pid = int(run(*PODMAN, "inspect", "-f", "{{.State.Pid}}", "plx-pod"))

    @test("podman: a container is found, named by its files, with its cgroup's memory and limit")
    def _():
        with Parallax(config=CONFIG) as p:
            wait_for(
                lambda: of_name(p, "plx-pod"), 20, f"plx-pod among {[m['name'] for m in p.machines()['machines']]}"
            )
            close_to_cgroup(p, "plx-pod", pod_pid)
            series = p.scrape("/metrics/container")
            assert value(series, "container_spec_memory_limit_bytes", name="plx-pod") == 64 << 20
            wait_for(lambda: (of_name(p, "plx-pod")["cpu_percent"] or 0) > 0, 10, "CPU of a working container")

    @test("podman: its socket tells image, state and labels")
    def _():
        service = subprocess.Popen(
            [*PODMAN, "system", "service", "--time=0", "unix://" + SOCKET], stderr=subprocess.DEVNULL
        )
        try:
            wait_for(lambda: os.path.exists(SOCKET), 10, "podman's socket")
            with Parallax(config=CONFIG) as p:
                wait_for(lambda: of_name(p, "plx-pod"), 20, "plx-pod")
                shown = json.loads(p.cli("show", "plx-pod", "--json").stdout)["document"]
                assert "plx-image" in shown["image"] and shown["state"] == "running", shown
                assert shown["labels"].get("team") == "blue", shown
                series = p.scrape("/metrics/container")
                assert (
                    value(series, "container_memory_usage_bytes", name="plx-pod", container_label_team="blue")
                    is not None
                )
        finally:
            service.terminate()
            service.wait()

    @test("podman: a container that ends has no series two intervals later")
    def _():
        with Parallax(config=CONFIG) as p:
            wait_for(lambda: of_name(p, "plx-pod"), 20, "plx-pod")
            run(*PODMAN, "rm", "-f", "-t", "0", "plx-pod")
            wait_for(lambda: not of_name(p, "plx-pod"), 4, "gone")
            assert not [1 for _, labels in p.scrape("/metrics/container") if dict(labels).get("name") == "plx-pod"]

finally:
    run(*PODMAN, "rm", "-f", "-t", "0", "plx-pod", check=False)
    run(*PODMAN, "rmi", "-f", "plx-image", check=False)

LXC = WORK + "/lxc"
os.makedirs(LXC + "/plx-lxc")
with open(LXC + "/plx-lxc/config", "w") as f:
    f.write(
        f"lxc.rootfs.path = dir:{tree(WORK + '/lxc-tree')}\nlxc.uts.name = plx-lxc\nlxc.net.0.type = empty\n"
        "lxc.mount.auto = proc sys\nlxc.autodev = 1\nlxc.init.cmd = /init\n"
    )


with open(WORK + "/lxc-tree/init", "w") as f:
    f.write(f"#!/bin/sh\n{LOAD}\n")
os.chmod(WORK + "/lxc-tree/init", 0o755)


@test("lxc: a container is found under its name, with its cgroup's memory and CPU, and is gone when it ends")
def _():
    run("lxc-start", "-P", LXC, "-n", "plx-lxc", "-o", WORK + "/lxc.log", "-l", "INFO")
    try:
        pid = int(run("lxc-info", "-P", LXC, "-n", "plx-lxc", "-pH"))
        with Parallax(config="  lxc: true\n  docker: false\n  podman: false\n") as p:
            wait_for(
                lambda: of_name(p, "plx-lxc"), 20, f"plx-lxc among {[m['name'] for m in p.machines()['machines']]}"
            )
            close_to_cgroup(p, "plx-lxc", pid)
            wait_for(lambda: (of_name(p, "plx-lxc")["cpu_percent"] or 0) > 0, 10, "CPU of a working container")
            run("lxc-stop", "-P", LXC, "-n", "plx-lxc", "-k")
            wait_for(lambda: not of_name(p, "plx-lxc"), 4, "gone")
    finally:
        run("lxc-stop", "-P", LXC, "-n", "plx-lxc", "-k", check=False)


shutil.rmtree(WORK, ignore_errors=True)
finish()
