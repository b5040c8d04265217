"""What 24 hours of history cost the controller at 1,000 pools: memory, and the end of a slot."""

from __future__ import annotations

import time
import tracemalloc
from random import Random

import pytest
from msgspec.structs import replace

from controller.engine.show.past import DAY_SLOT_S, DAY_SLOTS, RECENT_SLOT_S, HistoryRecorder
from controller.model.observation import QueueDepth
from controller.model.readings import Fresh
from support.measure import report, spread
from tui import scenarios

POOLS, TENANTS = 1_000, 50
RECENT_TICKS = 70


@pytest.mark.benchmark
def test_history() -> None:
    choose = Random(1)
    views = scenarios.many_pools(POOLS).pools
    now = scenarios.NOW // DAY_SLOT_S * DAY_SLOT_S
    took: list[float] = []
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    recorder = HistoryRecorder([view.key for view in views], map(str, range(TENANTS)))
    for tick in range(DAY_SLOTS + RECENT_TICKS):
        now += DAY_SLOT_S if tick < DAY_SLOTS else RECENT_SLOT_S
        for view in views:
            queue = Fresh(value=QueueDepth(pending=choose.randrange(5_000), in_flight=1), at=now)
            seen = replace(view.observation, queue=queue)
            recorder.saw(
                replace(view, observation=seen, decision=None), now - choose.randrange(600), now
            )
        began = time.perf_counter()
        recorder.pass_time(now)
        took.append(time.perf_counter() - began)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    report(
        f"24 h and 15 min of history of {POOLS:,} pools, each slot another number",
        f"{used / 1e6:.1f} MB, {used / POOLS / 1000:.1f} kB a pool",
        "target: 20 kB a pool at most",
    )
    report(
        f"the end of a slot of {POOLS:,} pools",
        spread(took[DAY_SLOTS:]),
        "every 15 s, while the memory is traced",
    )
