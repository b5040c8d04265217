"""Finds, for each rule of the engine that is removed, the first seed whose history then breaks a
promise: `PYTHONPATH=.:tests python -m simulation.engine.planted [FIRST LAST [RULE…]]`.

The seeds that it prints stand in tests/mutants/engine_rules.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from mutants.engine_rules import PLANTED, Planted
from support.mutation import _finder

FOUND_WITHIN = 1000


def first_seed(planted: Planted, seeds: range) -> str:
    """The first of these seeds that finds it, and what it breaks; in this process."""
    sys.meta_path.insert(0, _finder(planted.place, planted.text, planted.without))
    from simulation.engine.history import play

    for seed in seeds:
        ended = play(seed)
        if ended.broken is not None:
            return f"seed {seed}: {ended.broken}"
    return ""


def main(arguments: Sequence[str]) -> int:
    """Print one line for each rule; the exit code is the number of those that no seed finds."""
    first, last = (int(each) for each in arguments[:2]) if arguments else (0, FOUND_WITHIN)
    wanted, missed = arguments[2:], 0
    for planted in PLANTED:
        if wanted and planted.rule not in wanted:
            continue
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            os.write(writing, first_seed(planted, range(first, last)).encode()[:4000])
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            found = pipe.read().decode()
        os.waitpid(child, 0)
        missed += not found
        print(f"{planted.rule}: {found or f'no seed from {first} to {last - 1}'}", flush=True)
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
