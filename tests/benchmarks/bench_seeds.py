"""How many histories of the engine's simulation one core plays in a minute:
`pytest tests/benchmarks/bench_seeds.py -s`.
"""

from __future__ import annotations

import time

import pytest

from simulation.engine.faults import FAULTY_S
from simulation.engine.history import QUIET_S, play
from support.measure import report

SEEDS = 30


@pytest.mark.benchmark
def test_seeds_per_minute() -> None:
    began, wall = time.process_time(), time.perf_counter()
    writes = sum(play(seed).writes for seed in range(SEEDS))
    busy_s, took_s = time.process_time() - began, time.perf_counter() - wall
    virtual_s = (FAULTY_S + QUIET_S) * SEEDS
    report(
        "simulated histories",
        f"{SEEDS / busy_s * 60:.0f} a minute of one core ({SEEDS / took_s * 60:.0f} as it was "
        f"shared), {virtual_s / busy_s:.0f} × real time, {writes} writes",
        "1,000 in 3 minutes on 2 cores: 167 a minute of one core",
    )
