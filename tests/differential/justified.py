"""The differences to 2.42 that are right, each with its reason: Prometheus 3.x answers as we do.

A row: a name, the reason, and whether it explains a difference, given the case (text, tree) and what differs. Whatever no row explains
fails."""
import re


class Row:
    def __init__(self, name, reason, applies):
        self.name, self.reason, self.applies = name, reason, applies


def uses(*words):
    pattern = re.compile(r"\b(" + "|".join(words) + r")\b")
    return lambda case, kind, text: bool(pattern.search(case.text))


def value_is(pattern):
    pattern = re.compile(pattern)
    return lambda case, kind, text: kind == "value" and bool(pattern.search(text))


def near(text, relative):
    """Whether both values of a difference are so close."""
    values = re.search(r": (\S+) / (\S+)$", text)
    if not values:
        return False
    a, b = float(values.group(1)), float(values.group(2))
    return abs(a - b) <= relative * max(abs(a), abs(b))


def apart(text):
    values = re.search(r": (\S+) / (\S+)$", text)
    return abs(float(values.group(1)) - float(values.group(2))) if values else float("inf")


def both(*conditions):
    return lambda *case: all(condition(*case) for condition in conditions)


def of_kind(*kinds):
    return lambda case, kind, text: kind in kinds


ROWS = [
    Row("name after atan2", "2.42 forgets to take the metric's name away after atan2; 3.x takes it as after other arithmetic", both(uses("atan2"), lambda case, kind, text: kind == "series" or (kind == "error" and "same labelset" in text))),
    Row("spread of infinity", "3.x calls standard deviation and variance of infinite values NaN, 2.42 says 0 for a single one", both(uses("stddev", "stdvar"), value_is(r": NaN / 0$"))),
    Row("matches that are filtered", "3.x looks for many-to-one matching before a comparison drops what it compared, 2.42 after it",
        both(lambda case, kind, text: bool(re.search(r" (==|!=|[<>]=?)", case.text)), of_kind("error"), lambda case, kind, text: bool(re.search("ours: 422 (multiple matches for labels)", text)))),
    Row("exp, sinh and cosh", "those of the C library reach as far as their values are finite, Go's not quite",
        both(uses("exp", "sinh", "cosh"), value_is(r": -?[0-9.]+e\+?30[78] / [+-]Inf$"))),
    Row("timestamp() with @ and offset", "Prometheus forgets the offset of a selector with @ in timestamp()",
        both(uses("timestamp"), lambda case, kind, text: " @ " in case.text and " offset " in case.text)),
    Row("predict_linear() with @", "2.42 loses the samples of a window with @ after the first step of a range or a subquery",
        lambda case, kind, text: (case.range or ":" in case.text) and bool(re.search(r"predict_linear\(.*@", case.text))),
    Row("last digits of a spread", "standard deviation and variance of values that lie close together come from differences that have lost their digits, in the order in which the series "
        "are added up", both(uses("stddev", "stdvar"), lambda case, kind, text: kind == "value" and near(text, 1e-8))),
    Row("angles and remainders of what is calculated", "the last digit of an argument far from zero is in all digits of its sine, and of what is left of it",
        both(lambda case, kind, text: bool(re.search(r"\b(sin|cos|tan)\((\(|-|\w+ *\(|\w+ (by|without))|\) %|% \(", case.text)), of_kind("value"))),
    Row("differences of what is calculated", "what rate() and its kin find between values that are nearly equal has lost the digits that these have in common",
        both(lambda case, kind, text: bool(re.search(r"\b(rate|increase|irate|delta|idelta|deriv|predict_linear)\(\(.*\)\[[^]]*:", case.text)),
             lambda case, kind, text: kind == "value" and near(text, 1e-6))),
    Row("means that fall by a digit", "2.42's mean of equal values may be less than the one before in its last digit, which is a reset to increase(); 3.x divides the sum",
        both(lambda case, kind, text: bool(re.search(r"\b(rate|increase|irate|resets|changes)\(\(.*\bavg.*\)\[[^]]*:", case.text)), of_kind("value"))),
    Row("last digits of a mean", "2.42 adds up means step by step where 3.x divides the sum: what is zero, or on the edge of a whole number, may be a little off",
        both(uses("avg", "avg_over_time"), lambda case, kind, text: kind == "value" and (apart(text) < 1e-10 or uses("ceil", "floor", "round", "sgn")(case, kind, text)))),
    Row("count_values() over a range", "2.42 adds the new label behind the sorted ones after the first step, and loses others by that; its instant queries are right",
        lambda case, kind, text: case.range and kind == "series" and "count_values by" in case.text or case.range and kind == "series" and bool(re.search(r"count_values\(.*\) by", case.text))),
]

RATE = re.compile(r"(rate|increase)\((.*)\)", re.DOTALL)


def extrapolated(samples, range_s, end_s, zero_first):
    """What rate() multiplies with and what the counter grew; by 3.x's order or by 2.42's (`zero_first`)."""
    grown, before = samples[-1][1] - samples[0][1], samples[0][1]
    for _, v in samples[1:]:
        grown += before if v < before else 0
        before = v
    sampled = samples[-1][0] - samples[0][0]
    apart = sampled / (len(samples) - 1)
    to_start, to_end, most = samples[0][0] - (end_s - range_s), end_s - samples[-1][0], apart * 1.1
    zero = sampled * samples[0][1] / grown if grown > 0 and samples[0][1] >= 0 else float("inf")
    if zero_first:
        to_start = min(to_start, zero)
        to_start = to_start if to_start < most else apart / 2
    else:
        to_start = min(to_start if to_start < most else apart / 2, zero)
    to_end = to_end if to_end < most else apart / 2
    return grown * (sampled + to_start + to_end) / sampled


SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


def seconds(text):
    return sum(int(n) * SECONDS[unit] for n, unit in re.findall(r"(\d+)(ms|s|m|h)", text))


def is_order_of_extrapolation(case, text, answer_of):
    """Whether a query at an instant is rate() or increase() of something, and both answers are what the two orders give of its samples."""
    found = RATE.fullmatch(case.text)
    window = re.search(r"\[((?:\d+(?:ms|s|m|h))+)(?::[^]]*)?\](?: offset [^ ()]+| @ [^ ]+)*$", found.group(2)) if found else None
    values = re.search(r"^\{(.*)\} at \S+: (\S+) / (\S+)$", text)
    if case.range or not window or not values:
        return False
    end_s = case.times["time"]
    at, offset = re.search(r" @ ([0-9.]+)", window.group(0)), re.search(r" offset (-?)(\S+)", window.group(0))
    end_s = float(at.group(1)) if at else end_s
    if offset:
        end_s -= (-1 if offset.group(1) else 1) * seconds(offset.group(2))
    range_s = seconds(window.group(1))
    _, body = answer_of(case.with_text(found.group(2)))
    for row in body.get("data", {}).get("result", []):
        labels = ", ".join(f'{k}="{v}"' for k, v in sorted(row["metric"].items()) if k != "__name__")
        if labels == values.group(1) and len(row.get("values", [])) > 1:
            samples = [(float(t), float(v)) for t, v in row["values"]]
            by = range_s if found.group(1) == "rate" else 1
            ours, theirs = (extrapolated(samples, range_s, end_s, first) / by for first in (False, True))
            close = lambda a, b: abs(a - float(b)) <= 1e-7 * abs(a)  # seconds since 1970 have seven digits behind the point
            return not close(ours, theirs) and close(ours, values.group(2)) and close(theirs, values.group(3))
    return False


EXTRAPOLATION = Row("order of extrapolation", "3.x limits rate() and increase() by half the distance of samples before it looks where the counter was zero, 2.42 after it; "
                    "both values are calculated from the samples", is_order_of_extrapolation)
ROWS.append(EXTRAPOLATION)


def explain(case, kind, text):
    """The row that explains a difference by what it looks like."""
    for row in ROWS:
        if row is not EXTRAPOLATION and row.applies(case, kind, text):
            return row
    return None


def explain_small(case, kind, text, answer_of):
    """The same for one that has been made as small as can be, with questions to our server."""
    if kind == "value" and EXTRAPOLATION.applies(case, text, answer_of):
        return EXTRAPOLATION
    return explain(case, kind, text)
