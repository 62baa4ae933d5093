# tests/system/slow.py: how many times slower than a real machine this one is: 1, or what PARTYWALL_SLOW says
# (tests/vm sets it, for emulated machines).
import os

SLOW = float(os.environ.get("PARTYWALL_SLOW", "1"))


def scaled(usual):
    """A rate or a number of repetitions that takes a real machine as long as `usual` takes it."""
    return max(1, round(usual / SLOW))
