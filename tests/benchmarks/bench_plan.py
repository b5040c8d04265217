"""What planning one tick costs: `python tests/benchmarks/bench_plan.py [pools …]`.

Three kinds of fleet, ten replicas wanted per pool: plenty, where nothing is declared scarce;
scarce, where six of ten fit and the cluster's CPU and memory, quotas, budgets, money and eight
models' rate limits are all in force; and learned, where nothing is scarce and the queues count
their deliveries, so that the rule goes by what it has learned of each pool. Two kinds of tick:
steady, where nothing changes but that tasks come and go; and moving, where every queue differs from
the tick before and every pool from its target. The bound is what this machine needs, in the same
run, merely to make the values that a plan answers with.
"""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

import msgspec

from controller.model.decision import Code, Decision, Plan, Reason
from controller.model.fleet import (
    Behavior,
    Fleet,
    PolicyType,
    Pool,
    ScalingPolicy,
    ScalingRules,
    Tenant,
    Tier,
)
from controller.model.ids import PoolKey, pool_key
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import (
    Observation,
    Pods,
    PoolObservation,
    QueueDepth,
    TenantObservation,
    TokenUsage,
    Workload,
)
from controller.model.readings import Fresh
from controller.model.scarcity import (
    Budget,
    Capacity,
    LlmModel,
    Price,
    RateLimits,
    Resources,
    TaskUsage,
)
from controller.planning.planner import plan

START = 1_700_000_000.0
SIZES = (100, 1_000, 10_000)
DOUBLINGS = (1_000, 2_000, 4_000, 8_000)
TARGET_MS_PER_POOL = 0.015
TARGET_SLOPE = 1.1
TARGET_BLOCKS_PER_POOL = 20
TARGET_MEMORY_BYTES_PER_POOL = 600
INTERVAL_S = 15.0
WARM_UP, TICKS = 25, 11
POOLS_PER_TENANT = 20
DONE_PER_TICK = 12
TIERS = tuple(Tier(name=f"tier-{priority}", priority=priority) for priority in (1000, 500, 100))
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


class Kind(StrEnum):
    """What a fleet has to share, and whether its pools' past is known."""

    PLENTY = "plenty"
    SCARCE = "scarce"
    LEARNED = "learned"


class Figures(NamedTuple):
    """One kind of tick: milliseconds of one core for each, memory blocks that the last one left
    allocated in its answer, the memory as JSON, and the replicas of all targets.
    """

    times_ms: list[float]
    blocks: int
    memory_bytes: int
    targets: int


def fleet_of(size: int, kind: Kind) -> Fleet:
    scarce = kind is Kind.SCARCE
    pools = tuple(_pool(number, scarce=scarce) for number in range(size))
    if not scarce:
        return Fleet(pools=pools)
    names = dict.fromkeys(pool.tenant for pool in pools)
    return Fleet(
        pools=pools,
        tiers=TIERS,
        tenants=tuple(_tenant(number, name) for number, name in enumerate(names)),
        models=tuple(_model(number, size) for number in range(8)),
        capacity=Capacity(
            resources=Resources(
                replicas=8 * size, cpu_milli=3000 * size, memory_bytes=6 * size << 30
            ),
            usd_per_hour=Decimal(size),
        ),
    )


def _pool(number: int, *, scarce: bool) -> Pool:
    tenant, name = f"tenant-{number // POOLS_PER_TENANT}", f"pool-{number % POOLS_PER_TENANT}"
    return Pool(
        key=pool_key(tenant, name),
        name=name,
        tenant=tenant,
        namespace=tenant,
        deployment=name,
        stream="TASKS",
        consumer=f"pool-{number}",
        behavior=BEHAVIOR,
        max=20,
        weight=Decimal(1 + number % 2),
        requests=Resources(cpu_milli=250 << number % 3, memory_bytes=1 << 29 + number % 3)
        if scarce
        else None,
        model=f"model-{number % 8}" if scarce else None,
        usage=TaskUsage(
            input_tokens=900 + number % 7,
            output_tokens=150,
            calls=1 + number % 3,
            seconds=Decimal(20),
        )
        if scarce
        else None,
    )


def _tenant(number: int, name: str) -> Tenant:
    return Tenant(
        name=name,
        tier=TIERS[number % 3],
        namespace=name,
        timezone=("UTC", "Europe/Berlin", "America/New_York")[number % 3],
        quota=Resources(replicas=100 + 37 * number % 200),
        budget=Budget(tokens_per_day=400_000_000, usd_per_hour=Decimal(POOLS_PER_TENANT)),
    )


def _model(number: int, size: int) -> LlmModel:
    return LlmModel(
        name=f"model-{number}",
        limits=RateLimits(requests_per_minute=6 * size, output_tokens_per_minute=900 * size),
        price=Price(input=Decimal("0.15"), output=Decimal("0.6")),
    )


class World:
    """A fleet, the size of every pool, and what is seen of them at each tick."""

    def __init__(self, size: int, kind: Kind) -> None:
        self.kind = kind
        self.fleet = fleet_of(size, kind)
        self.sizes = {pool.key: 5 for pool in self.fleet.pools}

    def seen(self, tick: int, *, moving: bool) -> Observation:
        now = START + INTERVAL_S * tick
        pools: dict[PoolKey, PoolObservation] = {}
        for number, pool in enumerate(self.fleet.pools):
            size = self.sizes[pool.key]
            messages = 1 + (tick * 7 + number) % 19 if moving else 1 + number * 7 % 19
            running = min(messages // 2, size)
            pools[pool.key] = PoolObservation(
                queue=Fresh(value=self._depth(tick, messages, running), at=now),
                workload=Fresh(value=Workload(replicas=size, resource_version="1"), at=now),
                pods=Fresh(value=Pods(ready=size), at=now),
            )
        tenants = {
            tenant.name: TenantObservation(
                usage=Fresh(
                    value=TokenUsage(
                        used=Decimal(100_000_000 + 2_000_000 * (number % 120)),
                        burn_per_minute=Decimal(250_000),
                    ),
                    at=now,
                )
            )
            for number, tenant in enumerate(self.fleet.tenants)
        }
        return Observation(pools=pools, tenants=tenants)

    def _depth(self, tick: int, messages: int, running: int) -> QueueDepth:
        delivered = None
        if self.kind is Kind.LEARNED:
            delivered = DONE_PER_TICK * (tick + WARM_UP) + running
        return QueueDepth(
            pending=messages - running,
            in_flight=running,
            delivered=delivered,
            sequence=delivered,
        )

    def follow(self, answer: Plan) -> None:
        for key, decision in answer.decisions.items():
            if decision.next is not None:
                self.sizes[key] = decision.next


def measure(size: int, kind: Kind, *, moving: bool, ticks: int = TICKS) -> Figures:
    """Plan some ticks, after those that fill the windows and bring the pools to their targets."""
    world, times, blocks, targets = World(size, kind), [], 0, 0
    answer, memory = Plan(at=START), Memory()
    for tick in range(-WARM_UP, ticks):
        observation, now = world.seen(tick, moving=moving), START + INTERVAL_S * tick
        gc.collect()
        previous = answer, memory
        before = sys.getallocatedblocks()
        began = time.process_time()
        answer, memory = plan(observation, world.fleet, Intents(), memory, now)
        took_ms = (time.process_time() - began) * 1000
        blocks = sys.getallocatedblocks() - before
        del previous  # until here it stays, so that what is new is counted in full
        targets = sum(decision.target or 0 for decision in answer.decisions.values())
        if tick >= 0:
            times.append(took_ms)
        if tick < 0 or moving:
            world.follow(answer)
    return Figures(times, blocks, len(msgspec.json.encode(memory)), targets)


def bound(size: int) -> float:
    """Milliseconds to make one decision with two reasons for every pool, and nothing else."""
    keys = [pool.key for pool in fleet_of(size, Kind.PLENTY).pools]

    def make() -> None:
        decisions = {}
        for number, key in enumerate(keys):
            reasons = (
                Reason(code=Code.QUEUE, value=number, numbers={"pending": number, "in_flight": 2}),
                Reason(code=Code.CAPACITY, value=number, numbers={"row": "cpu", "capacity": 9.0}),
            )
            decisions[key] = Decision(
                pool=key,
                current=number,
                demand=number,
                recommendation=number,
                target=number,
                next=number,
                reasons=reasons,
            )
        Plan(at=START, decisions=decisions)

    return statistics.median(_timed(make) for _ in range(7))


def _timed(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1000


def report(size: int) -> None:
    least_ms, target_ms = bound(size), TARGET_MS_PER_POOL * size
    for kind in Kind:
        for moving in (False, True):
            figures = measure(size, kind, moving=moving)
            print(
                f"plan {size:>6,} pools, {kind}, {'moving' if moving else 'steady'}:"
                f" median {statistics.median(figures.times_ms):7.2f} ms,"
                f" worst {max(figures.times_ms):7.2f} ms"
                f" (target {target_ms:g} ms, bound {least_ms:.2f} ms);"
                f" {figures.targets:,} replicas;"
                f" {figures.blocks / size:5.1f} blocks a pool (target {TARGET_BLOCKS_PER_POOL});"
                f" memory {figures.memory_bytes / size:4.0f} B a pool"
                f" (target {TARGET_MEMORY_BYTES_PER_POOL})"
            )


def slopes(sizes: Sequence[int] = DOUBLINGS) -> None:
    """How much more than twice the time twice the pools take."""
    for kind in Kind:
        taken = {size: min(measure(size, kind, moving=True, ticks=7).times_ms) for size in sizes}
        least = {size: bound(size) for size in sizes}
        for size, twice in pairwise(sizes):
            print(
                f"slope {size:,} to {twice:,} pools, {kind}:"
                f" {taken[twice] / taken[size] / 2:.2f}"
                f" (target {TARGET_SLOPE}, bound {least[twice] / least[size] / 2:.2f})"
            )


def main(arguments: Sequence[str]) -> None:
    for size in [int(each) for each in arguments] or SIZES:
        report(size)
    if not arguments:
        slopes()
    rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"largest resident size: {rss_mib:.0f} MiB")


if __name__ == "__main__":
    main(sys.argv[1:])
