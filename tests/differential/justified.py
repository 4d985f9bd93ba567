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


ROWS = []


def explain(case, kind, text):
    for row in ROWS:
        if row.applies(case, kind, text):
            return row
    return None
