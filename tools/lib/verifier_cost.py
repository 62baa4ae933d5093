# tools/lib/verifier_cost.py: the table of what each program costs each kernel's verifier: a baseline (tests/vm)
# and a page of docs/kernels.md that says the same. Reads and writes these two only.
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASELINE = ROOT / "tests/vm/verifier_cost.tsv"
PAGE = ROOT / "docs/kernels.md"
BEGIN, END = "<!-- verifier cost -->\n", "<!-- end -->\n"


def read_table(text):
    """{series: {program: instructions}} of a baseline."""
    lines = [line.split("\t") for line in text.splitlines()]
    if not lines:
        return {}
    table = {series: {} for series in lines[0][1:]}
    for program, *costs in lines[1:]:
        for series, cost in zip(table, costs):
            table[series][program] = int(cost)
    return table


def by_version(series):
    return [int(part) for part in re.findall(r"\d+", series)]


def rows(table):
    """A header and a row per program that any kernel has loaded; 0 where one has not."""
    series = sorted(table, key=by_version)
    programs = sorted({program for costs in table.values() for program in costs})
    yield ["program", *series]
    for program in programs:
        yield [program, *(str(table[one].get(program, 0)) for one in series)]


def text_of(table):
    return "".join("\t".join(row) + "\n" for row in rows(table))


def page_of(table):
    header, *body = rows(table)
    lines = [header, ["---", *("--:" for _ in header[1:])], *body]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def merged(table, measured):
    """The table with the columns of the kernels that were measured, a line "series program cost"."""
    fresh = {}
    for line in measured.splitlines():
        series, program, cost = line.split("\t")
        fresh.setdefault(series, {})[program] = int(cost)
    return {**table, **fresh}


def with_page(document, table):
    """The document with the table between its two marks."""
    before, _, rest = document.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"no place between {BEGIN!r} and {END!r}")
    return before + BEGIN + page_of(table) + END + after


def main(files):
    table = read_table(BASELINE.read_text()) if BASELINE.exists() else {}
    for file in files:
        table = merged(table, pathlib.Path(file).read_text())
    BASELINE.write_text(text_of(table))
    PAGE.write_text(with_page(PAGE.read_text(), table))
    print(page_of(table), end="")


if __name__ == "__main__":
    main(sys.argv[1:])
