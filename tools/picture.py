#!/usr/bin/env python3
"""Makes docs/picture.svg: what `parallax ls --watch` shows of the lab, as the terminal shows it.

    tools/picture.py OUT.svg              runs `make demo` in a terminal of its own (tmux) until every column has
                                          values, takes the screen, and ends the demo with Ctrl-C; as root, 3 minutes
    tools/picture.py OUT.svg SCREEN.txt   draws a screen that was taken before
"""
import html
import os
import re
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COMMAND = "$ parallax ls --watch"
CELL, LINE, FONT, EDGE = 8.43, 20, 14, 20
LIGHT = {
    "rect": "fill: #f6f8fa; stroke: #d0d7de",
    "text": "fill: #24292f",
    ".head": "fill: #6e7781",
    ".name": "fill: #0550ae",
    ".much": "fill: #9a6700",
    ".wrong": "fill: #cf222e",
}
DARK = {
    "rect": "fill: #0d1117; stroke: #30363d",
    "text": "fill: #d7dde4",
    ".head": "fill: #8b949e",
    ".name": "fill: #79c0ff",
    ".much": "fill: #e3b341",
    ".wrong": "fill: #ff7b72",
}


def tmux(*args):
    return subprocess.run(["tmux", "-L", "parallax-picture", *args], capture_output=True, text=True, check=False).stdout


def take_screen():
    """The table once two rounds of the slowest lane have filled it."""
    tmux("new-session", "-d", "-s", "demo", "-x", "132", "-y", "24", "-c", TOP, "make demo")
    end = time.monotonic() + 420
    try:
        while time.monotonic() < end:
            time.sleep(2)
            lines = [line.rstrip() for line in tmux("capture-pane", "-p", "-t", "demo").splitlines() if line.strip()]
            rows = [line for line in lines if line.startswith("lab-")]
            machines = [row for row in rows if " vm " in row]
            # the three of a container: no vCPUs, and perhaps no limit and no network of its own
            if len(machines) == 4 and not any(" - " in row for row in machines) and len(rows) >= 6:
                return [line for line in lines if line.startswith("NAME") or line in rows]
        sys.exit("picture: the table did not fill within 7 min:\n" + "\n".join(lines))
    finally:
        tmux("send-keys", "-t", "demo", "C-c")
        while tmux("list-sessions"):
            time.sleep(0.5)


def columns(head):
    """{title: (begin, end)}: titles of numbers stand at the right of their column, others at the left."""
    ends = [(m[0], m.start(), m.end()) for m in re.finditer(r"\S+", head)]
    return {title: (begin, end) for title, begin, end in ends}


def percent(row, place):
    """The number that ends where its title ends."""
    match = re.search(r"([0-9.]+)$", row[: place[1]])
    return float(match[1]) if match else 0.0


def spans(row, places):
    """The row as (class, begin, text)."""
    name = row.split(" ", 1)[0]
    found = [("name", 0, name)]
    for match in re.finditer(r"\S+", row):
        if match.start() == 0:
            continue
        kind = ""
        if match.end() == places["CPU%"][1] and percent(row, places["CPU%"]) >= 50:
            kind = "much"
        elif match.end() == places["DELAY%"][1] and percent(row, places["DELAY%"]) >= 5:
            kind = "wrong"
        elif match[0] == "-":
            kind = "head"
        found.append((kind, match.start(), match[0]))
    return found


def rules(colours):
    return " ".join(f"{selector} {{ {rule} }}" for selector, rule in colours.items())


def draw(lines):
    """The SVG of a screen, whose first line is the table's head."""
    style = (
        f'text {{ font: {FONT}px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace }}\n{rules(LIGHT)}\n'
        f"@media (prefers-color-scheme: dark) {{ {rules(DARK)} }}"
    )
    places = columns(lines[0])
    drawn = [[("", 0, COMMAND)], [("head", m.start(), m[0]) for m in re.finditer(r"\S+", lines[0])]]
    drawn += [spans(line, places) for line in lines[1:]]
    width = round(2 * EDGE + CELL * max(len(line) for line in lines))
    height = 2 * EDGE + LINE * len(drawn)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        "<title>parallax ls --watch: four guests and two containers</title>",
        f"<style>{style}</style>",
        f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>',
    ]
    for number, line in enumerate(drawn):
        for kind, begin, text in line:
            # A length of its own for each word keeps the columns in line with any font.
            attribute = f' class="{kind}"' if kind else ""
            out.append(
                f'<text x="{EDGE + CELL * begin:.1f}" y="{EDGE + LINE * number + FONT}" textLength="{CELL * len(text):.1f}"'
                f"{attribute}>{html.escape(text)}</text>"
            )
    return "\n".join(out + ["</svg>", ""])


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    if len(sys.argv) == 3:
        with open(sys.argv[2], encoding="utf-8") as f:
            lines = [line.rstrip() for line in f if line.strip()]
    else:
        lines = take_screen()
        print("\n".join(lines))
    with open(sys.argv[1], "w", encoding="utf-8") as f:
        f.write(draw(lines))


main()
