#!/usr/bin/env python3
# tests/bench/cluster_plot.py: draws docs/scale.svg out of what `tools/bench kubernetes --json FILE` has written.
# Usage: cluster_plot.py FILE >docs/scale.svg
import json
import sys

BARS = (("one agent of many", "churn.member"), ("the agent that writes statuses", "churn.leader"),
        ("its tenant names everybody", "everybody.member"), ("its tenant names unassigned", "unassigned.member"),
        ("a watch on all pods", "all_pods.watch"))
PANELS = (("received per replaced pod", "bytes", 1e3, "kB"), ("CPU while 50 pods a second are replaced", "cpu", 1, "%"),
          ("resident memory", "rss", 1, "MB"))
LEFT, WIDTH, ROW, PANEL = 230, 560, 22, 160
STYLE = "font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\" font-size=\"13\""


def panel(found, top, title, what, unit, name):
    """The lines of one group of bars."""
    values = [found[f"kubernetes.{bar}.{what}"] / unit for _, bar in BARS]
    yield f'  <text x="{LEFT}" y="{top + 14}" font-weight="bold" fill="#1e293b">{title}, {name}</text>'
    for row, ((label, _), value) in enumerate(zip(BARS, values)):
        y = top + 24 + row * ROW
        length = max(value / max(values) * WIDTH, 1)
        color = "#b91c1c" if row == len(BARS) - 1 else "#4f46e5"
        yield f'  <text x="{LEFT - 10}" y="{y + 13}" text-anchor="end" fill="#334155">{label}</text>'
        yield f'  <rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{ROW - 6}" fill="{color}"/>'
        yield f'  <text x="{LEFT + length + 6:.1f}" y="{y + 13}" fill="#334155">{value:.1f}</text>'


def main(path):
    with open(path, encoding="utf-8") as file:
        found = {one["id"]: one["value"] for one in json.load(file)}
    width, height = LEFT + WIDTH + 70, PANEL * len(PANELS)
    print('<?xml version="1.0" encoding="UTF-8"?>')
    print("<!-- docs/scale.svg: what an agent receives and uses on a large cluster. Drawn by tests/bench/cluster_plot.py. -->")
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
          f'role="img" aria-labelledby="title" {STYLE}>')
    print('  <title id="title">Bytes received, CPU and memory of an agent on a cluster of 30,000 pods, beside those of a '
          'watch on all pods.</title>')
    print(f'  <rect width="{width}" height="{height}" fill="#ffffff"/>')
    for number, (title, what, unit, name) in enumerate(PANELS):
        print("\n".join(panel(found, number * PANEL + 8, title, what, unit, name)))
    print("</svg>")


if __name__ == "__main__":
    main(sys.argv[1])
