"""Whether two answers of the HTTP API say the same, to 1e-12 of each value."""
import math

RELATIVE = 1e-12


def same_number(a, b, slack=0.0):
    a, b = float(a), float(b)
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or (math.isfinite(a) and math.isfinite(b) and abs(a - b) <= max(RELATIVE * max(abs(a), abs(b)), slack))


def same_histogram(a, b, slack):
    if not same_number(a["count"], b["count"], slack) or not same_number(a["sum"], b["sum"], slack):
        return False
    left, right = a.get("buckets") or [], b.get("buckets") or []
    return len(left) == len(right) and all(x[0] == y[0] and all(same_number(p, q, slack) for p, q in zip(x[1:], y[1:])) for x, y in zip(left, right))


def key(row):
    return tuple(sorted(row["metric"].items()))


def points(row):
    """{time: value or histogram} of a row of a vector or a matrix."""
    found = {}
    for name in ("value", "histogram"):
        if name in row:
            found[row[name][0]] = row[name][1]
    for name in ("values", "histograms"):
        found.update({t: v for t, v in row.get(name) or []})
    return found


def shown(labels):
    return "{" + ", ".join(f'{k}="{v}"' for k, v in labels) + "}"


def difference_of_rows(labels, a, b, slack):
    a, b = points(a), points(b)
    if a.keys() != b.keys():
        lack, more = sorted(b.keys() - a.keys()), sorted(a.keys() - b.keys())
        return "points", f"{shown(labels)}: ours has not {lack[:3]}, and has {[(t, a[t]) for t in more[:3]]} besides"
    for t in sorted(a):
        x, y = a[t], b[t]
        if isinstance(x, dict) != isinstance(y, dict):
            return "value", f"{shown(labels)} at {t}: one is a histogram: {x} / {y}"
        if not (same_histogram(x, y, slack) if isinstance(x, dict) else same_number(x, y, slack)):
            return "value", f"{shown(labels)} at {t}: {x} / {y}"
    return None


def difference(ours, theirs, ordered=False, slack=0.0):
    """None, or (kind, text). Answers are (HTTP status, decoded body)."""
    (ours_status, ours), (theirs_status, theirs) = ours, theirs
    if ours.get("status") != theirs.get("status"):
        return "error", f"ours: {ours_status} {ours.get('error', 'success')} / theirs: {theirs_status} {theirs.get('error', 'success')}"
    if ours["status"] == "error":
        if (ours_status, ours["errorType"]) != (theirs_status, theirs["errorType"]):
            return "error type", f"{ours_status} {ours['errorType']}: {ours['error']} / {theirs_status} {theirs['errorType']}: {theirs['error']}"
        return None
    a, b = ours["data"], theirs["data"]
    if a["resultType"] != b["resultType"]:
        return "type", f"{a['resultType']} / {b['resultType']}"
    if a["resultType"] == "string":
        return None if a["result"] == b["result"] else ("value", f"{a['result']} / {b['result']}")
    if a["resultType"] == "scalar":
        same = a["result"][0] == b["result"][0] and same_number(a["result"][1], b["result"][1], slack)
        return None if same else ("value", f"{a['result']} / {b['result']}")
    left, right = {key(r): r for r in a["result"]}, {key(r): r for r in b["result"]}
    if len(left) != len(a["result"]):
        return "series", "a series twice in ours"
    if left.keys() != right.keys():
        return "series", f"ours has not {[shown(x) for x in sorted(right.keys() - left.keys())[:3]]}, and has {[shown(x) for x in sorted(left.keys() - right.keys())[:3]]} besides"
    for labels in sorted(left):
        found = difference_of_rows(labels, left[labels], right[labels], slack)
        if found:
            return found
    if ordered and a["resultType"] == "vector":
        for x, y in zip(a["result"], b["result"]):
            if "value" in x and "value" in y and not same_number(x["value"][1], y["value"][1], slack):
                return "order", f"{[r['value'][1] for r in a['result']]} / {[r['value'][1] for r in b['result']]}"
    return None
