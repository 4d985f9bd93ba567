"""The samples that both servers hold, and remote write to bring them there.

Values are multiples of 1/64 below 2^30, so that sums of them are exact whatever the order in which they are added: what differs then is a
defect and not rounding. Every sample's time ends in 137 ms, every query's in 0 or 500 ms: no sample is ever on the edge of a
window, where 3.x (left-open) and 2.42 (closed) select differently.

Counters come back from a reset high above what they grow in a window, and `small_total` has no gap: where the extrapolation of
rate() is limited by both zero and a gap 3.x decides in another order than 2.42 (tests/promql/rate.test has that)."""
import math
import random
import struct
import urllib.request

STEP_MS = 15_000
ODD_MS = 137
HOURS = 3
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]


class Series:
    def __init__(self, name, **labels):
        self.labels = tuple(sorted({"__name__": name, **labels}.items()))
        self.samples = []  # (ms, float or Histogram)


class Histogram:
    """Schema, zero bucket and integer counts of buckets from `offset` on, one run a side."""

    def __init__(self, schema, zero, offset, counts, total, negative=()):
        self.schema, self.zero, self.offset, self.counts, self.total, self.negative = schema, zero, offset, list(counts), total, list(negative)

    def copy(self):
        return Histogram(self.schema, self.zero, self.offset, self.counts, self.total, self.negative)


def dyadic(x):
    return round(x * 64) / 64


# ---- What there is ----


def every(count, keep=lambda k: True):
    return [k for k in range(count) if keep(k)]


def gaps(rng, count, share):
    """Which of `count` steps are there: with holes from one step to ten minutes."""
    there, k = [True] * count, 0
    while k < count:
        k += rng.randint(20, int(40 / share))
        for hole in range(k, min(count, k + rng.choice((1, 2, 5, 12, 25, 45)))):
            there[hole] = False
    return there


def walk(rng, count, low, high, stride):
    value, out = rng.uniform(low, high), []
    for _ in range(count):
        value = min(high, max(low, value + rng.uniform(-stride, stride)))
        out.append(dyadic(value))
    return out


def counter(rng, count, base, rate, resets):
    value, out = base, []
    for _ in range(count):
        value += dyadic(rng.choice((0, 0.3, 1, 1.7)) * rate)
        if resets and rng.random() < 1 / resets:
            value = base + dyadic(rng.uniform(0, 64))
        out.append(value)
    return out


def gauges(rng, count):
    for job in ("api", "db", "web"):
        for instance in range(3):
            series = Series("gauge", job=job, instance=f"i{instance}", zone="ab"[(instance + len(job)) % 2])
            there = gaps(rng, count, 0.2) if instance else [True] * count
            values = walk(rng, count, -500, 1000, 40)
            yield series, [(k, values[k]) for k in every(count, lambda k: there[k])]
    for job in ("api", "db"):
        series = Series("mem_bytes", job=job, instance="i0")
        yield series, list(enumerate(float(round(v)) for v in walk(rng, count, 1 << 20, 1 << 24, 1 << 18)))


def odd_ones(rng, count):
    """Special values, stale series, sparse ones, constants."""
    special = (math.nan, math.inf, -math.inf, 0.0, 1.0, -1.0, 2.5)
    for instance in range(2):
        yield Series("odd", instance=f"i{instance}", job="api"), [(k, rng.choice(special) if rng.random() < 0.2 else dyadic(rng.uniform(-8, 8))) for k in range(count)]
    for instance in range(3):
        ends = sorted(rng.sample(range(20, count), 6))
        points, alive = [], True
        for k in range(count):
            if k in ends:
                points += [(k, STALE)] if alive and rng.random() < 0.8 else []
                alive = not alive
            elif alive:
                points.append((k, float(instance + k % 5)))
        yield Series("flap", instance=f"i{instance}", job="web"), points
    for job in ("api", "db"):
        yield Series("sparse", job=job), [(k, float(k % 7)) for k in range(0, count, 13 if job == "api" else 29)]
    yield Series("flat", job="api"), [(k, 42.0) for k in range(count)]
    for version, instance in (("1", "i0"), ("2", "i1"), ("2", "i2")):
        for job in ("api", "db", "web"):
            yield Series("build_info", job=job, instance=instance, version=version), [(k, 1.0) for k in range(count)]


def counters(rng, count):
    for job in ("api", "web"):
        for instance in range(2):
            for code in ("200", "404", "500"):
                series = Series("requests_total", job=job, instance=f"i{instance}", code=code)
                there = gaps(rng, count, 0.3) if instance else [True] * count
                values = counter(rng, count, 1e6, {"200": 40, "404": 3, "500": 0.25}[code], 150 if job == "api" else 0)
                yield series, [(k, values[k]) for k in every(count, lambda k: there[k])]
    for job in ("api", "db"):
        yield Series("small_total", job=job), list(enumerate(counter(rng, count, 0, 2, 60)))


def classic(rng, count):
    bounds = ("0.1", "0.5", "1", "2.5", "10", "+Inf")
    for job in ("api", "web"):
        totals = [1000.0 * (i + 1) for i in range(len(bounds))]
        series = [Series("latency_bucket", job=job, le=le) for le in bounds]
        points = [[] for _ in bounds]
        sums = []
        for k in range(count):
            for i in range(len(bounds)):
                more = rng.choice((0, 0, 1, 2))
                for j in range(i, len(bounds)):
                    totals[j] += more
            for i in range(len(bounds)):
                points[i].append((k, totals[i]))
            sums.append((k, dyadic(totals[-1] * 0.75)))
        yield from zip(series, points)
        yield Series("latency_count", job=job), points[-1]
        yield Series("latency_sum", job=job), sums


def native(rng, count):
    for job, schema in (("api", 1), ("web", 1), ("db", 0)):
        h, points = Histogram(schema, 3, -2, [2, 1, 4, 3, 0, 1], 100.0), []
        for k in range(count):
            h = h.copy()
            for _ in range(rng.randint(0, 4)):
                h.counts[rng.randrange(len(h.counts))] += 1
            h.zero += rng.randint(0, 1)
            h.total += dyadic(rng.uniform(0, 5))
            if job == "web" and rng.random() < 1 / 200:
                h = Histogram(schema, 1, -2, [1, 1, 1, 1, 1, 1], 10.0)
            points.append((k, h))
        yield Series("native", job=job), points


def make(seed, begin_ms):
    """All series; begin_ms is a whole minute."""
    rng, count = random.Random(seed), HOURS * 3_600_000 // STEP_MS
    everything = []
    for source in (gauges, odd_ones, counters, classic, native):
        for series, points in source(rng, count):
            series.samples = [(begin_ms + ODD_MS + k * STEP_MS, v) for k, v in points]
            everything.append(series)
    return everything


# ---- Remote write 1.0 ----


def varint(n):
    out = bytearray()
    n &= (1 << 64) - 1
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def zigzag(n):
    return varint(n << 1 ^ n >> 63)


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def fixed(number, value):
    return varint(number << 3 | 1) + struct.pack("<d", value)


def side(spans_field, deltas_field, offset, counts):
    if not counts:
        return b""
    span = b"\x08" + zigzag(offset) + b"\x10" + varint(len(counts))
    deltas = b"".join(zigzag(b - a) for a, b in zip([0] + counts, counts))
    return field(spans_field, span) + field(deltas_field, deltas)


def histogram_message(ms, h):
    out = b"\x08" + varint(h.zero + sum(h.counts) + sum(h.negative)) + fixed(3, h.total)
    out += b"\x20" + zigzag(h.schema) + fixed(5, 0.001) + b"\x30" + varint(h.zero)
    out += side(8, 9, -1, h.negative) + side(11, 12, h.offset, h.counts)
    return out + b"\x78" + varint(ms)


def series_message(series, samples):
    out = b"".join(field(1, field(1, name.encode()) + field(2, value.encode())) for name, value in series.labels)
    for ms, value in samples:
        if isinstance(value, Histogram):
            out += field(4, histogram_message(ms, value))
        else:
            out += field(2, fixed(1, value) + b"\x10" + varint(ms))
    return field(1, out)


def snappy(data):
    """The block format without any compression: literals alone."""
    out = bytearray(varint(len(data)))
    for at in range(0, len(data), 65536):
        piece = data[at:at + 65536]
        out += bytes((61 << 2,)) + struct.pack("<H", len(piece) - 1) + piece
    return bytes(out)


def send(everything, url, window_ms=600_000):
    """All samples to a remote-write endpoint in requests of ten minutes each. How many samples."""
    times = [s.samples[0][0] for s in everything if s.samples] + [s.samples[-1][0] for s in everything if s.samples]
    begin, end, sent = min(times), max(times), 0
    for at in range(begin, end + 1, window_ms):
        body = b""
        for series in everything:
            samples = [x for x in series.samples if at <= x[0] < at + window_ms]
            sent += len(samples)
            if samples:
                body += series_message(series, samples)
        headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf", "X-Prometheus-Remote-Write-Version": "0.1.0"}
        with urllib.request.urlopen(urllib.request.Request(url, data=snappy(body), headers=headers, method="POST"), timeout=60):
            pass
    return sent
