"""Finds the fewest faults with which a history still breaks a promise, and tells of it.

`PYTHONPATH=.:tests python -m simulation.engine.shrink SEED` prints one, with its whole trace.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Final

from simulation.engine.faults import Fault
from simulation.engine.history import Ended, play

_SHOWN: Final = 25


def shrunk(
    ended: Ended, again: Callable[[int, Sequence[Fault]], Ended] = play, *, most: int = 200
) -> Ended:
    """The history with as few of its faults as are needed: halves are left out, then single ones,
    as long as a promise is still broken; at most so many histories are played. Needs a broken one.
    """
    best, part, plays = ended, max(len(ended.faults) // 2, 1), 0
    while True:
        has_changed, start = False, 0
        while start < len(best.faults) and plays < most:
            fewer = best.faults[:start] + best.faults[start + part :]
            tried, plays = again(best.seed, fewer), plays + 1
            if tried.broken is None:
                start += part
            else:
                best, has_changed = tried, True
        if plays >= most or (part == 1 and not has_changed):
            return best
        part = max(part // 2, 1)


def told(ended: Ended, shown: int = _SHOWN) -> str:
    """What to read about a history, with so many lines of its trace."""
    lines = ended.trace.decode().splitlines()
    faults = "\n".join(
        f"  {each.at:g} s: {each.kind} for {each.seconds:g} s, "
        f"c{each.machine}, pool {each.pool}, amount {each.amount:g}"
        for each in ended.faults
    )
    if ended.broken is None:
        return f"seed {ended.seed} keeps all promises"
    return (
        f"seed {ended.seed} breaks a promise: {ended.broken}\n"
        f"the fewest faults that do it ({len(ended.faults)}):\n{faults or '  none'}\n"
        f"the last of {len(lines)} lines of its trace:\n  " + "\n  ".join(lines[-shown:]) + "\n"
        "play it again, with its whole trace: "
        f"PYTHONPATH=.:tests .venv/bin/python -m simulation.engine.shrink {ended.seed}"
    )


if __name__ == "__main__":
    played = play(int(sys.argv[1]))
    print(told(played if played.broken is None else shrunk(played), sys.maxsize))
