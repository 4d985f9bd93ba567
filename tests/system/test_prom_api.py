"""Prometheus's HTTP API: the same requests to Debian's Prometheus and to us, and what is newer there from its
documentation."""
from prom_pair import *

pair = Pair()
NOW, MIDDLE = pair.end, pair.end - 1800


def ordered(data):
    """Series in one order: an instant vector's is not part of the contract."""
    if isinstance(data, dict) and data.get("resultType") in ("vector", "matrix"):
        return {**data, "result": sorted(data["result"], key=lambda s: json.dumps(s["metric"], sort_keys=True))}
    return data


def near(a, b):
    """The same but for the last digits of numbers, where sums are not added in the same order."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(near(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(near, a, b))
    if a != b and isinstance(a, str) and isinstance(b, str):
        with contextlib.suppress(ValueError):
            return math.isclose(float(a), float(b), rel_tol=1e-12)
    return a == b


def same(path, params, method="GET", alike=lambda a, b: a == b):
    ours, theirs = pair.ask(path, params, method)
    assert ours.status == theirs.status, f"{path} {params}: {ours} instead of {theirs}"
    a, b = ours.json, theirs.json
    x, y = ordered(a.get("data")), ordered(b.get("data"))
    assert alike(x, y), f"{path} {params}:\n{ours.body[:1500]}\n{theirs.body[:1500]}"
    x, y = ((answer["status"], answer.get("errorType")) for answer in (a, b))
    assert x == y, f"{path} {params}: {ours} instead of {theirs}"
    assert ours.headers["Content-Type"] == theirs.headers["Content-Type"], f"{path}: {ours.headers['Content-Type']}"
    return ours


try:

    @test("api: numbers, times and escapes are Prometheus's, byte for byte")
    def _():
        for query in ("demo_extreme", "demo_text", "up", "1e21", "1e-7", "-1.25e-9", "1.5e300", "0.1 + 0.2",
            '"<text> & \\"quotes\\""'):
            same("/api/v1/query", {"query": query, "time": NOW})
            same("/api/v1/query", {"query": query, "time": f"{NOW - 3600}.25"})
        ours, theirs = pair.ask("/api/v1/query", {"query": "demo_text", "time": NOW})
        assert ours.body == theirs.body, f"{ours} instead of {theirs}"
        for query in ("demo_extreme", "demo_text", "demo_temperature_celsius", "demo_gone", "time()", "1"):
            ours, theirs = pair.ask("/api/v1/query_range",
                {"query": query, "start": f"{MIDDLE}.001", "end": NOW, "step": "33.3"})
            same("/api/v1/query_range", {"query": query, "start": f"{MIDDLE}.001", "end": NOW, "step": "33.3"})
        ours, theirs = pair.ask("/api/v1/query_range",
            {"query": "demo_temperature_celsius", "start": MIDDLE, "end": NOW, "step": 60})
        assert ours.body == theirs.body, f"{ours} instead of {theirs}"

    @test("api: the samples of a range vector")
    def _():
        same("/api/v1/query", {"query": "demo_temperature_celsius[5m:15s]", "time": NOW + 7})
        same("/api/v1/query", {"query": "up[100s]", "time": NOW + 7})

    @test("api: functions, aggregations, operators")
    def _():
        for query in ("sum by (mode) (rate(demo_cpu_seconds_total[5m]))", "topk(2, demo_temperature_celsius)",
            "up == 0",
                      "demo_temperature_celsius > on (instance) group_left () (up * 25)",
                          "max_over_time(demo_temperature_celsius[20m:1m])",
                      "absent(nothing)", "count_values('v', up)", "-demo_gone offset 3h"):
            same("/api/v1/query", {"query": query, "time": NOW + 7}, alike=near)
            same("/api/v1/query_range", {"query": query, "start": MIDDLE + 7, "end": NOW, "step": 30}, alike=near)

    @test("api: parameters that are wrong are refused alike, whatever the method")
    def _():
        for method in ("GET", "POST"):
            for params in ({}, {"query": ""}, {"query": "sum("}, {"query": "up", "time": "yesterday"},
                {"query": "up", "timeout": "x"},
                           {"query": "up + on (a"}, {"query": "rate(up)"},
                               {"query": "up", "time": "2026-13-01T00:00:00Z"}):
                same("/api/v1/query", params, method)
            good = {"query": "up", "start": MIDDLE, "end": NOW, "step": 15}
            for change in ({"step": 0}, {"step": -1}, {"step": "x"}, {"step": ""}, {"start": NOW + 1}, {"start": ""},
                {"end": "never"},
                           {"step": "0.01"}, {"query": ""}):
                same("/api/v1/query_range", {**good, **change}, method)
            same("/api/v1/series", {}, method)
            same("/api/v1/series", {"match[]": "{}"}, method)
            same("/api/v1/series", {"match[]": '{a=""}'}, method)
            same("/api/v1/labels", {"match[]": "up{"}, method)
        for name in ("1+1=", "x/y"):
            ours, _ = pair.ask(f"/api/v1/label/{urllib.parse.quote(name, safe='')}/values")
            assert ours.status in (200, 400, 404), ours
        answer = call(pair.ours.url + "/api/v1/query_range",
            params={"query": "up", "start": MIDDLE, "end": NOW, "step": "0.01"})
        assert answer.json["error"] == (
            "exceeded maximum resolution of 11,000 points per timeseries. "
            "Try decreasing the query resolution (?step=XX)")

    @test("api: many-to-many matching is an error of execution, with its text")
    def _():
        same("/api/v1/query", {"query": "up + on (job) demo_cpu_seconds_total", "time": NOW})

    @test("api: times and durations in every form")
    def _():
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(NOW - 60))
        for when in (NOW - 60, f"{NOW - 60}.123", f"{stamp}Z", f"{stamp}.5Z", f"{stamp}+02:30", f"{NOW - 60}e0", "4",
            "-1", "0"):
            same("/api/v1/query", {"query": "up", "time": when})
        for step in ("30", "30s", "1m30s", "90", "1h", "12.5", "1e2"):
            same("/api/v1/query_range", {"query": "up", "start": MIDDLE, "end": f"{NOW}", "step": step})

    @test("api: series, label names and values")
    def _():
        window = {"start": pair.begin, "end": NOW}
        for match in (["up"], ["up", "demo_gone"], ['{job="node",__name__=~"demo_(cpu|gone).*"}'], ['{__name__!=""}'],
            ["up", "{job='node'}"]):
            ours, theirs = pair.ask("/api/v1/series", {"match[]": match, **window})
            key = lambda s: json.dumps(s, sort_keys=True)
            x, y = (sorted(answer.json["data"], key=key) for answer in (ours, theirs))
            assert x == y, f"{match}: {ours} instead of {theirs}"
            same("/api/v1/labels", {"match[]": match, **window}, "POST")
            same("/api/v1/label/instance/values", {"match[]": match, **window})
        for params in ({}, window):
            same("/api/v1/labels", params)
            for name in ("__name__", "mode", "text", "nothing"):
                same(f"/api/v1/label/{name}/values", params)

    @test("api: names in UTF-8 are unescaped")
    def _():
        answer = call(pair.ours.url + "/api/v1/label/U__te_78_t/values")
        assert answer.status == 200 and len(answer.json["data"]) == 1, answer
        assert call(pair.ours.url + "/api/v1/label/U__mo__de/values").json["data"] == []

    @test("api: limits cut and say so")
    def _():
        warning = ["results truncated due to limit"]
        for path, params in (("query", {"query": "up", "time": NOW}),
            ("query_range", {"query": "up", "start": MIDDLE, "end": NOW, "step": 60}),
                             ("series", {"match[]": "up"}), ("labels", {}), ("label/instance/values", {})):
            data = lambda a: a.json["data"]["result"] if path.startswith("query") else a.json["data"]
            whole = call(f"{pair.ours.url}/api/v1/{path}", params=params)
            cut = call(f"{pair.ours.url}/api/v1/{path}", params={**params, "limit": 2})
            assert len(data(cut)) == 2 and cut.json["warnings"] == warning, f"{path}: {cut} of {whole}"
            assert "warnings" not in whole.json, whole
            exact = call(f"{pair.ours.url}/api/v1/{path}", params={**params, "limit": len(data(whole))})
            assert data(exact) == data(whole) and "warnings" not in exact.json, exact
            bad = call(f"{pair.ours.url}/api/v1/{path}", params={**params, "limit": -1})
            assert bad.status == 400 and bad.json["errorType"] == "bad_data", bad

    @test("api: metadata of a metric, of all, and as many as asked for")
    def _():
        one = call(pair.ours.url + "/api/v1/metadata", params={"metric": "demo_temperature_celsius"}).json["data"]
        entry = {"type": "gauge", "help": "Help of demo_temperature_celsius.", "unit": ""}
        assert one == {"demo_temperature_celsius": [entry]}, one
        every = call(pair.ours.url + "/api/v1/metadata").json["data"]
        assert len(every) > 3 and all(len(v) == 1 for v in every.values()), every
        assert len(call(pair.ours.url + "/api/v1/metadata", params={"limit": 2}).json["data"]) == 2
        assert call(pair.ours.url + "/api/v1/metadata", params={"limit": "x"}).json["error"] == "limit must be a number"

    @test("api: statistics are given when they are asked for")
    def _():
        plain = call(pair.ours.url + "/api/v1/query", params={"query": "up", "time": NOW}).json["data"]
        assert "stats" not in plain
        for stats in ("true", "all"):
            ours, theirs = pair.ask("/api/v1/query", {"query": "up", "time": NOW, "stats": stats})
            a, b = ours.json["data"]["stats"], theirs.json["data"]["stats"]
            assert a["timings"].keys() == b["timings"].keys(), a
            assert set(b["samples"]) - set(a["samples"]) <= {"totalQueryableSamplesPerStep"}, a

    @test("api: formatted and parsed queries")
    def _():
        same("/api/v1/format_query",
            {"query": "sum by(mode)(rate(demo_cpu_seconds_total[5m]))  /  ignoring(x)group_left   up"})
        same("/api/v1/format_query", {"query": "foo /"}, "POST")
        tree = call(pair.ours.url + "/api/v1/parse_query", params={"query": "sum by (a) (b{c='d'}[5m])"})
        assert tree.status == 400, tree
        tree = call(pair.ours.url + "/api/v1/parse_query",
            params={"query": "sum by (a) (rate(b{c='d'}[5m]))"}).json["data"]
        assert tree["type"] == "aggregation" and tree["op"] == "sum" and tree["grouping"] == ["a"], tree

    @test("api: what does not exist yet is empty in Prometheus's form")
    def _():
        for path in ("rules", "alerts", "alertmanagers"):
            same(f"/api/v1/{path}", {})
        same("/api/v1/rules", {"type": "alert"})
        same("/api/v1/rules", {"type": "wrong"})
        assert call(pair.ours.url + "/api/v1/status/walreplay").json["data"]["state"] == "done"
        ours, theirs = pair.ask("/api/v1/status/tsdb")
        assert set(ours.json["data"]) >= set(theirs.json["data"]), ours

    @test("api: a page that is not there says so in Prometheus's words")
    def _():
        for path in ("/api/v1/nothing", "/ruler/api/v1/rules", "/api/v1/label/x", "/api/v1/labels/"):
            answer = call(pair.ours.url + path)
            assert answer.status == 404 and b"page not found" in answer.body, f"{path}: {answer}"

    @test("api: GET, POST, HEAD and OPTIONS; other methods are refused")
    def _():
        params = {"query": "up", "time": NOW}
        get, post = (call(pair.ours.url + "/api/v1/query", m, params) for m in ("GET", "POST"))
        assert get.body == post.body and get.status == 200
        head = call(pair.ours.url + "/api/v1/query", "HEAD", params)
        assert head.status == 200 and head.body == b"" and int(head.headers["Content-Length"]) == len(get.body)
        both = call(pair.ours.url + "/api/v1/query?query=nothing", "POST", params)  # the form comes first
        assert both.body == get.body, both
        for method in ("PUT", "DELETE", "PATCH"):
            assert call(pair.ours.url + "/api/v1/query", method, params).status == 405, method
        assert call(pair.ours.url + "/api/v1/label/job/values", "OPTIONS").status == 204

    @test("api: pages of other origins may read, and not write")
    def _():
        origin = {"Origin": "https://grafana.example"}
        for method in ("GET", "POST", "OPTIONS"):
            ours, theirs = pair.ask("/api/v1/query", {"query": "1"} if method != "OPTIONS" else None, method,
                headers=origin)
            names = ("Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers",
                "Access-Control-Expose-Headers")
            x, y = ({n: answer.headers[n] for n in names} for answer in (ours, theirs))
            assert x == y, f"{method}: {ours.headers}"
        refused = call(pair.ours.url + "/api/v1/write", "POST", body=b"x", headers=origin)
        assert refused.status == 403 and not refused.headers["Access-Control-Allow-Origin"], refused

    @test("api: answers are compressed as the client likes")
    def _():
        params = {"query": '{__name__=~".+"}', "start": MIDDLE, "end": NOW, "step": 15}
        plain = call(pair.ours.url + "/api/v1/query_range", params=params)
        packed = call(pair.ours.url + "/api/v1/query_range", params=params, headers={"Accept-Encoding": "gzip"})
        assert packed.headers["Content-Encoding"] == "gzip" and gzip.decompress(packed.body) == plain.body
        packed = call(pair.ours.url + "/api/v1/query_range", params=params, headers={"Accept-Encoding": "gzip, zstd"})
        assert packed.headers["Content-Encoding"] == "zstd", packed.headers
        assert subprocess.run(["zstd", "-dc"], input=packed.body, capture_output=True, check=True).stdout == plain.body

    @test("api: administration is off, and says how to turn it on")
    def _():
        for path in ("/api/v1/admin/tsdb/delete_series?match[]=up", "/api/v1/admin/tsdb/snapshot",
            "/api/v1/admin/tsdb/clean_tombstones"):
            answer = call(pair.ours.url + path, "POST")
            assert answer.status == 403 and "web.admin_api" in answer.json["error"], answer
        for path in ("/-/reload", "/-/quit"):
            answer = call(pair.ours.url + path, "POST")
            assert answer.status == 403 and b"web.lifecycle" in answer.body, answer
        assert pair.ours.process.poll() is None

    @test("federate: the same samples as Prometheus's, sorted by name")
    def _():
        params = {"match[]": ["demo_temperature_celsius", '{__name__="up"}', "demo_gone"]}
        ours, theirs = pair.ask("/federate", params)
        assert ours.headers["Content-Type"].startswith("text/plain; version=0.0.4"), ours.headers
        lines = lambda a: sorted(line for line in a.body.decode().splitlines() if not line.startswith("#"))
        strip = lambda a: [line.rsplit(" ", 2)[0] for line in lines(a)]
        assert strip(ours) == strip(theirs) and len(lines(ours)) == 12, f"{ours} instead of {theirs}"
        x, y = (parse(re.sub(r" \d+$", "", answer.body.decode(), flags=re.M)) for answer in (ours, theirs))
        assert x == y, f"{ours} instead of {theirs}"
        names = [line.split("{")[0] for line in ours.body.decode().splitlines() if not line.startswith("#")]
        assert names == sorted(names)
        assert call(pair.ours.url + "/federate").body == b""
        assert call(pair.ours.url + "/federate", params={"match[]": "{"}).status == 400

    @test("api: a client that goes away ends its query")
    def _():
        counter = lambda: value(parse(call(pair.ours.url + "/metrics/self").body.decode()),
            "parallax_queries_abandoned_total")
        before = counter()
        heavy = " + ".join(f"sum(quantile_over_time(0.{n}, demo_cpu_seconds_total[4h:5s]))" for n in range(100, 280))
        path = "/api/v1/query_range?" + urllib.parse.urlencode(
            {"query": heavy, "start": pair.begin, "end": NOW, "step": 2, "lookback_delta": "5m"})
        with socket.create_connection(("127.0.0.1", pair.ours.port)) as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            time.sleep(0.1)
        wait_for(lambda: counter() > before, 5, "the query is counted as abandoned")

    @test("api: a query that takes too long is said to")
    def _():
        answer = call(pair.ours.url + "/api/v1/query_range",
            params={"query": "demo_extreme", "start": pair.begin, "end": NOW, "step": 2, "timeout": "0.000001"})
        assert answer.status == 503 and answer.json["errorType"] == "timeout", answer
finally:
    pair.close()

finish()
