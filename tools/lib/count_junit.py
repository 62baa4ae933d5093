# tools/lib/count_junit.py: ctest's JUnit report -> "tests passed failed". Reads one file.
# A test that was skipped or could not be run counts as failed; so does a ctest that gave no report.
import sys
import xml.etree.ElementTree


def count(text, exit_code):
    suite = xml.etree.ElementTree.fromstring(text)
    cases = suite.findall("testcase")
    passed = sum(1 for case in cases if case.get("status") == "run")
    failed = len(cases) - passed
    if exit_code != 0 and failed == 0:
        failed = 1
    return passed + failed, passed, failed


def main():
    try:
        with open(sys.argv[1], encoding="utf-8", errors="replace") as report:
            counts = count(report.read(), int(sys.argv[2]))
    except (OSError, xml.etree.ElementTree.ParseError):
        counts = (1, 0, 1)
    print("%d %d %d" % counts)


if __name__ == "__main__":
    main()
