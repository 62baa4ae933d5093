# tools/lib/vm_table.py: what the virtual machines left -> a row per kernel and job. Only reads. A job
# without an exit code has failed. Exit code 0: there was something, and all of it passed.
import pathlib
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


def main(folder, runs):
    total, notes = int(not runs), []
    row = "%-20s %-12s %6s %7s %7s %9s"
    print("\n" + row % ("kernel", "label", "tests", "passed", "failed", "seconds"))
    for run in sorted(runs):
        results = pathlib.Path(folder) / run
        release = release_of(results)
        for job in read(results / "jobs").split():
            tests, passed, failed, seconds = counts_of(results, job)
            total += failed
            print(row % (release, job, tests, passed, failed,
                         "no end" if seconds is None else seconds))
            if job in NOT_CTEST and (results / f"{job}.log").exists():
                notes += [f"{release} {job}: {line}"
                          for line in read(results / f"{job}.log").splitlines()]
    print("\n" + "\n".join(notes + [f"{total} failed"]))
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
