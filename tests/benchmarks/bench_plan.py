"""What planning one tick costs: `python tests/benchmarks/bench_plan.py [pools …]`.

Three kinds of fleet, ten replicas wanted per pool: plenty, where nothing is declared scarce;
scarce, where six of ten fit and the cluster's CPU and memory, quotas, budgets, money and eight
models' rate limits are all in force; and learned, where nothing is scarce and the queues count
their deliveries, so that every pool's rule goes by what it has learned.

Plans are made every second of virtual time, as an engine makes them: what was kept of the plan
before is handed in, a pool's observation is the same object until something about it changes, and
only a tenant's usage of tokens is read anew each time. Before that comes a past that fills every
window and brings the pools to their targets. Nothing changed: each plan sees what the last one saw.
1 % changed: pools take turns in which their queue has changed, and in which what was decided for
them last has been written. All changed: every pool has its turn at every plan.

The naive heap is the division of the scarce fleet's last plan by its definition, in the same run:
one replica after the other, nothing kept, granted at once or known before.

The bound is what this machine needs, in the same run, merely to find which observations are other
objects and to make the decisions of those pools.
"""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from enum import StrEnum
from heapq import heapify, heappop, heapreplace
from itertools import compress, cycle, pairwise
from operator import is_not
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

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
from controller.planning.compile import compile_fleet
from controller.planning.memo import Kept, Planned
from controller.planning.planner import plan
from controller.planning.share.units import Units

START = 1_700_000_000.0
SIZES = (1_000, 10_000)
DOUBLINGS = (1_000, 2_000, 4_000, 8_000)
TARGET_SLOPE = 1.1
TARGET_BLOCKS_PER_POOL = 20
TARGET_MEMORY_BYTES_PER_POOL = 600
INTERVAL_S = 1.0
PAST_S = 15.0
PAST, TO_TARGETS, TURNS, TICKS = 25, 60, 110, 21
POOLS_PER_TENANT = 20
DONE_PER_TURN = 12
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


class Case(NamedTuple):
    """A kind of fleet and the share of its pools that change from plan to plan. What a plan of
    1,000 and of 10,000 pools may take: in milliseconds, or `heaps` times the naive heap.
    """

    kind: Kind
    changed: float
    target_ms: tuple[float, float] | None = None
    heaps: float | None = None

    @property
    def name(self) -> str:
        changes = {0.0: "nothing changed", 1.0: "all changed"}
        return f"{self.kind}, {changes.get(self.changed, f'{self.changed:.0%} changed')}"

    def target(self, size: int, heap_ms: float) -> str:
        if self.heaps is not None:
            return f"target {self.heaps * heap_ms:.2f} ms, {self.heaps} naive heaps"
        if self.target_ms is None or size not in SIZES:
            return "no target"
        return f"target {self.target_ms[SIZES.index(size)]:g} ms"


CASES = (
    Case(Kind.PLENTY, 0.0, (0.3, 3.0)),
    Case(Kind.SCARCE, 0.0, (0.3, 3.0)),
    Case(Kind.LEARNED, 0.0),
    Case(Kind.PLENTY, 0.01),
    Case(Kind.SCARCE, 0.01, heaps=0.8),
    Case(Kind.LEARNED, 0.01, (4.0, 40.0)),
    Case(Kind.PLENTY, 1.0, heaps=2.2),
    Case(Kind.SCARCE, 1.0, heaps=4.0),
    Case(Kind.LEARNED, 1.0),
)


class Figures(NamedTuple):
    """One case: milliseconds of one core for each plan, memory blocks that the last one left
    allocated in its answer, the memory as JSON, how often the memory was another object, and the
    replicas of all targets.
    """

    times_ms: list[float]
    blocks: int
    memory_bytes: int
    memories: int
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
    """A fleet, the size of every pool, what is seen of each, and what the last plan left."""

    def __init__(self, size: int, kind: Kind) -> None:
        self.kind = kind
        self.fleet = fleet_of(size, kind)
        self.terms = compile_fleet(self.fleet)
        self.keys = [pool.key for pool in self.fleet.pools]
        self.now, self.turn = START, 0
        self.sizes = dict.fromkeys(self.keys, 5)
        self.done = dict.fromkeys(self.keys, 0)
        self.usage = {
            tenant.name: TokenUsage(
                used=Decimal(100_000_000 + 2_000_000 * (number % 120)),
                burn_per_minute=Decimal(250_000),
            )
            for number, tenant in enumerate(self.fleet.tenants)
        }
        self.pools: dict[PoolKey, PoolObservation] = {}
        self.change(range(size))
        self.memory = Memory()
        self.kept: Kept | None = None
        self.answer = Plan(at=START)

    def change(self, numbers: Iterable[int]) -> None:
        """These pools have their turn: other messages, tasks that are done, the size written."""
        self.turn += 1
        for number in numbers:
            key = self.keys[number]
            size = self.sizes[key]
            messages = 1 + (self.turn * 7 + number) % 19
            running = min(messages // 2, size)
            self.done[key] += DONE_PER_TURN
            delivered = self.done[key] + running if self.kind is Kind.LEARNED else None
            depth = QueueDepth(
                pending=messages - running,
                in_flight=running,
                delivered=delivered,
                sequence=delivered,
            )
            self.pools[key] = PoolObservation(
                queue=Fresh(value=depth, at=self.now),
                workload=Fresh(value=Workload(replicas=size, resource_version="1"), at=self.now),
                pods=Fresh(value=Pods(ready=size), at=self.now),
            )

    def observation(self) -> Observation:
        tenants = {
            name: TenantObservation(usage=Fresh(value=usage, at=self.now))
            for name, usage in self.usage.items()
        }
        return Observation(pools=dict(self.pools), tenants=tenants)

    def plan(self, seen: Observation) -> Planned:
        return plan(seen, self.terms, Intents(), self.memory, self.now, self.kept)

    def go_on(self, planned: Planned) -> None:
        self.answer, self.memory, self.kept = planned.plan, planned.memory, planned.kept
        for key, decision in planned.changed.items():
            if decision.next is not None:
                self.sizes[key] = decision.next

    def live(self, ticks: int, numbers: Sequence[int], step_s: float) -> None:
        """So many plans in which these pools change."""
        for _ in range(ticks):
            self.now += step_s
            self.change(numbers)
            self.go_on(self.plan(self.observation()))

    def come_to_targets(self) -> None:
        """Large steps in which only writes happen, until there are none."""
        for _ in range(TO_TARGETS):
            self.now += 4 * PAST_S
            self.go_on(self.plan(self.observation()))
            behind = [
                number for number, key in enumerate(self.keys) if self.answer.decisions[key].changes
            ]
            if not behind:
                return
            self.write(behind)

    def write(self, numbers: Iterable[int]) -> None:
        """The decisions for these pools are written; their queues stay as they are."""
        for number in numbers:
            key = self.keys[number]
            size = self.sizes[key]
            self.pools[key] = replace(
                self.pools[key],
                workload=Fresh(value=Workload(replicas=size, resource_version="1"), at=self.now),
                pods=Fresh(value=Pods(ready=size), at=self.now),
            )


def measure(size: int, case: Case, ticks: int = TICKS) -> Figures:
    """Plan some ticks, after a past that fills the windows and brings the pools to targets."""
    world, everything = World(size, case.kind), range(size)
    world.live(PAST, everything, PAST_S)
    world.come_to_targets()
    share = max(round(case.changed * size), 1) if case.changed else 0
    turns = cycle([everything[first : first + share] for first in range(0, size, share or size)])
    for _ in range(TURNS if 0.0 < case.changed < 1.0 else 2):
        world.live(1, next(turns) if share else (), INTERVAL_S)
    times: list[float] = []
    blocks = memories = 0
    for _ in range(ticks):
        world.now += INTERVAL_S
        if share:
            world.change(next(turns))
        seen = world.observation()
        gc.collect()
        previous = world.answer, world.memory, world.kept
        before = sys.getallocatedblocks()
        began = time.process_time()
        planned = world.plan(seen)
        times.append((time.process_time() - began) * 1000)
        blocks = sys.getallocatedblocks() - before
        memories += planned.memory.pools is not world.memory.pools
        world.go_on(planned)
        del previous  # until here it stays, so that what is new is counted in full
    targets = sum(decision.target or 0 for decision in world.answer.decisions.values())
    return Figures(times, blocks, len(msgspec.json.encode(world.memory)), memories, targets)


def bound(size: int, changed: float) -> float:
    """Milliseconds to find which of the observations are other objects, and to make a decision with
    two reasons for each pool that changed.
    """
    keys = [pool.key for pool in fleet_of(size, Kind.PLENTY).pools]
    before = [PoolObservation() for _ in keys]
    after = list(before)
    for number in range(round(size * changed)):
        after[number] = PoolObservation()

    def make() -> None:
        decisions = {}
        for number in compress(range(size), map(is_not, after, before)):
            key = keys[number]
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


def naive_heap(size: int) -> float:
    """Milliseconds of dividing the rows of a scarce fleet by the definition."""
    world = World(size, Kind.SCARCE)
    world.live(2, range(size), PAST_S)
    assert world.kept is not None
    assert world.kept.shared is not None
    rows, _, claims, uses, *_, divider = world.kept.shared
    field, units = divider.field, Units(rows)
    for pool, each in enumerate(uses):
        units.admit(field.names[pool], each)
    draws = [units.profile(each).everywhere for each in uses]
    shares = [
        max(part * dict(draw.takes).get(row, 0) for row, part in units.fair) for draw in draws
    ]

    def divide() -> None:
        left, have = list(units.capacity), [0] * size
        for goal in ("floor", "need", "want"):
            for tenants in field.tiers:
                heap, bids = [], {}
                for tenant in tenants:
                    multiply, by = field.tenant_divisors[tenant]
                    own = []
                    for pool in field.pools_of[tenant]:
                        claim = claims[pool]
                        most = 0 if claim is None else getattr(claim, goal)
                        step, under = field.divisors[pool]
                        own += [(n * step // under, pool) for n in range(have[pool], most)]
                    if own:
                        own.sort(reverse=True)
                        level = sum(have[pool] * shares[pool] for pool in field.pools_of[tenant])
                        bids[tenant] = own
                        heap.append((level * multiply // by, tenant, level))
                heapify(heap)
                closed: set[int] = set()
                while heap:
                    _, tenant, level = heap[0]
                    multiply, by = field.tenant_divisors[tenant]
                    pool = bids[tenant].pop()[1]
                    if pool not in closed:
                        takes, strict, _ = draws[pool]
                        if any(left[row] < need for row, need in strict):
                            closed.add(pool)
                        else:
                            for row, use in takes:
                                left[row] -= use
                            have[pool] += 1
                            level += shares[pool]
                    if bids[tenant]:
                        heapreplace(heap, (level * multiply // by, tenant, level))
                    else:
                        heappop(heap)

    return min(_timed(divide) for _ in range(5))


def report(size: int) -> None:
    heap_ms = naive_heap(size)
    print(f"naive heap {size:>6,} pools: {heap_ms:.2f} ms", flush=True)
    for case in CASES:
        figures = measure(size, case)
        print(
            f"plan {size:>6,} pools, {case.name}:"
            f" median {statistics.median(figures.times_ms):7.2f} ms,"
            f" least {min(figures.times_ms):7.2f} ms, most {max(figures.times_ms):7.2f} ms"
            f" ({case.target(size, heap_ms)}, bound {bound(size, case.changed):.2f} ms);"
            f" {figures.targets:,} replicas;"
            f" {figures.blocks / size:5.1f} blocks a pool (target {TARGET_BLOCKS_PER_POOL});"
            f" memory {figures.memory_bytes / size:4.0f} B a pool"
            f" (target {TARGET_MEMORY_BYTES_PER_POOL}),"
            f" another one after {figures.memories} of {len(figures.times_ms)} plans",
            flush=True,
        )


def slopes(sizes: Sequence[int] = DOUBLINGS) -> None:
    """How much more than twice the time twice the pools take, where all of them change."""
    for kind in Kind:
        case = Case(kind, 1.0)
        taken = {size: min(measure(size, case, ticks=7).times_ms) for size in sizes}
        least = {size: bound(size, case.changed) for size in sizes}
        for size, twice in pairwise(sizes):
            print(
                f"slope {size:,} to {twice:,} pools, {case.name}:"
                f" {taken[twice] / taken[size] / 2:.2f}"
                f" (target {TARGET_SLOPE}, bound {least[twice] / least[size] / 2:.2f})",
                flush=True,
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
