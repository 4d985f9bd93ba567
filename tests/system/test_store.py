"""The store of a running parallaxd as an operator meets it: `parallax store`, the API behind it, `parallax doctor`."""
from harness import *


def post(p, path, body=b"", kind="text/plain"):
    request = urllib.request.Request(p.url + path, data=body, headers={"Content-Type": kind}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def job_of(p, id):
    return json.loads(fetch(f"{p.url}/api/v1/parallax/store/job?id={id}")[0])


p = Parallax(sensor=False, config="")
try:
    now = int(time.time() * 1000)
    lines = "".join(f'temperature{{uuid="vm{vm}"}} {vm + i / 8} {now - i * 1000}\n' for vm in range(3) for i in range(50, 0, -1))

    @test("jobs: what is posted is a job, which is asked after")
    def _():
        assert post(p, "/api/v1/parallax/import", lines.encode())[0] == 200
        status, job = post(p, "/api/v1/parallax/store/compact")
        assert status == 202 and job["state"] in ("waiting", "running"), job
        wait_for(lambda: job_of(p, job["job"])["state"] == "done", 20, "compacted")
        with contextlib.suppress(urllib.error.HTTPError):
            raise AssertionError(job_of(p, job["job"] + 1))
        known = json.loads(fetch(p.url + "/api/v1/parallax/store/job")[0])
        assert [j["job"] for j in known] == [job["job"]], known

    @test("jobs: the command waits for each verb and says how it ended")
    def _():
        p.cli("store", "compact")
        assert "as it was written" in p.cli("store", "verify").stdout.decode()
        copy = os.path.join(p.dir, "copy")
        p.cli("store", "snapshot", copy)
        assert os.path.exists(os.path.join(copy, "manifest"))
        p.cli("store", "rollup")
        p.cli("store", "delete", "--match", "uuid=vm1")
        exported = p.cli("store", "export").stdout.decode()
        assert "vm0" in exported and "vm1" not in exported and "vm2" in exported
        failed = p.cli("store", "snapshot", "/proc/no/such/place", check=False)
        assert failed.returncode == 1 and b"store snapshot failed" in failed.stderr, failed.stderr

    @test("doctor: says how the history is")
    def _():
        said = p.cli("doctor", check=False).stdout.decode()
        for line in ("ok        history", "disk of the history", "retention", "ok        damage"):
            assert line in said, said

finally:
    p.close()

finish()
