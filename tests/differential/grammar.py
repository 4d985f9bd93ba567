"""Random expressions over all that Prometheus 2.42 knows, as trees that can be made smaller.

A Node has a type ("vector", "matrix", "scalar", "string"), a format with a place for each child, and for 2.42 another format where a
function has another name there. Windows of selectors may be anything: no sample is on their edges (data.py). The steps of a subquery are at
multiples of its step, so its window must not begin on one: queries end on half seconds, and what is inside a subquery gets half a
second more where it has windows of subqueries itself."""
import random


class Node:
    __slots__ = ("type", "format", "old", "children", "tag")

    def __init__(self, type_, format_, *children, old=None, tag=None):
        self.type, self.format, self.old, self.children, self.tag = type_, format_, old, list(children), tag

    def text(self, old=False):
        return (self.old if old and self.old else self.format).format(*[c.text(old) for c in self.children])

    def nodes(self):
        yield self
        for child in self.children:
            yield from child.nodes()

    def size(self):
        return sum(1 for _ in self.nodes())

    def replaced(self, path, node):
        """A copy with another node at the path of child numbers."""
        if not path:
            return node
        children = list(self.children)
        children[path[0]] = children[path[0]].replaced(path[1:], node)
        copy = Node(self.type, self.format, *children, old=self.old, tag=self.tag)
        return copy


METRICS = {
    "gauge": ("job", "instance", "zone"), "mem_bytes": ("job", "instance"), "odd": ("job", "instance"), "flap": ("job", "instance"),
    "sparse": ("job",), "flat": ("job",), "build_info": ("job", "instance", "version"), "requests_total": ("job", "instance", "code"),
    "small_total": ("job",), "latency_bucket": ("job", "le"), "latency_count": ("job",), "latency_sum": ("job",), "nothing": ("job",),
}
FLOATS = ("gauge", "gauge", "gauge", "mem_bytes", "odd", "flap", "flap", "sparse", "flat", "build_info", "requests_total", "requests_total",
          "small_total", "latency_bucket", "latency_count", "nothing")
COUNTERS = ("requests_total", "requests_total", "small_total", "latency_bucket", "latency_count", "latency_sum")
VALUES = {"job": ("api", "db", "web"), "instance": ("i0", "i1", "i2"), "zone": ("a", "b"), "version": ("1", "2"), "code": ("200", "404", "500"),
          "le": ("0.1", "1", "+Inf"), "absent": ("x",)}

ELEMENTWISE = ("abs", "ceil", "floor", "exp", "ln", "log2", "log10", "sqrt", "sgn", "round", "sin", "cos", "tan", "asin", "acos", "atan", "sinh",
               "cosh", "tanh", "asinh", "acosh", "atanh", "deg", "rad", "timestamp")
DATES = ("minute", "hour", "day_of_week", "day_of_month", "day_of_year", "days_in_month", "month", "year")
OVER_TIME = ("avg_over_time", "min_over_time", "max_over_time", "sum_over_time", "count_over_time", "stddev_over_time", "stdvar_over_time",
             "last_over_time", "present_over_time", "changes", "resets", "deriv", "idelta", "delta", "irate", "rate", "increase")
RATES = ("rate", "increase", "irate")
AGGREGATES = ("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar")
ARITHMETIC = ("+", "-", "*", "/", "%", "^", "atan2")
COMPARISON = ("==", "!=", ">", "<", ">=", "<=")
SETS = ("and", "or", "unless")


class Grammar:
    def __init__(self, rng, begin_s, end_s):
        self.rng, self.begin_s, self.end_s = rng, begin_s, end_s
        self.inside = 0  # subqueries around this place

    def pick(self, *choices):
        return self.rng.choice(choices)

    def maybe(self, share):
        return self.rng.random() < share

    # ---- Leaves ----

    def number(self):
        return Node("scalar", self.pick("0", "1", "2", "-1", "0.5", "3", "10", "100", "1e3", "-2.25", "60", "NaN", "Inf", "-Inf", "0x10"))

    def matcher(self, label):
        value = self.rng.choice(VALUES[label])
        return self.pick(f'{label}="{value}"', f'{label}!="{value}"', f'{label}=~"{value}"', f'{label}!~"{value}"', f'{label}=~".*{value[-1]}"',
                         f'{label}=~"{value}|nope"', f'{label}!=""', f'{label}=~".+"', f'{label}!~"{value[0]}.*"',
                         f'{label}=~"{value}.?"', f'{label}=""' if self.maybe(0.2) else f'{label}!="nope"').replace("{", "{{").replace("}", "}}")

    def braces(self, labels):
        matchers = [self.matcher(self.rng.choice(labels + ("absent",) if self.maybe(0.05) else labels)) for _ in range(self.rng.choice((0, 0, 0, 0, 1, 2)))]
        return "{{" + ",".join(matchers) + "}}" if matchers or self.maybe(0.05) else ""

    def when(self, inside=0):
        """offset and @, within so many subqueries."""
        parts = []
        if self.maybe(0.18):
            parts.append("offset " + self.pick("30s", "1m", "5m", "7m", "17s", "1h", "-1m", "-10m", "1m30s"))
        if self.maybe(0.08):
            second = self.rng.randint(self.begin_s, self.end_s)
            parts.append("@ " + (f"{second}" if inside else self.pick("start()", "end()", f"{second}.5")))
        self.rng.shuffle(parts)
        return "".join(" " + p for p in parts)

    def range(self):
        return self.pick("30s", "47s", "1m", "2m", "5m", "5m", "10m", "17m", "1h", "90s", "15s" if self.maybe(0.3) else "3m")

    def selector(self, metrics=FLOATS, range_=""):
        if metrics is FLOATS and self.maybe(0.03):
            text = self.pick('{{__name__=~"gauge|flat"}}', '{{__name__=~"latency_.+",job="api"}}', '{{job="db",__name__!="native"}}',
                             '{{__name__="flat"}}', '{{instance="i2",__name__!~"native|build.*"}}')
        else:
            metric = self.rng.choice(metrics)
            text = metric + self.braces(METRICS.get(metric, ("job",)))
        return Node("matrix" if range_ else "vector", text + (f"[{range_}]" if range_ else "") + self.when())

    # ---- Matrices ----

    def matrix(self, depth, metrics=FLOATS):
        if depth <= 1 or self.maybe(0.75):
            return self.selector(metrics, self.range())
        range_ = self.pick("1m", "2m", "5m", "10m", "3m20s", "30m")
        step = self.pick("", "10s", "15s", "30s", "1m", "47s", "7s", "2m")
        if self.inside:
            range_ = range_ + "500ms"
        self.inside += 1
        inner = self.vector(depth - 1)
        self.inside -= 1
        return Node("matrix", "({0})[" + range_ + ":" + step + "]" + self.when(self.inside), inner, tag="subquery")

    # ---- Scalars and strings ----

    def scalar(self, depth):
        roll = self.rng.random()
        if depth <= 0 or roll < 0.6:
            return self.number()
        if roll < 0.7:
            return Node("scalar", "time()")
        if roll < 0.8:
            return Node("scalar", "scalar({0})", self.vector(depth - 1))
        if roll < 0.85:
            return Node("scalar", "pi()")
        if roll < 0.95:
            return Node("scalar", "({0} " + self.rng.choice(ARITHMETIC) + " {1})", self.scalar(depth - 1), self.scalar(depth - 1))
        return Node("scalar", "({0} " + self.rng.choice(COMPARISON) + " bool {1})", self.scalar(depth - 1), self.scalar(depth - 1))

    # ---- Vectors ----

    def vector(self, depth):
        if depth <= 0:
            return self.selector()
        kinds = ((self.selector_or_paren, 8), (self.over_time, 20), (self.elementwise, 12), (self.aggregate, 16), (self.binary, 22),
                 (self.binary_scalar, 10), (self.quantiles, 6), (self.labels, 4), (self.rare, 5), (self.ranked, 5))
        return self.rng.choices([k for k, _ in kinds], [w for _, w in kinds])[0](depth)

    def selector_or_paren(self, depth):
        return self.selector() if self.maybe(0.7) else Node("vector", self.pick("({0})", "-{0}", "+{0}", "-({0})"), self.vector(depth - 1))

    def over_time(self, depth):
        if self.maybe(0.35):
            return Node("vector", self.rng.choice(RATES) + "({0})", self.matrix(depth, COUNTERS))
        roll = self.rng.random()
        if roll < 0.06:
            return Node("vector", "quantile_over_time({0}, {1})", self.quantile_parameter(), self.matrix(depth))
        if roll < 0.11:
            return Node("vector", "predict_linear({0}, {1})", self.matrix(depth), self.scalar(0))
        if roll < 0.16:
            a, b = self.pick("0.1", "0.5", "0.9", "0.3"), self.pick("0.1", "0.5", "0.8")
            return Node("vector", f"double_exponential_smoothing({{0}}, {a}, {b})", self.matrix(depth), old=f"holt_winters({{0}}, {a}, {b})")
        if roll < 0.2:
            return Node("vector", "absent_over_time({0})", self.matrix(depth))
        function = self.rng.choice(OVER_TIME)
        # Of what is no counter and has gaps: only where its samples can be looked at (justified.py).
        metrics = COUNTERS if self.inside and function in RATES else FLOATS
        return Node("vector", function + "({0})", self.matrix(depth, metrics))

    def quantile_parameter(self):
        return Node("scalar", self.pick("0", "0.5", "0.9", "1", "0.25", "-1", "2", "NaN", "0.123"))

    def elementwise(self, depth):
        roll = self.rng.random()
        inner = self.vector(depth - 1)
        if roll < 0.08:
            return Node("vector", "clamp({0}, {1}, {2})", inner, self.scalar(1), self.scalar(1))
        if roll < 0.16:
            return Node("vector", self.pick("clamp_min", "clamp_max") + "({0}, {1})", inner, self.scalar(1))
        if roll < 0.24:
            return Node("vector", "round({0}, {1})", inner, self.scalar(0))
        if roll < 0.36:
            return Node("vector", self.rng.choice(DATES) + "({0})", inner)
        if roll < 0.4:
            return Node("vector", self.rng.choice(DATES) + "()")
        return Node("vector", self.rng.choice(ELEMENTWISE) + "({0})", inner)

    def grouping(self):
        if self.maybe(0.25):
            return ""
        labels = self.rng.sample(("job", "instance", "zone", "code", "version", "le", "absent"), self.rng.randint(0, 3))
        return " " + self.pick("by", "by", "without") + " (" + ", ".join(labels) + ")"

    def aggregated(self, op, inner, parameter=None):
        grouping = self.grouping()
        arguments = ["{0}"] if parameter is None else ["{0}", "{1}"]
        text = f"{op}{grouping} ({', '.join(arguments)})" if self.maybe(0.5) else f"{op}({', '.join(arguments)}){grouping}"
        return Node("vector", text, *([inner] if parameter is None else [parameter, inner]))

    def aggregate(self, depth):
        if self.maybe(0.08):
            return self.aggregated("quantile", self.vector(depth - 1), self.quantile_parameter())
        if self.maybe(0.05):
            return self.aggregated("count_values", self.selector(), Node("string", self.pick('"value"', '"job"', '"v"')))
        return self.aggregated(self.rng.choice(AGGREGATES), self.vector(depth - 1))

    def ranked(self, depth):
        """topk and bottomk, of values that hardly ever are equal: which of equal ones comes is not said anywhere."""
        inner = self.selector(("gauge", "mem_bytes")) if self.maybe(0.5) else Node("vector", "avg_over_time({0})", self.selector(("gauge",), self.range()))
        ranked = self.aggregated(self.pick("topk", "bottomk"), inner, Node("scalar", self.pick("1", "2", "3", "5", "0", "-1", "100")))
        return Node("vector", self.pick("sort({0})", "sort_desc({0})"), ranked) if self.maybe(0.2) else ranked

    def matching(self, depth):
        labels = self.rng.sample(("job", "instance", "zone", "code", "version"), self.rng.randint(0, 2))
        text = " " + self.pick("on", "on", "ignoring") + "(" + ", ".join(labels) + ")"
        if self.maybe(0.3):
            include = self.rng.sample(("zone", "version", "code", "absent"), self.rng.choice((0, 0, 1, 2)))
            text += " " + self.pick("group_left", "group_right") + ("(" + ", ".join(include) + ")" if include or self.maybe(0.3) else "")
        return text

    def binary(self, depth):
        roll = self.rng.random()
        if roll < 0.2:
            return self.many_to_one()
        left = self.vector(depth - 1)
        right = left if self.maybe(0.4) else self.vector(depth - 1)
        if roll < 0.45:
            text = " " + self.rng.choice(SETS) + (" " + self.pick("on", "ignoring") + "(" + self.pick("job", "instance", "job, instance", "") + ")" if self.maybe(0.5) else "")
        else:
            op = self.rng.choice(ARITHMETIC if self.maybe(0.65) else COMPARISON)
            if op in COMPARISON and right is left and "(" in left.format:
                right = self.selector()  # 2.42 adds up in any order, and what is calculated twice may differ from itself
            text = " " + op + (" bool" if op in COMPARISON and self.maybe(0.4) else "") + (self.matching(depth) if self.maybe(0.45) else "")
        return Node("vector", "({0}" + text + " {1})", left, right, tag="binary")

    def many_to_one(self):
        """Pairs that do match."""
        op = self.rng.choice(ARITHMETIC if self.maybe(0.7) else COMPARISON)
        one = Node("vector", self.pick("build_info", "build_info", 'gauge{{instance!="i3"}}', 'max by (job, instance) (build_info)'))
        many = self.pick(self.selector(("requests_total", "gauge")), Node("vector", "rate({0})", self.selector(("requests_total",), self.range())))
        include = self.pick("", "(version)", "(version, zone)", "()")
        if self.maybe(0.5):
            return Node("vector", "({0} " + op + " on (job, instance) group_left" + include + " {1})", many, one, tag="binary")
        return Node("vector", "({0} " + op + " on (job, instance) group_right" + include + " {1})", one, many, tag="binary")

    def binary_scalar(self, depth):
        vector, scalar = self.vector(depth - 1), self.scalar(depth - 1)
        op = self.rng.choice(ARITHMETIC if self.maybe(0.6) else COMPARISON)
        if op in COMPARISON and self.maybe(0.4):
            op += " bool"
        return Node("vector", "({0} " + op + " {1})", *((vector, scalar) if self.maybe(0.6) else (scalar, vector)), tag="binary")

    def quantiles(self, depth):
        buckets = self.selector(("latency_bucket",)) if self.maybe(0.4) else Node("vector", self.pick("rate", "increase") + "({0})", self.selector(("latency_bucket",), self.pick("2m", "5m", "1h")))
        if self.maybe(0.6):
            buckets = Node("vector", self.pick("sum by (le) ({0})", "sum by (job, le) ({0})", "sum({0}) by (le)", "avg without (absent) ({0})"), buckets)
        return Node("vector", "histogram_quantile({0}, {1})", self.quantile_parameter() if self.maybe(0.8) else self.scalar(1), buckets)

    def labels(self, depth):
        inner = self.vector(depth - 1)
        if self.maybe(0.5):
            source = self.pick("job", "instance", "zone", "absent")
            regex, put = self.pick(("(.*)", "$1"), ("i(.)", "node-$1"), ("(a|w)(.+)", "$2$1"), ("api", "x"), ("", "none"), (".*", ""), ("(?P<first>.).*", "${{first}}y"))
            return Node("vector", f'label_replace({{0}}, "{self.pick("dst", "job", "zone")}", "{put}", "{source}", "{regex}")', inner)
        sources = ", ".join(f'"{s}"' for s in self.rng.sample(("job", "instance", "zone", "absent"), self.rng.randint(1, 3)))
        return Node("vector", f'label_join({{0}}, "{self.pick("dst", "job")}", "{self.pick("-", "", "::")}", {sources})', inner)

    def rare(self, depth):
        kind = self.rng.randrange(5)
        if kind == 0:
            return Node("vector", "vector({0})", self.scalar(depth - 1))
        if kind == 1:
            return Node("vector", "absent({0})", self.vector(depth - 1) if self.maybe(0.4) else self.selector(("nothing", "flap", "sparse")))
        if kind == 2:
            return Node("vector", self.pick("sort", "sort_desc") + "({0})", self.vector(depth - 1))
        if kind == 3:
            return Node("vector", "timestamp({0})", self.selector())
        return Node("vector", "({0} or vector({1}))", self.vector(depth - 1), self.scalar(0), tag="binary")

    def native(self):
        """What 2.42 can do with native histograms; nothing around it, since it takes them for zeros in most functions."""
        selector = self.selector(("native",))
        roll = self.rng.random()
        if roll < 0.3:
            inner = Node("vector", self.pick("rate", "increase") + "({0})", self.selector(("native",), self.pick("1m", "2m", "5m", "1h")))
        elif roll < 0.5:
            inner = Node("vector", self.pick("sum", "sum by (job)", "sum without (job)") + "({0})", selector)
        elif roll < 0.6:
            inner = Node("vector", "({0} + {1})", selector, selector)
        else:
            inner = selector
        if self.maybe(0.6):
            return Node("vector", self.pick("histogram_count", "histogram_sum") + "({0})", inner)
        return inner

    # ---- Queries ----

    def query(self):
        """An expression that a query may have: mostly a vector."""
        roll = self.rng.random()
        depth = self.rng.choice((1, 1, 2, 2, 2, 3, 3, 4))
        if roll < 0.04:
            return self.scalar(depth)
        if roll < 0.08:
            return self.native()
        return self.vector(depth)

    def instant_query(self):
        return self.matrix(2) if self.maybe(0.03) else Node("string", '"a\\tb"') if self.maybe(0.002) else self.query()


def smaller(tree):
    """Trees that are smaller: one node replaced by something below it of its type, or by the simplest of its type."""
    simplest = {"vector": Node("vector", "flat"), "matrix": Node("matrix", "flat[5m]"), "scalar": Node("scalar", "1"), "string": Node("string", '"v"')}

    def places(node, path):
        yield node, path
        for i, child in enumerate(node.children):
            yield from places(child, path + (i,))

    for node, path in places(tree, ()):
        for below in node.nodes():
            if below is not node and below.type == node.type:
                yield tree.replaced(path, below)
        if node.children and node.type in simplest:
            yield tree.replaced(path, simplest[node.type])
        if not node.children:
            yield from (tree.replaced(path, leaf) for leaf in simpler_leaves(node))


def simpler_leaves(node):
    """Of a leaf: without offset and @, without each matcher."""
    text, _, _ = node.format.partition(" offset")
    text, _, _ = text.partition(" @")
    if text != node.format:
        yield Node(node.type, text)
    begin, end = node.format.find("{{"), node.format.find("}}")
    if begin > 0 and end > begin:
        yield Node(node.type, node.format[:begin] + node.format[end + 2:])
