"""Fixed snapshots for the tests, the pictures and the benchmarks of the dashboard."""

from __future__ import annotations

from collections.abc import Callable
from math import sin

from msgspec.structs import replace

from controller.model.decision import (
    Bound,
    Code,
    Decision,
    Gate,
    Outcome,
    OutcomeKind,
    Reason,
    Standing,
)
from controller.model.ids import PoolKey, pool_key
from controller.model.observation import (
    ClusterEvent,
    Pod,
    PodPhase,
    Pods,
    PoolObservation,
    QueueDepth,
    WakeWatch,
    Workload,
)
from controller.model.readings import Absent, Fresh, Stale, Why, last_known
from controller.model.snapshot import (
    NOT_KNOWN,
    Finding,
    History,
    Link,
    LinkState,
    LoopStats,
    PoolView,
    Role,
    ScaleEvent,
    Severity,
    Snapshot,
    Timeline,
    condition_of,
)

NOW = 1_772_453_089.0  # 2026-03-02 12:04:49Z
HOSTILE_TEXT = "[@click=app.quit()]x\x1b]52;c;AAAA\x07\x9b31m\u202eevil\u200b[/][link=http://x]"


class FakeFeed:
    """A feed with the snapshots that a test publishes."""

    def __init__(self, latest: Snapshot | None = None) -> None:
        self._latest = latest
        self.before: tuple[Snapshot, ...] = ()
        self.callbacks: list[Callable[[Snapshot], None]] = []

    def latest(self) -> Snapshot | None:
        return self._latest

    def earlier(self) -> tuple[Snapshot, ...]:
        return self.before

    def subscribe(self, callback: Callable[[Snapshot], None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    def publish(self, snapshot: Snapshot) -> None:
        self._latest = snapshot
        for callback in list(self.callbacks):
            callback(snapshot)


class FixedClock:
    """A clock that a test moves."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def queue_reason(pending: int, in_flight: int, value: int) -> Reason:
    numbers = {"pending": pending, "in_flight": in_flight, "target": 1, "slots": 1}
    return Reason(code=Code.QUEUE, value=value, numbers=dict(numbers))


def pool(
    tenant: str = "acme",
    name: str = "coder",
    *,
    tier: str = "enterprise",
    pending: int = 3,
    in_flight: int = 4,
    ready: int = 4,
    current: int = 4,
    demand: int = 7,
    target: int | None = None,
    next_replicas: int | None = None,
    maximum: int = 60,
    minimum: int = 0,
    bound: Bound = Bound.DEMAND,
    gate: Gate | None = None,
    reasons: tuple[Reason, ...] = (),
    pods: Pods | None = None,
    outcome: Outcome | None = None,
    warnings: tuple[ClusterEvent, ...] = (),
    at: float = NOW - 0.4,
    since_s: float = 1260.0,
) -> PoolView:
    key = pool_key(tenant, name)
    wanted = demand if target is None else target
    upcoming = wanted if next_replicas is None else next_replicas
    seen = Pods(ready=ready, starting=max(current - ready, 0)) if pods is None else pods
    view = PoolView(
        key=key,
        tenant=tenant,
        tier=tier,
        namespace=f"agents-{tenant}",
        deployment=f"{name}-agent",
        stream="AGENTS",
        consumer=f"{tenant}-{name}",
        slots=1,
        target_per_replica=1,
        min=minimum,
        max=maximum,
        observation=PoolObservation(
            queue=Fresh(value=QueueDepth(pending=pending, in_flight=in_flight), at=at),
            workload=Fresh(
                value=Workload(
                    replicas=current,
                    current=current,
                    ready=ready,
                    updated=current,
                    available=ready,
                    labels={"app.kubernetes.io/name": f"{name}-agent", "tenant": tenant},
                ),
                at=at,
            ),
            pods=Fresh(value=seen, at=at),
            warnings=warnings,
            wake=WakeWatch.ARMED if current == 0 else WakeWatch.OFF,
        ),
        decision=Decision(
            pool=key,
            current=current,
            demand=demand,
            recommendation=wanted,
            target=wanted,
            next=upcoming,
            bound=bound,
            gate=gate,
            reasons=reasons or (queue_reason(pending, in_flight, demand),),
        ),
        outcome=outcome,
    )
    return standing_since(view, NOW - since_s)


def standing_since(view: PoolView, since: float) -> PoolView:
    """The pool stands as it does since then; its bound is the same for ten minutes longer."""
    decision = view.decision
    assert decision is not None
    standing = Standing(
        condition=condition_of(view),
        since=since,
        bound=decision.bound,
        gate=decision.gate,
        bound_since=since - 600,
    )
    return replace(view, standing=standing)


def over_max() -> PoolView:
    """Its demand is far above its max; one pod cannot be scheduled, another one crashes."""
    name = "browser-gpu-7c9f"
    items = (
        Pod(
            name=f"{name}-m1q2z",
            phase=PodPhase.UNSCHEDULED,
            created_at=NOW - 31,
            since=NOW - 31,
            reason="Unschedulable",
            message="no node takes it: 0/42 nodes are available: 42 Insufficient nvidia.com/gpu",
        ),
        Pod(
            name=f"{name}-b4j7m",
            phase=PodPhase.STARTING,
            node="gpu-a10-07",
            created_at=NOW - 12,
            scheduled_at=NOW - 11.8,
            since=NOW - 11.8,
            reason="ContainerCreating",
            message="container agent is being created",
        ),
        Pod(
            name=f"{name}-p0d3c",
            phase=PodPhase.CRASHING,
            node="gpu-a10-02",
            created_at=NOW - 140,
            since=NOW - 95,
            restarts=4,
            reason="CrashLoopBackOff",
            message="container agent has ended 4 times, last with exit 3: back-off 80s",
        ),
        *(
            Pod(
                name=f"{name}-{index:05d}",
                phase=PodPhase.READY,
                node="gpu-a10-04",
                created_at=NOW - 900,
                scheduled_at=NOW - 898,
                started_at=NOW - 889,
                ready_at=NOW - 880 + index,
                since=NOW - 880 + index,
            )
            for index in range(12)
        ),
    )
    return pool(
        "acme",
        "browser-gpu",
        pending=1240,
        in_flight=12,
        ready=12,
        current=15,
        demand=1252,
        target=20,
        maximum=20,
        minimum=2,
        bound=Bound.MAX,
        reasons=(
            queue_reason(1240, 12, 1252),
            Reason(code=Code.RATE_LIMITED_UP, value=25, numbers={"policy": "10 pods per 60 s"}),
            Reason(code=Code.AT_MAX, value=20, numbers={"max": 20}),
        ),
        pods=Pods(ready=12, starting=1, unscheduled=1, crashing=1, items=items),
        outcome=Outcome(kind=OutcomeKind.APPLIED, status=200),
        warnings=(
            ClusterEvent(
                at=NOW - 9,
                reason="FailedScheduling",
                message="0/42 nodes are available: 42 Insufficient nvidia.com/gpu",
                object_name=f"{name}-m1q2z",
                count=3,
            ),
        ),
    )


def blind_pool() -> PoolView:
    """Its consumer is missing: its demand is unknown, and its replicas are held."""
    view = pool(
        "globex",
        "canary",
        tier="growth",
        ready=6,
        current=6,
        demand=6,
        gate=Gate.BLIND,
        reasons=(
            Reason(code=Code.QUEUE_UNKNOWN, numbers={"why": "consumer_missing", "since": NOW - 38}),
            Reason(
                code=Code.HELD_BLIND,
                value=6,
                numbers={"why": "consumer_missing", "since": NOW - 38},
            ),
        ),
    )
    assert view.decision is not None
    decision = replace(view.decision, demand=None, recommendation=None, target=None)
    reading = Absent(
        why=Why.CONSUMER_MISSING, at=NOW - 38, detail="no consumer globex-canary on AGENTS"
    )
    return replace(view, decision=decision, observation=replace(view.observation, queue=reading))


def stale_queue() -> PoolView:
    """The last good reading of its queue is 23 s old."""
    view = pool(
        "globex",
        "research",
        tier="growth",
        pending=402,
        ready=88,
        current=88,
        demand=88,
        next_replicas=88,
        gate=Gate.BLIND,
    )
    reading = Stale(
        value=QueueDepth(pending=402, in_flight=80), at=NOW - 23, why=Why.TIMED_OUT, detail="2 s"
    )
    return replace(view, observation=replace(view.observation, queue=reading))


def at_zero() -> PoolView:
    reason = Reason(code=Code.ASLEEP, value=0, numbers={"cooldown_s": 900.0})
    return pool(
        "initech",
        "voice",
        tier="starter",
        pending=0,
        in_flight=0,
        ready=0,
        current=0,
        demand=0,
        reasons=(queue_reason(0, 0, 0), reason),
    )


def write_refused() -> PoolView:
    outcome = Outcome(
        kind=OutcomeKind.FORBIDDEN,
        status=403,
        detail='deployments.apps "etl-agent" is forbidden: cannot patch deployments/scale',
    )
    return pool(
        "initech",
        "etl",
        tier="starter",
        pending=9,
        in_flight=2,
        ready=2,
        current=2,
        demand=11,
        outcome=outcome,
    )


def pools() -> tuple[PoolView, ...]:
    slower = Reason(
        code=Code.STABILIZED_DOWN, value=52, numbers={"window_s": 300.0, "until": NOW + 212}
    )
    return (
        pool(
            "acme",
            "coder-large",
            pending=61,
            in_flight=65,
            ready=61,
            current=65,
            demand=126,
            target=70,
            bound=Bound.DEMAND,
            reasons=(
                queue_reason(61, 65, 126),
                Reason(code=Code.RATE_LIMITED_UP, value=70, numbers={"policy": "5 pods per 60 s"}),
            ),
        ),
        over_max(),
        stale_queue(),
        pool(
            "globex",
            "support-chat",
            tier="growth",
            pending=0,
            in_flight=140,
            ready=140,
            current=140,
            demand=140,
        ),
        pool(
            "globex",
            "eval-batch",
            tier="growth",
            pending=0,
            in_flight=31,
            ready=52,
            current=52,
            demand=31,
            target=52,
            reasons=(queue_reason(0, 31, 31), slower),
        ),
        at_zero(),
        write_refused(),
        pool(
            "initech",
            "tools-shared",
            tier="starter",
            pending=5,
            in_flight=9,
            ready=9,
            current=9,
            demand=14,
            next_replicas=9,
            gate=Gate.FREEZE,
        ),
        blind_pool(),
    )


def links(nats: LinkState = LinkState.CONNECTED) -> tuple[Link, ...]:
    lost = nats is not LinkState.CONNECTED
    return (
        Link(
            name="nats",
            state=nats,
            since=NOW - (47 if lost else 3600),
            detail="no servers available (nats://nats-0:4222)" if lost else "nats://nats-0:4222",
            last_good_at=NOW - 47 if lost else NOW,
        ),
        Link(
            name="kubernetes",
            state=LinkState.CONNECTED,
            since=NOW - 3600,
            detail="v1.35.0",
            last_good_at=NOW,
        ),
    )


def event(
    seconds_ago: float,
    key: str,
    before: int,
    after: int,
    bound: Bound,
    *,
    reason: Reason,
    outcome: Outcome | None = None,
) -> ScaleEvent:
    return ScaleEvent(
        at=NOW - seconds_ago,
        pool=PoolKey(key),
        before=before,
        after=after,
        bound=bound,
        reason=reason,
        outcome=outcome or Outcome(kind=OutcomeKind.APPLIED, status=200),
    )


def events() -> tuple[ScaleEvent, ...]:
    refusal = Outcome(kind=OutcomeKind.FORBIDDEN, status=403, detail="cannot patch scale")
    return (
        event(
            18,
            "acme/browser-gpu",
            12,
            20,
            Bound.MAX,
            reason=Reason(code=Code.AT_MAX, value=20, numbers={"max": 20}),
        ),
        event(
            47,
            "acme/coder-large",
            65,
            70,
            Bound.DEMAND,
            reason=Reason(
                code=Code.RATE_LIMITED_UP, value=70, numbers={"policy": "5 pods per 60 s"}
            ),
        ),
        event(
            51,
            "globex/eval-batch",
            60,
            52,
            Bound.DEMAND,
            reason=Reason(
                code=Code.STABILIZED_DOWN, value=52, numbers={"window_s": 300.0, "until": NOW + 212}
            ),
        ),
        event(
            212, "initech/etl", 2, 11, Bound.DEMAND, reason=queue_reason(9, 2, 11), outcome=refusal
        ),
        event(580, "globex/support-chat", 132, 140, Bound.DEMAND, reason=queue_reason(0, 140, 140)),
        event(
            960,
            "initech/voice",
            1,
            0,
            Bound.DEMAND,
            reason=Reason(code=Code.ASLEEP, value=0, numbers={"cooldown_s": 900.0}),
        ),
    )


def findings() -> tuple[Finding, ...]:
    return (
        Finding(
            severity=Severity.CRITICAL,
            subject="globex/canary",
            kind="queue",
            text="queue unknown (consumer missing): no consumer globex-canary on AGENTS",
            since=NOW - 38,
        ),
        Finding(
            severity=Severity.WARNING,
            subject="acme/browser-gpu",
            kind="pods",
            text="1 of 15 pods unscheduled: 0/42 nodes are available: 42 Insufficient gpu",
            since=NOW - 31,
        ),
        Finding(
            severity=Severity.WARNING,
            subject="initech/etl",
            kind="write",
            text="write refused: cannot patch deployments/scale",
            since=NOW - 212,
        ),
        Finding(
            severity=Severity.INFO,
            subject="initech/voice",
            kind="wake",
            text="woken by polling only: no right to subscribe to AGENTS.>",
            since=NOW - 3600,
        ),
    )


def histories(views: tuple[PoolView, ...]) -> dict[PoolKey, History]:
    """Queues that came up to where they are, a gap in one, and replicas that followed."""
    return {view.key: _history(number, view) for number, view in enumerate(views)}


def _history(number: int, view: PoolView) -> History:
    queue, workload = last_known(view.observation.queue), last_known(view.observation.workload)
    pending = NOT_KNOWN if queue is None else queue.pending
    ready = NOT_KNOWN if workload is None else workload.ready
    target = NOT_KNOWN
    if view.decision is not None and view.decision.target is not None:
        target = view.decision.target
    waves = [sin((slot + 7 * number) / 9) ** 2 for slot in range(96)]
    waited = [round(wave * max(pending, 0)) for wave in waves[:59]]
    if number == 2:
        waited[20:30] = [NOT_KNOWN] * 10
    if pending == NOT_KNOWN:
        waited[-20:] = [NOT_KNOWN] * 20
    waits = [each if each == NOT_KNOWN else round(0.3 * each) for each in waited]
    grown = [round(max(ready, 0) * slot / 59) for slot in range(59)]
    wanted = [round(max(target, 0) * min(slot + 8, 59) / 59) for slot in range(59)]
    return History(
        recent=Timeline(
            pending=(*waited, pending),
            ready=(*grown, ready),
            target=(*wanted, target),
            wait_s=(*waits, NOT_KNOWN if pending == NOT_KNOWN else pending // 3),
        ),
        day=Timeline(
            pending=tuple(round(3 * wave * max(pending, 0)) for wave in waves),
            ready=tuple(round(2 * wave * max(ready, 0)) for wave in waves),
            target=tuple(round(2 * wave * max(target, 0)) for wave in waves),
            wait_s=tuple(round(wave * max(pending, 0)) for wave in waves),
        ),
    )


def mixed_fleet(sequence: int = 4821, *, at: float = NOW - 0.4) -> Snapshot:
    """Nine pools, one for each kind of trouble that a pool can have."""
    return Snapshot(
        epoch=NOW - 4821.0,
        sequence=sequence,
        at=at,
        interval_s=1.0,
        fleet="agents",
        context="prod-eu1",
        role=Role.ACTIVE,
        links=links(),
        pools=pools(),
        events=events(),
        findings=findings(),
        histories=histories(pools()),
        loop=LoopStats(
            ticks=4821,
            late_ticks=2,
            last_tick_s=0.0042,
            decisions=43389,
            writes=214,
            failed_writes=3,
        ),
    )


def empty_fleet() -> Snapshot:
    return replace(mixed_fleet(), pools=(), events=(), findings=())


def stale_fleet() -> Snapshot:
    return mixed_fleet(at=NOW - 47.0)


def nats_lost() -> Snapshot:
    snapshot = mixed_fleet()
    return replace(snapshot, links=links(LinkState.DISCONNECTED))


def read_only() -> Snapshot:
    return replace(mixed_fleet(), role=Role.READ_ONLY)


def hostile_fleet(text: str = HOSTILE_TEXT) -> Snapshot:
    """Every text that comes from outside is this one, with escape sequences and markup."""
    view = over_max()
    seen = view.observation
    assert view.decision is not None
    pod = Pod(name=text, phase=PodPhase.CRASHING, node=text, reason=text, message=text)
    workload = Workload(replicas=1, ready=0, labels={text: text}, message=text)
    decision = replace(
        view.decision,
        pool=PoolKey(text),
        reasons=(Reason(code=Code.RATE_LIMITED_UP, value=3, numbers={"policy": text}),),
    )
    hostile = replace(
        view,
        key=PoolKey(text),
        tier=text,
        tenant=text,
        namespace=text,
        deployment=text,
        stream=text,
        consumer=text,
        decision=decision,
        observation=replace(
            seen,
            queue=Absent(why=Why.REFUSED, at=NOW - 3, detail=text),
            workload=Fresh(value=workload, at=NOW),
            pods=Fresh(value=Pods(ready=0, crashing=1, items=(pod,)), at=NOW),
            wake=WakeWatch.POLLED,
            wake_detail=text,
            warnings=(ClusterEvent(at=NOW, reason=text, message=text, object_name=text),),
        ),
        outcome=Outcome(kind=OutcomeKind.FAILED, status=500, detail=text),
    )
    finding = Finding(severity=Severity.CRITICAL, subject=text, kind=text, text=text, since=NOW)
    reason = Reason(code=Code.RATE_LIMITED_UP, value=3, numbers={"policy": text})
    link = Link(name=text, state=LinkState.DISCONNECTED, since=NOW - 5, detail=text)
    return replace(
        mixed_fleet(),
        fleet=text,
        context=text,
        pools=(hostile, *pools()[:3]),
        findings=(finding,),
        events=(event(3, text, 1, 2, Bound.MAX, reason=reason),),
        links=(*links(), link),
    )


def many_pools(
    count: int, sequence: int = 1, *, changed: int = 0, at: float = NOW - 0.4
) -> Snapshot:
    """`count` pools; the first `changed` of them have one more message in each snapshot."""
    views = []
    for index in range(count):
        pending = index % 7 + (sequence if index < changed else 0)
        views.append(
            pool(f"tenant-{index // 10:03d}", f"agent-{index:04d}", pending=pending, at=at)
        )
    return replace(mixed_fleet(sequence, at=at), pools=tuple(views))
