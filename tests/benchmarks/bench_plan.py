"""How long planning one tick takes: `python tests/benchmarks/bench_plan.py`, one line per size.

Two kinds of tick: steady, where nothing changes and every pool is at its demand, idle or cooling
down; and moving, where every queue differs from the tick before.
"""

from __future__ import annotations

import statistics
import time

from controller.model.fleet import (
    Behavior,
    Fleet,
    PolicyType,
    Pool,
    ScalingPolicy,
    ScalingRules,
)
from controller.model.ids import PoolKey, pool_key
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import Observation, Pods, PoolObservation, QueueDepth, Workload
from controller.model.readings import Fresh
from controller.planning.planner import plan

START = 1_700_000_000.0
TARGETS_MS = {100: 1.5, 1_000: 15.0, 10_000: 150.0}
BEHAVIOR = Behavior(
    scale_up=ScalingRules(
        stabilization_window_s=30,
        policies=(ScalingPolicy(type=PolicyType.PODS, value=10, period_s=60),),
    ),
    scale_down=ScalingRules(
        stabilization_window_s=300,
        policies=(ScalingPolicy(type=PolicyType.PODS, value=5, period_s=120),),
    ),
)


def fleet_of(size: int) -> Fleet:
    return Fleet(
        pools=tuple(
            Pool(
                key=pool_key(f"tenant-{number // 20}", f"pool-{number % 20}"),
                name=f"pool-{number % 20}",
                tenant=f"tenant-{number // 20}",
                namespace=f"tenant-{number // 20}",
                deployment=f"pool-{number % 20}",
                stream="TASKS",
                consumer=f"pool-{number}",
                behavior=BEHAVIOR,
                max=20,
            )
            for number in range(size)
        )
    )


def seen(fleet: Fleet, tick: int, now: float, *, moving: bool) -> Observation:
    """Messages for every pool at its size, or for every pool another number than a tick ago."""
    pools: dict[PoolKey, PoolObservation] = {}
    for number, pool in enumerate(fleet.pools):
        size = number % 5
        messages = (size + tick * 7 + number) % 23 if moving else size
        pools[pool.key] = PoolObservation(
            queue=Fresh(
                value=QueueDepth(pending=messages // 2, in_flight=-(-messages // 2)), at=now
            ),
            workload=Fresh(value=Workload(replicas=size, resource_version="1"), at=now),
            pods=Fresh(value=Pods(ready=size), at=now),
        )
    return Observation(pools=pools)


def measure(size: int, *, moving: bool, ticks: int = 15) -> list[float]:
    """Milliseconds of one core for each tick, after the first window has filled the memory."""
    fleet, memory, times = fleet_of(size), Memory(), []
    for tick in range(ticks + 5):
        now = START + tick
        observation = seen(fleet, tick, now, moving=moving)
        began = time.process_time()
        _, memory = plan(observation, fleet, Intents(), memory, now)
        took_ms = (time.process_time() - began) * 1000
        if tick >= 5:
            times.append(took_ms)
    return times


def main() -> None:
    for size, target_ms in TARGETS_MS.items():
        for moving in (False, True):
            times = measure(size, moving=moving)
            print(
                f"plan {size:>6,} pools, {'moving' if moving else 'steady'}:"
                f" median {statistics.median(times):7.2f} ms, worst {max(times):7.2f} ms"
                f" (target {target_ms:g} ms, {1000 * statistics.median(times) / size:.1f} µs/pool)"
            )


if __name__ == "__main__":
    main()
