"""parallax query: the same against every server with Prometheus's API. Debian's Prometheus is one, on data of ours."""
import csv
import datetime
import io

from harness import *

BEGIN = 1_790_000_000 // 3600 * 3600
STEP = 15
POINTS = 4 * 3600 // STEP
END = BEGIN + (POINTS - 1) * STEP


def samples():
    """A gauge that goes up and down as a saw, of two jobs, and a counter that is reset once."""
    lines = ["# TYPE saw gauge"]
    for job, offset in (("web", 0), ("数据库", 30)):
        for i in range(POINTS):
            lines.append(f'saw{{job="{job}",instance="{job}:1"}} {(i + offset) % 60} {BEGIN + i * STEP}')
    lines.append("# TYPE work counter")
    for i in range(POINTS):
        lines.append(f"work_total {(i if i < 300 else i - 300) * 3} {BEGIN + i * STEP}")
    return "\n".join(lines) + "\n# EOF\n"


@contextlib.contextmanager
def prometheus():
    folder = tempfile.mkdtemp(prefix="query-cli-")
    with open(folder + "/dump.om", "w") as f:
        f.write(samples())
    with open(folder + "/prometheus.yml", "w") as f:
        f.write("global: {}\n")
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", folder + "/dump.om", folder + "/data"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    port = free_port()
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            "--storage.tsdb.retention.time=100y",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"

    def ready():
        with contextlib.suppress(OSError):
            return fetch(url + "/-/ready")[0]

    try:
        wait_for(ready, 30, "Prometheus")
        yield url
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


def query(url, *args, check=True, **env):
    done = subprocess.run(
        [BUILD + "/parallax", "query", "--server", url, *args],
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C.UTF-8", "COLUMNS": "100", **env},
    )
    assert not check or done.returncode == 0, done
    return done


def iso(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def against(name, url):
    @test(f"{name}: an instant query is a table, at a time in either form")
    def _():
        for time in (str(END), iso(END)):
            lines = query(url, "saw", "--time", time).stdout.splitlines()
            assert lines[0].split() == ["SERIES", "VALUE"], lines
            assert sorted(l.split() for l in lines[1:]) == [
                ['saw{instance="web:1",job="web"}', str((POINTS - 1) % 60)],
                ['saw{instance="数据库:1",job="数据库"}', str((POINTS + 29) % 60)],
            ], lines
        assert query(url, "1 + 1").stdout == "2\n"
        assert query(url, '"text"').stdout == "text\n"
        assert query(url, "saw", "--time", "0").stdout == "No data.\n"

    @test(f"{name}: a range is given by its length or by its ends")
    def _():
        for args in (["--range", "2m", "--end", str(END)], ["--start", iso(END - 120), "--end", iso(END)]):
            lines = query(url, "sum(saw)", *args, "--step", "1m").stdout.splitlines()
            assert lines[0] == "{}" and len(lines) == 4, lines
            assert lines[-1].split()[-1] == str((POINTS - 1) % 60 + (POINTS + 29) % 60), lines

    @test(f"{name}: CSV has every label, JSON is the answer as it came")
    def _():
        rows = list(csv.DictReader(io.StringIO(query(url, "saw", "--time", str(END), "-f", "csv").stdout)))
        assert {r["job"] for r in rows} == {"web", "数据库"} and float(rows[0].get("time")) == END, rows
        answer = json.loads(query(url, "saw", "--time", str(END), "-f", "json").stdout)
        assert answer["status"] == "success" and len(answer["data"]["result"]) == 2, answer
        rows = list(
            csv.DictReader(
                io.StringIO(
                    query(
                        url, "rate(work_total[5m])", "--start", str(BEGIN + 600), "--end", str(END), "-f", "csv"
                    ).stdout
                )
            )
        )
        assert len(rows) > 40 and all(0 <= float(r["value"]) < 0.3 for r in rows), rows

    @test(f"{name}: a plot has both series, an axis of values and one of times, and fits")
    def _():
        text = query(url, "saw", "--end", str(END), "--range", "1h", "--plot").stdout
        assert all(len(l) <= 100 for l in text.splitlines()), text
        for part in ("60┤", " 0┤", "└──", iso(END)[:10], 'job="web"', "数据库"):
            assert part in text, text
        assert "\033" not in text
        one = query(url, "saw{job='web'}", "--end", str(END), "--range", "1h", "--plot").stdout
        assert re.search("[\u2801-\u28ff]", one), one

    @test(f"{name}: an error is marked where it is, and ends with 1")
    def _():
        done = query(url, "sum(rate(work_total))", check=False)
        assert done.returncode == 1 and done.stdout == "", done
        lines = done.stderr.splitlines()
        assert lines[0].startswith("parallax: 1:10: parse error: expected type range vector"), lines
        assert lines[1:] == ["  sum(rate(work_total))", "           ^"], lines
        done = query(url, "saw + on(nothing) saw", "--time", str(END), check=False)
        assert done.returncode == 1 and "many-to-many" in done.stderr, done

    @test(f"{name}: wrong usage ends with 2, nobody there with 1")
    def _():
        for args in (
            [],
            ["a", "b"],
            ["a", "--format", "xml"],
            ["a", "--time", "yesterday"],
            ["a", "--step", "1m"],
            ["a", "--start", "10", "--end", "5"],
        ):
            assert query(url, *args, check=False).returncode == 2, args
        assert query(f"http://127.0.0.1:{free_port()}", "up", check=False).returncode == 1
        assert re.search("[\u4e00-\u9fff]", query(url, "saw", "--time", "0", LC_ALL="", LANG="zh_CN.UTF-8").stdout)


with prometheus() as address:
    against("prometheus", address)

finish()
