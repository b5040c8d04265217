"""A seed is a history: it can be played again, and be shortened to what breaks a promise."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from simulation.engine.faults import Fault, Kind, drawn
from simulation.engine.history import Ended, play
from simulation.engine.kernel import BrokenPromiseError, Kernel, Machine
from simulation.engine.shrink import shrunk, told

TESTS = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(300)  # of a busy machine; a history takes half a second


@pytest.mark.parametrize("seed", [3, 16])
def test_a_seed_has_the_same_trace_each_time(seed: int) -> None:
    first = play(seed)
    assert first.trace.count(b"\n") > 50
    assert play(seed) == first


def test_a_seed_has_the_same_trace_in_another_process_with_other_hashes() -> None:
    code = "import sys; from simulation.engine.history import play; sys.stdout.buffer.write({})"
    traces = {
        subprocess.run(
            [sys.executable, "-c", code.format("play(5).trace")],
            env=os.environ
            | {
                "PYTHONHASHSEED": hashes,
                "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
            },
            stdout=subprocess.PIPE,
            check=True,
            timeout=250,
        ).stdout
        for hashes in ("1", "2")
    }
    assert traces == {play(5).trace}


def test_each_seed_has_faults_of_its_own_and_all_kinds_come() -> None:
    seeds = [drawn(seed, machines=3, pools=3) for seed in range(100)]
    assert len(set(seeds)) == 100
    assert {fault.kind for faults in seeds for fault in faults} == set(Kind)


def test_a_broken_history_is_shortened_to_the_faults_that_break_it() -> None:
    faults = drawn(11, machines=3, pools=3, seconds=300.0)
    guilty = {faults[1], faults[4]}

    def again(seed: int, tried: Sequence[Fault]) -> Ended:
        broken = "both" if guilty <= set(tried) else None
        return Ended(seed, tuple(tried), broken, b"a line", 0)

    found = shrunk(again(11, faults), again)
    assert set(found.faults) == guilty
    assert len(faults) > 5
    text = told(found)
    assert text.startswith("seed 11 breaks a promise: both\n")
    assert "the fewest faults that do it (2)" in text
    assert all(fault.kind in text for fault in guilty)
    assert text.endswith("python -m simulation.engine.shrink 11")


def test_a_promise_that_is_broken_in_a_request_ends_the_history_whoever_catches_it() -> None:
    kernel = Kernel(0)

    async def ask() -> None:
        with suppress(Exception):
            raise kernel.breaks("a write without a right")

    Machine(kernel, "c0.1").start(ask())
    with pytest.raises(BrokenPromiseError, match="a write without a right"):
        kernel.run(1.0)


def test_a_thousand_seeds_have_thirteen_thousand_faults() -> None:
    faults = [len(drawn(seed, machines=2 + seed % 2, pools=3)) for seed in range(1000)]
    assert sum(faults) >= 13_500
