"""What `/healthz` and `/readyz` say, and that a process which can do nothing is not ready."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from controller.expose.server import TickWatch, readiness, unable_to_decide
from controller.model.observation import Figure, PoolObservation, QueueDepth, Workload
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.settings import LeaseView
from controller.model.snapshot import (
    NO_WRITE,
    OVERTAKEN,
    Finding,
    Link,
    LinkState,
    LoopStats,
    PoolView,
    Role,
    Severity,
    Snapshot,
)
from support.table import tabled
from support.world import START, a_view, make_pool

DEPTH = Fresh(value=QueueDepth(pending=0, in_flight=0), at=START)
SIZE = Fresh(value=Workload(replicas=1), at=START)
LEASE = LeaseView(name="Lease default/agentdash", holder="pod-7/1_9f")


def pool_view(
    name: str, queue: Reading[QueueDepth] = DEPTH, workload: Reading[Workload] = SIZE
) -> PoolView:
    pool = make_pool(name)
    return a_view(
        pool,
        observation=PoolObservation(queue=queue, workload=workload),
    )


def snapshot(*pools: PoolView, **more: Any) -> Snapshot:
    found: dict[str, Any] = {
        "links": (Link(name="nats", state=LinkState.CONNECTED, since=START),),
        "loop": LoopStats(ticks=1),
        "role": Role.ACTIVE,
        **more,
    }
    return Snapshot(
        epoch=START,
        sequence=1,
        at=START,
        interval_s=1.0,
        fleet="f",
        context="c",
        pools=pools,
        **found,
    )


class Passing:
    """Monotonic seconds that a test lets pass."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        return self.passed


def test_without_a_tick_for_several_intervals_the_process_is_not_alive() -> None:
    time = Passing()
    watch = TickWatch(1.0, time)
    time.passed = 10.0
    assert watch.liveness().ok
    time.passed = 10.1
    assert watch.liveness().causes == ("no tick for 10 s",)
    watch.saw(snapshot(loop=LoopStats(ticks=7)))
    assert watch.liveness().ok


def test_ticks_of_single_pools_do_not_keep_a_process_alive() -> None:
    time = Passing()
    watch = TickWatch(5.0, time)
    watch.saw(snapshot(loop=LoopStats(ticks=7)))
    for second in range(1, 27):
        time.passed = second
        watch.saw(snapshot(loop=LoopStats(ticks=7)))
    assert watch.liveness().causes == ("no tick for 26 s",)


def test_a_process_whose_connections_are_up_is_ready() -> None:
    assert not readiness(None).ok
    assert readiness(snapshot(loop=LoopStats())).causes == ("no tick yet",)
    assert readiness(snapshot(pool_view("a"))).ok
    down = Link(name="kubernetes", state=LinkState.DISCONNECTED, since=START, detail="refused")
    assert readiness(snapshot(links=(down,))).causes == ("kubernetes: refused",)


def test_a_process_that_reads_no_queue_or_no_deployment_is_not_ready() -> None:
    silent = Stale(value=DEPTH.value, at=START, why=Why.TIMED_OUT, detail="no answer within 1 s")
    refused = Absent(why=Why.REFUSED, detail="deployments is forbidden")
    nothing = snapshot(pool_view("a", silent, refused), pool_view("b", silent, refused))
    assert readiness(nothing).causes == (
        "no queue can be read: no answer within 1 s",
        "no workload can be read: deployments is forbidden",
    )
    assert readiness(snapshot(pool_view("a", silent, refused), pool_view("b"))).ok


@tabled("why", [Why.CONSUMER_MISSING, Why.STREAM_MISSING])
def test_a_queue_that_does_not_exist_is_the_pools_own_fault(why: Why) -> None:
    assert readiness(snapshot(pool_view("a", Absent(why=why)))).ok


def test_a_process_whose_writes_fail_is_not_ready_and_says_why() -> None:
    finding = Finding(
        severity=Severity.CRITICAL, subject="kubernetes", kind=NO_WRITE, text="no", since=START
    )
    assert readiness(snapshot(findings=(finding,))).causes == ("kubernetes: no",)
    for other in ("link", OVERTAKEN):
        assert readiness(snapshot(findings=(replace(finding, kind=other),))).ok


def test_a_process_that_its_own_journal_or_freeze_file_stops_is_not_ready() -> None:
    frozen = ("journal: disk full", "freeze file /etc/agentdash/freeze: moving")
    found = snapshot(pool_view("research"), frozen_by=frozen)
    causes = ("journal_down: disk full", "frozen by freeze file /etc/agentdash/freeze: moving")
    assert readiness(found).causes == causes
    assert unable_to_decide(found) == "; ".join(causes)


def test_a_process_that_a_person_has_frozen_by_a_signal_is_ready_and_goes_on_leading() -> None:
    found = snapshot(pool_view("research"), frozen_by=("SIGUSR1: a signal",))
    assert readiness(found).ok
    assert unable_to_decide(found) == ""


def test_a_process_that_can_read_something_can_decide() -> None:
    blind = Absent(why=Why.DISCONNECTED, at=START)
    assert unable_to_decide(snapshot(pool_view("a", queue=blind))).startswith("no queue")
    assert unable_to_decide(snapshot(pool_view("a", workload=blind))).startswith("no workload")
    assert unable_to_decide(snapshot(pool_view("a", queue=blind), pool_view("b"))) == ""
    cpu = {"cpu": Fresh(value=Figure(value_milli=1), at=START)}
    measured = pool_view("a", queue=blind)
    measured = replace(measured, observation=replace(measured.observation, metrics=cpu))
    assert unable_to_decide(snapshot(measured)) == "", "it may still grow by its metrics"


@tabled(
    ("role", "lease", "note"),
    [
        (Role.LEADER, LEASE, "leader"),
        (Role.FOLLOWER, LEASE, "follower of pod-7/1_9f"),
        (Role.FOLLOWER, LeaseView(name="the lease"), "follower of no known process"),
        (Role.ACTIVE, None, "active"),
        (Role.READ_ONLY, None, "read_only"),
    ],
)
def test_each_role_is_ready_and_named(role: Role, lease: LeaseView | None, note: str) -> None:
    health = readiness(snapshot(role=role, lease=lease))
    assert (health.ok, health.causes, health.note) == (True, (), note)


def test_a_process_that_cannot_take_over_is_not_ready() -> None:
    problem = LeaseView(name="the lease", problem="forbidden; it needs a Role")
    health = readiness(snapshot(role=Role.FOLLOWER, lease=problem))
    assert (health.ok, health.causes) == (False, ("lease: forbidden; it needs a Role",))


def test_one_late_renewal_does_not_take_the_leader_out_of_service() -> None:
    late = LeaseView(name="the lease", holder="us", is_ours=True, problem="no answer in time")
    assert readiness(snapshot(role=Role.LEADER, lease=late)).ok
