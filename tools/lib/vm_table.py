# tools/lib/vm_table.py: what the virtual machines left -> a row per kernel and job. A job without an exit
# code has failed. Exit code 0: there was something, and all of it passed.
#
#   vm_table.py FOLDER COUNTS RUN...    COUNTS: a file to write "tests passed failed" to, or ""
import pathlib
import re
import sys
import xml.etree.ElementTree

from count_junit import count

NOT_CTEST = ("refusal", "faults", "cost")


def read(path):
    return path.read_text(encoding="utf-8", errors="replace")


def counts_of(folder, job):
    """(tests, passed, failed, seconds or None) of a job."""
    try:
        code, seconds = (int(word) for word in read(folder / f"{job}.code").split())
    except (OSError, ValueError):
        return 1, 0, 1, None
    if job in NOT_CTEST:
        return 1, int(code == 0), int(code != 0), seconds
    try:
        return (*count(read(folder / f"{job}.xml"), code), seconds)
    except (OSError, xml.etree.ElementTree.ParseError):
        return 1, 0, 1, seconds


def release_of(folder):
    """The kernel's whole name; what was asked for when it did not come up."""
    try:
        return read(folder / "release").strip()
    except OSError:
        return folder.name.rpartition(".")[0]


def processor_seconds(folder):
    """How long the machine kept a processor of this one busy: the second line of bash's times, "1m2.3s 0m4.5s"."""
    try:
        spent = re.findall(r"(\d+)m([\d.]+)s", read(folder / "processor").splitlines()[1])
    except (OSError, IndexError):
        return "?"
    return round(sum(int(minutes) * 60 + float(seconds) for minutes, seconds in spent))


def main(folder, counts, runs):
    total, failures, notes = int(not runs), int(not runs), []
    row = "%-20s %-12s %6s %7s %7s %9s %10s"
    print("\n" + row % ("kernel", "label", "tests", "passed", "failed", "seconds", "processor"))
    for run in sorted(runs):
        results = pathlib.Path(folder) / run
        release = release_of(results)
        for job in read(results / "jobs").split():
            tests, passed, failed, seconds = counts_of(results, job)
            total += tests
            failures += failed
            print(row % (release, job, tests, passed, failed,
                         "no end" if seconds is None else seconds,
                         "" if job == "faults" else processor_seconds(results)))
            if job in NOT_CTEST and (results / f"{job}.log").exists():
                notes += [f"{release} {job}: {line}"
                          for line in read(results / f"{job}.log").splitlines()]
    print("\n" + "\n".join(notes + [f"{failures} failed"]))
    if counts:
        pathlib.Path(counts).write_text(f"{total} {total - failures} {failures}\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
