"""Small histories of whole fleets, always the same: their ticks are recorded and replayed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from msgspec.structs import replace

from controller.model.fleet import (
    AverageValueTarget,
    Behavior,
    ExternalMetric,
    Fallback,
    Fleet,
    Modifiers,
    NativeCosts,
    NativePreset,
    PolicyType,
    Pool,
    Rule,
    ScalingPolicy,
    ScalingRules,
    Schedule,
    Tenant,
    Tier,
    WeeklyWindow,
)
from controller.model.ids import pool_key
from controller.model.intents import Intents, Scope
from controller.model.memory import Memory, Tick
from controller.model.observation import (
    ClusterRoom,
    Observation,
    Pod,
    PodPhase,
    Pods,
    PoolObservation,
    QueueDepth,
    Series,
    TenantObservation,
    TokenUsage,
    Workers,
    Workload,
)
from controller.model.readings import Absent, Fresh, Stale, Why
from controller.model.scarcity import (
    Budget,
    Capacity,
    LlmModel,
    Price,
    RateLimits,
    Resources,
    TaskUsage,
    Warm,
)
from controller.model.worker_messages import PoolOrders, WorkerState
from support.asked import a_freeze, a_pause, a_pin, intents_of
from support.planning import plan

# Tuesday 2026-03-03 12:00 UTC
NOON = 1_772_539_200.0
ENTERPRISE, STARTER = Tier(name="enterprise", priority=1000), Tier(name="starter", priority=100)
BEHAVIOR = Behavior(
    scale_up=ScalingRules(
        stabilization_window_s=0,
        policies=(ScalingPolicy(type=PolicyType.PODS, value=10, period_s=60),),
    ),
    scale_down=ScalingRules(stabilization_window_s=20),
)
LAG = ExternalMetric(name="lag", target=AverageValueTarget(milli=5000))


class Scene:
    """One history: a fleet whose workloads obey, tick by tick."""

    def __init__(self, name: str, fleet: Fleet, replicas: int = 0) -> None:
        self.name = name
        self.fleet = fleet
        self.ticks: list[Tick] = []
        self.intents = Intents()
        self.tenants: dict[str, TenantObservation] = {}
        self.room: Fresh[ClusterRoom] | Absent = Absent(why=Why.NEVER_READ)
        self.now = NOON
        self.counts = False
        self._counted: dict[str, tuple[int, int, int]] = {}
        self._memory = Memory()
        self._replicas = {pool.key: replicas for pool in fleet.pools}

    def tick(
        self,
        work: Mapping[str, tuple[int, int]],
        otherwise: Mapping[str, Mapping[str, object]] | None = None,
        wait_s: float = 5.0,
    ) -> None:
        """Messages pending and in flight by pool; what is seen `otherwise`, by pool and field."""
        pools = {
            pool.key: replace(
                self._seen(pool, *work.get(pool.name, (0, 0))),
                **(otherwise or {}).get(pool.name, {}),
            )
            for pool in self.fleet.pools
        }
        seen = Observation(pools=pools, tenants=self.tenants, capacity=self.room)
        self.ticks.append(Tick(version=1, now=self.now, observation=seen, intents=self.intents))
        decided, self._memory = plan(seen, self.fleet, self.intents, self._memory, self.now)
        for key, decision in decided.decisions.items():
            if decision.next is not None:
                self._replicas[key] = decision.next
        self.now += wait_s

    def _seen(self, pool: Pool, pending: int, in_flight: int) -> PoolObservation:
        size = self._replicas[pool.key]
        return PoolObservation(
            queue=Fresh(value=self._depth(pool, pending, in_flight), at=self.now),
            workload=Fresh(value=self._workload(pool, size), at=self.now),
            pods=Fresh(value=Pods(ready=size), at=self.now),
        )

    def _workload(self, pool: Pool, size: int) -> Workload:
        first = 0 if pool.statefulset else None
        return Workload(replicas=size, current=size, first_ordinal=first)

    def ordinals(
        self, pool: Pool, busy: Mapping[int, int], told: tuple[int, ...], revision: int
    ) -> dict[str, object]:
        """The pods of a StatefulSet and what their workers say: so many tasks by ordinal; those
        that were `told` to stop have obeyed the orders of this revision.
        """
        name, size = pool.workload.name, self._replicas[pool.key]
        ready = {"phase": PodPhase.READY, "created_at": NOON - 600.0, "ready_at": NOON - 590.0}
        pods = tuple(Pod(name=f"{name}-{each}", ordinal=each, **ready) for each in range(size))
        states = tuple(
            WorkerState(
                worker=f"{name}-{each}",
                slots=1,
                busy=busy.get(each, 0),
                pulling=each not in told,
                obeyed=revision,
            )
            for each in range(size)
        )
        orders = PoolOrders(drain=tuple(f"{name}-{each}" for each in told))
        workers = Workers(states=states, orders=orders, revision=revision)
        return {
            "pods": Fresh(value=Pods(ready=size, items=pods), at=self.now),
            "workers": Fresh(value=workers, at=self.now),
        }

    def _depth(self, pool: Pool, pending: int, in_flight: int) -> QueueDepth:
        """The queue, its deliveries counted where the scene says so: the fewest that lead there,
        and one task a second of a replica that is not seen at work now.
        """
        if not self.counts:
            return QueueDepth(pending=pending, in_flight=in_flight)
        delivered, waited, worked = self._counted.get(pool.name, (0, 0, 0))
        unseen = self._replicas[pool.key] if in_flight else 0
        delivered += max(waited - pending, in_flight - worked, 0) + unseen
        self._counted[pool.name] = (delivered, pending, in_flight)
        return QueueDepth(
            pending=pending, in_flight=in_flight, delivered=delivered, sequence=delivered
        )


def a_pool(name: str, tenant: str = "acme", **fields: object) -> Pool:
    pool = Pool(
        key=pool_key(tenant, name),
        name=name,
        tenant=tenant,
        namespace=tenant,
        deployment=name,
        stream="TASKS",
        consumer=f"{tenant}-{name}",
        behavior=BEHAVIOR,
        max=20,
        cooldown_s=60.0,
    )
    return replace(pool, **fields)


def a_tenant(name: str, tier: Tier = ENTERPRISE, **fields: object) -> Tenant:
    return replace(Tenant(name=name, tier=tier, namespace=name), **fields)


def burst_and_lull() -> Scene:
    """From zero to a burst, through a lull, to sleep, and woken by a message."""
    fleet = Fleet(
        tenants=(a_tenant("acme"),), pools=(a_pool("research"), a_pool("review", min=1, target=4))
    )
    scene = Scene("burst_and_lull", fleet)
    scene.tick({})
    scene.tick({}, {"research": {"woken_at": NOON + 4.0}}, wait_s=1.0)
    for pending, in_flight in [(20, 0), (14, 6), (6, 14), (0, 9), (0, 2), (0, 0)]:
        scene.tick({"research": (pending, in_flight), "review": (pending, 0)}, wait_s=8.0)
    for _ in range(8):
        scene.tick({}, wait_s=12.0)
    return scene


def scarce() -> Scene:
    """Three tenants draw on one cluster, a quota, a budget, money and a shared key."""
    usage = TaskUsage(input_tokens=800, output_tokens=200, seconds=Decimal(60))
    fleet = Fleet(
        tenants=(
            a_tenant("acme", quota=Resources(replicas=9)),
            a_tenant("globex", STARTER, budget=Budget(tokens_per_day=1_000_000)),
            a_tenant("initech", STARTER, budget=Budget(usd_per_hour=Decimal("0.60"))),
        ),
        pools=(
            a_pool("research", warm=Warm(replicas=1)),
            a_pool("review", min=1),
            a_pool("support", "globex", usage=usage, model="gpt"),
            a_pool("triage", "initech", usage=usage, model="gpt", min=1),
        ),
        models=(
            LlmModel(
                name="gpt",
                limits=RateLimits(requests_per_minute=8),
                price=Price(input=Decimal("2.50"), output=Decimal("10.00")),
            ),
        ),
        capacity=Capacity(resources=Resources(replicas=16)),
    )
    scene = Scene("scarce", fleet, replicas=1)
    scene.room = Fresh(value=ClusterRoom(resources=Resources(replicas=14)), at=NOON)
    loads = [(2, 1), (12, 2), (30, 4), (30, 9), (3, 9), (0, 2), (0, 0)]
    for number, used in enumerate([0, 100_000, 700_000, 850_000, 900_000, 1_000_000, 1_000_000]):
        ledger = TokenUsage(used=Decimal(used), burn_per_minute=Decimal(2000))
        scene.tenants = {
            "globex": TenantObservation(usage=Fresh(value=ledger, at=scene.now)),
        }
        work = {pool.name: loads[number] for pool in fleet.pools}
        scene.tick(work, wait_s=30.0)
    scene.tenants = {}
    scene.tick({pool.name: (20, 0) for pool in fleet.pools})
    return scene


def blind() -> Scene:
    """Every source falls silent in turn, while there is work and while there is none."""
    fleet = Fleet(
        tenants=(a_tenant("acme"),),
        pools=(
            a_pool("research"),
            a_pool("review", min=2),
            a_pool("triage", warm=Warm(replicas=2)),
        ),
    )
    scene = Scene("blind", fleet, replicas=3)
    busy = {pool.name: (6, 1) for pool in fleet.pools}
    for _ in range(3):
        scene.tick(busy, wait_s=10.0)
    for field in ("queue", "workload", "pods"):
        for work in (busy, {}):
            gone = Absent(why=Why.TIMED_OUT, at=scene.now)
            scene.tick(work, {pool.name: {field: gone} for pool in fleet.pools})
            old = Stale(value=QueueDepth(pending=0, in_flight=0), at=NOON, why=Why.DISCONNECTED)
            scene.tick(work, {"research": {"queue": old}})
    absurd = Fresh(value=QueueDepth(pending=-1, in_flight=2**63), at=scene.now)
    scene.tick({}, {"review": {"queue": absurd}})
    return scene


def operators() -> Scene:
    """Pins, pauses, a freeze and an open schedule, some of them ending on the way."""
    noon_to_one = WeeklyWindow(days=(1,), from_minute=12 * 60, until_minute=12 * 60 + 1)
    fleet = Fleet(
        tenants=(a_tenant("acme"), a_tenant("globex", STARTER)),
        pools=(
            a_pool("research", schedules=(Schedule(window=noon_to_one, min=3, max=6),)),
            a_pool("support", "globex"),
        ),
    )
    scene = Scene("operators", fleet, replicas=2)
    work = {"research": (9, 2), "support": (4, 1)}
    pin = a_pin(pool="globex/support", replicas=2, until=NOON + 60, who="mara", why="launch")
    pause = a_pause(scope=Scope(tenant="globex"), keep=1, until=NOON + 150, who="jon", why="audit")
    freeze = a_freeze(scope=Scope(pool="acme/research"), who="mara", why="OPS-881")
    for asked in (
        Intents(),
        intents_of(pins=(pin,)),
        intents_of(pins=(pin,)),
        intents_of(pins=(pin,), pauses=(pause,)),
        intents_of(
            pauses=(pause, a_pause(scope=Scope(pool="acme/research"), who="jon", why="leak"))
        ),
        intents_of(freezes=(freeze,)),
        Intents(),
    ):
        scene.intents = asked
        scene.tick(work, wait_s=28.0)
    return scene


def by_hpa() -> Scene:
    """Rule hpa: metrics beside the queue, a formula, a fallback, and no `behavior`."""
    fleet = Fleet(
        tenants=(a_tenant("acme"),),
        pools=(
            a_pool("plain", rule=Rule.HPA, target=5),
            a_pool("lagging", rule=Rule.HPA, metrics=(LAG,), min=1),
            a_pool(
                "mixed",
                rule=Rule.HPA,
                metrics=(LAG,),
                modifiers=Modifiers(formula="queue + lag", target_milli=4000),
            ),
            a_pool(
                "safe",
                rule=Rule.HPA,
                metrics=(LAG,),
                without_behavior=True,
                fallback=Fallback(failure_threshold=1, replicas=5),
            ),
            a_pool("beside", metrics=(LAG,)),
        ),
    )
    scene = Scene("by_hpa", fleet, replicas=1)
    names = [pool.name for pool in fleet.pools]
    for messages, lag in [(0, 0), (12, 0), (60, 40), (31, None), (31, None), (9, 33), (0, 0)]:
        reading = (
            Absent(why=Why.REFUSED, at=scene.now)
            if lag is None
            else Fresh(value=Series(values_milli=(1000 * lag,)), at=scene.now)
        )
        scene.tick(
            dict.fromkeys(names, (messages, 0)),
            {name: {"metrics": {"lag": reading}} for name in names},
            wait_s=15.0,
        )
    for _ in range(4):
        scene.tick({}, wait_s=25.0)
    return scene


def by_its_past() -> Scene:
    """Rule native once it has learned: a burst, a lull and steady work, under every setting."""
    own = NativeCosts(start_wait_cost=6.0, keep_wait_cost=40.0, hold_s=20.0, late_share=0.1)
    fleet = Fleet(
        tenants=(a_tenant("acme"),),
        pools=(
            a_pool("research", window_given=False),
            a_pool("review", native=NativePreset.THRIFTY, window_given=False),
            a_pool("triage", native=NativePreset.CALM, window_given=False),
            a_pool("support", native=own, warm=Warm(slo=Decimal("0.9")), slots=2),
        ),
    )
    scene = Scene("by_its_past", fleet)
    scene.counts = True
    names = [pool.name for pool in fleet.pools]
    burst = [(0, 0), (9, 0), (4, 5), (0, 9), (0, 4)]
    lull = [(0, 0)] * 6
    steady = [(1, 2), (0, 3), (0, 2)] * 4
    for pending, in_flight in [*burst, *lull, *steady, *burst]:
        scene.tick(dict.fromkeys(names, (pending, in_flight)), wait_s=6.0)
    for _ in range(10):
        scene.tick({}, wait_s=31.0)
    return scene


def by_ordinals() -> Scene:
    """Two StatefulSets shrink: the workers of one say what they do, those of the other do not."""
    spoken = a_pool("notes", deployment="", statefulset="notes-db")
    silent = a_pool("memory", deployment="", statefulset="memory-db")
    fleet = Fleet(tenants=(a_tenant("acme"),), pools=(spoken, silent))
    scene = Scene("by_ordinals", fleet)
    scene.tick({}, wait_s=30.0)
    scene.tick({"notes": (6, 0), "memory": (6, 0)}, wait_s=30.0)
    told: tuple[int, ...] = ()
    for revision, busy in enumerate(({1: 1, 4: 1}, {1: 1, 4: 1}, {1: 1}, {1: 1}, {}, {}, {}), 1):
        seen = scene.ordinals(spoken, busy, told, revision)
        work = (0, len(busy))
        scene.tick({"notes": work, "memory": work}, {"notes": seen}, wait_s=30.0)
        told = tuple(range(len(busy), 6)) if revision > 1 else ()
    return scene


def scenes() -> Iterator[Scene]:
    for scene in (burst_and_lull, scarce, blind, operators, by_hpa, by_its_past, by_ordinals):
        yield scene()
