# tests/cluster/matrix.py: tries every cell of tests/cluster/cells.py and prints what came out.
import collections
import time

import cells
import cluster
import world

TRIES = 5


def place_of(name):
    """The node a prober is on; 0 = none."""
    if name == "world":
        return 0
    return 1 if name == "acme-host" else world.PLACES[int(name[-1])]


def prober(name):
    if name == "world":
        return cluster.Prober(cluster.FOLDER / "world")
    return world.prober(name, place_of(name))


def ask_all(orders):
    """Prober's name -> its orders; all at a time. Returns name -> answers."""
    probers = {name: prober(name) for name, given in orders.items() if given}
    for name, one in probers.items():
        one.give(orders[name])
    return {name: one.answers() for name, one in probers.items()}


def measure(listed, attempt):
    """Cell -> (open or closed, what was said). `attempt` makes texts new."""
    by_source = collections.defaultdict(list)
    for cell in listed:
        by_source[cell.source].append(cell)
    answers = ask_all({name: [cell.order + (f".{attempt}" if cell.seen else "") for cell in of]
                       for name, of in by_source.items()})
    said = {cell: answer for name, of in by_source.items() for cell, answer in zip(of, answers[name])}
    receivers = collections.defaultdict(list)
    for cell in listed:
        if cell.seen:
            receivers[cell.seen].append(cell)
    # Long after the slowest of them has arrived.
    time.sleep(1 if receivers else 0)
    seen = ask_all({name: [f"seen {cell.order.split()[-1]}.{attempt}" for cell in of]
                    for name, of in receivers.items()})
    arrived = {cell: answer == "yes" for name, of in receivers.items() for cell, answer in zip(of, seen[name])}
    return {cell: (cells.OPEN if (arrived[cell] if cell.seen else said[cell].startswith("open ")) else cells.CLOSED,
                   said[cell]) for cell in listed}


def try_all(listed, wanted):
    """Tries all. What should have been open and was not (`wanted`: cell -> open, closed, or None for either) is tried
    again, for an emulated machine may be slow; what was open once counts as open."""
    results, again = {}, listed
    for _ in range(TRIES):
        results.update(measure(again, time.time_ns()))
        again = [cell for cell in listed if wanted(cell) == cells.OPEN and results[cell][0] == cells.CLOSED]
        if not again:
            break
        time.sleep(2)
    return results


def print_table(title, listed, results, wanted, whole=True):
    """Rows are relation and way, columns the families; `whole` or only those that are wrong. Returns how many cells are
    wrong."""
    wrong = 0
    rows = collections.defaultdict(dict)
    for cell in listed:
        outcome, said = results[cell]
        fits = wanted(cell) in (None, outcome)
        wrong += not fits
        rows[cell.relation, cell.way][cell.family] = outcome if fits else f"{outcome} WRONG ({said})"
    relations, ways = (max(len(row[i]) for row in rows) for i in (0, 1))
    print(f"\n{title}\n{'to or between':{relations}}  {'way':{ways}}  {'IPv4':6}  IPv6" if whole or wrong else "")
    for (relation, way), families in rows.items():
        line = f"{relation:{relations}}  {way:{ways}}  {families.get(4, '-'):6}  {families.get(6, '-')}"
        if whole or "WRONG" in line:
            print(line)
    print(f"{title}: {len(listed)} cells, {len(listed) - wrong} as they should be, {wrong} not", flush=True)
    return wrong
