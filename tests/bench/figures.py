# tests/bench/figures.py: figures, their goals, the table and the JSON list. Measures nothing.
import json
import sys
from typing import NamedTuple, Optional


class Goal(NamedTuple):
    """What a figure should be: at least, or at most, a bound."""

    at_least: Optional[float] = None
    at_most: Optional[float] = None

    def met(self, value):
        if self.at_least is not None:
            return value >= self.at_least
        return value <= self.at_most

    def __str__(self):
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return f"<= {self.at_most:g}"


class Figure(NamedTuple):
    id: str
    value: float
    unit: str
    goal: Optional[Goal] = None

    @property
    def met(self):
        return None if self.goal is None else self.goal.met(self.value)


def from_line(line):
    """A figure from a line of JSON, as the C++ benchmarks print it."""
    read = json.loads(line)
    goal = Goal(**read["goal"]) if read["goal"] else None
    return Figure(read["id"], read["value"], read["unit"], goal)


def say(words):
    """Progress: to standard error, so that the table can be piped."""
    print(words, file=sys.stderr, flush=True)


def number(value):
    """Short enough to read, long enough to compare."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def table(figures):
    """The figures as lines that line up: id, value, unit, goal, met or missed."""
    rows = [("figure", "value", "unit", "goal", "")]
    for figure in figures:
        word = {None: "", True: "met", False: "MISSED"}[figure.met]
        rows.append((figure.id, number(figure.value), figure.unit, str(figure.goal or ""), word))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), row[1].rjust(widths[1])]
        cells += [row[column].ljust(widths[column]) for column in (2, 3, 4)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def as_json(figures):
    """A list of {"id", "value", "unit", "goal", "met"}."""
    return json.dumps([{"id": figure.id, "value": figure.value, "unit": figure.unit,
                        "goal": str(figure.goal) if figure.goal else None, "met": figure.met}
                       for figure in figures], indent=1)
