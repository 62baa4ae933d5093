# tools/lib/demo_show.py: the demo's transcript: steps, commands, their output, what was checked. Colours on a
# terminal only.
import os
import sys
import textwrap
import time

WIDTH = 108
PLAIN, BOLD, DIM, RED, GREEN, YELLOW, CYAN = "", "1", "2", "31", "32", "33", "36"


class Transcript:
    def __init__(self, steps, pause=False):
        self.steps = steps
        self.number = 0
        self.checks = 0
        self.pause = pause
        self.begin = time.monotonic()
        self.colored = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def paint(self, text, color):
        return f"\033[{color}m{text}\033[0m" if self.colored and color else text

    def write(self, text="", color=PLAIN):
        print(self.paint(text, color), flush=True)

    def step(self, title):
        if self.pause and self.number:
            self.write("\n  Enter goes on.", DIM)
            sys.stdin.readline()
        self.number += 1
        head = f"[{self.number}/{self.steps}] {title} "
        clock = f" {time.monotonic() - self.begin:.0f} s"
        self.write()
        self.write(head + "-" * (WIDTH - len(head) - len(clock)) + clock, BOLD)

    def say(self, text):
        self.write()
        for line in textwrap.wrap(" ".join(text.split()), WIDTH - 2):
            self.write("  " + line)

    def command(self, text, apart=True):
        """apart: an empty line before it."""
        if apart:
            self.write()
        self.write("  $ " + text, CYAN)

    def output(self, text, most=40):
        lines = text.rstrip("\n").splitlines()
        for line in lines[:most]:
            self.write(("    " + line).rstrip())
        if len(lines) > most:
            self.write(f"    ... {len(lines) - most} more lines", DIM)

    def good(self, text):
        """A check that came out."""
        self.checks += 1
        self.write("  \u2713 " + text, GREEN)

    def bad(self, text):
        self.write("  \u2717 " + text, RED)

    def perform(self, steps, demo, failures):
        """Runs the steps, each with `demo`, until one raises one of `failures`. Returns the exit code."""
        try:
            for step in steps:
                step(demo)
            self.write()
            self.good(f"{self.checks} checks, all as they should be, in {self.seconds():.0f} s.")
            return 0
        except failures as failure:
            self.bad(str(failure))
            self.write("\nThe demo stops here and takes down what it made.")
            return 1
        except KeyboardInterrupt:
            self.write("\nInterrupted; taking down what was made.")
            return 130

    def seconds(self):
        return time.monotonic() - self.begin
