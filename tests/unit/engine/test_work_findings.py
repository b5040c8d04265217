"""Work that stands still is a finding, and one cause is one finding."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from controller.engine.actuate import Recorder
from controller.engine.show.findings import by_cause
from controller.engine.show.lasting import WorkFindings
from controller.engine.show.snapshot import SnapshotBuilder
from controller.model.decision import Bound, Code, Decision, Gate, Reason
from controller.model.fleet import Fleet, Tenant, Tier
from controller.model.observation import TenantObservation, TokenUsage
from controller.model.readings import Fresh
from controller.model.scarcity import Budget
from controller.model.snapshot import Link, LinkState, Role, Severity
from support.world import START, make_pool

TIER = Tier(name="growth", priority=500)
POOL, OTHER = make_pool("research"), make_pool("browser")


def fleet(budget: Budget = Budget()) -> Fleet:  # noqa: B008 - a frozen value
    tenant = Tenant(name=POOL.tenant, tier=TIER, namespace="n", budget=budget)
    return Fleet(tenants=(tenant,), pools=(POOL, OTHER))


def capped(bound: Bound, *, demand: int = 17, target: int = 0, service_s: float = 19.0) -> Decision:
    reason = Reason(code=Code.LEARNED_NEED, value=demand, numbers={"service_s": service_s})
    return Decision(
        pool=POOL.key,
        current=0,
        demand=demand,
        recommendation=demand,
        target=target,
        next=target,
        bound=bound,
        reasons=(reason,),
    )


def used(tokens: int, reserved: int = 0) -> dict[str, TenantObservation]:
    usage = TokenUsage(used=Decimal(tokens), reserved=Decimal(reserved))
    return {POOL.tenant: TenantObservation(usage=Fresh(value=usage, at=START))}


def draining(following: int) -> Decision:
    return Decision(
        pool=POOL.key,
        current=4,
        demand=1,
        recommendation=1,
        target=1,
        next=following,
        bound=Bound.DEMAND,
        gate=Gate.BUSY,
    )


def test_replicas_that_finish_their_work_are_a_finding_only_after_the_longest_session() -> None:
    work, longest_s = WorkFindings(fleet()), POOL.session.duration_s
    work.decided([draining(4)], START)
    work.decided([draining(3)], START + 60)  # one has gone: it counts from here again
    work.decided([draining(3)], START + longest_s)
    assert list(work.found({}, {}, START + 60 + longest_s)) == []
    ((severity, subject, kind, text),) = work.found({}, {}, START + 61 + longest_s)
    assert (severity, subject, kind) == (Severity.WARNING, POOL.key, "unfinished")
    assert "busy for longer than a session may take (4 h)" in text
    work.decided([replace(draining(1), gate=None)], START + 62 + longest_s)
    assert list(work.found({}, {}, START + 63 + longest_s)) == []


def test_a_pool_is_named_once_its_ceiling_holds_it_for_longer_than_a_task_takes() -> None:
    work = WorkFindings(fleet())
    work.decided([capped(Bound.MAX, target=5)], START)
    assert list(work.found({}, {}, START + 19)) == []
    work.decided([capped(Bound.MAX, target=5)], START + 19)
    ((severity, subject, kind, text),) = work.found({}, {}, START + 20)
    assert (severity, subject, kind) == (Severity.WARNING, POOL.key, "held by max")
    assert text == (
        "held by max at 5 of 17 wanted replicas for longer than a task takes (19 s); "
        "raise replicas.max, or let the work wait"
    )


@pytest.mark.parametrize("code", [Code.FROZEN, Code.OTHER_AUTOSCALER, Code.CONTESTED])
def test_a_pool_that_would_stay_without_its_ceiling_is_not_held_by_it(code: Code) -> None:
    work, at_max = WorkFindings(fleet()), capped(Bound.MAX, target=5)
    held = Reason(code=code, value=5)
    work.decided([replace(at_max, next=5, reasons=(*at_max.reasons, held))], START)
    assert list(work.found({}, {}, START + 1000)) == []


def test_it_is_forgotten_once_the_pool_has_what_its_work_asks_for() -> None:
    work = WorkFindings(fleet())
    work.decided([capped(Bound.MAX)], START)
    work.decided([capped(Bound.DEMAND, target=17)], START + 30)
    work.decided([capped(Bound.MAX)], START + 31)
    assert list(work.found({}, {}, START + 40)) == []


@pytest.mark.parametrize("bound", [Bound.PAUSE, Bound.DEMAND, Bound.MIN])
def test_a_pause_and_what_is_no_ceiling_are_nothing_to_speak_of(bound: Bound) -> None:
    work = WorkFindings(fleet())
    work.decided([capped(bound)], START)
    assert list(work.found({}, {}, START + 1000)) == []


def test_pools_that_one_ceiling_holds_are_one_finding() -> None:
    work = WorkFindings(fleet())
    both = [capped(Bound.QUOTA, target=1), replace(capped(Bound.QUOTA), pool=OTHER.key)]
    work.decided(both, START)
    ((_, subject, _, text),) = work.found({}, {}, START + 20)
    assert subject == POOL.tenant
    assert "at 1 of 34 wanted" in text
    assert "acme/research, acme/browser" in text


def test_a_budget_is_told_from_its_warning_on_and_with_the_pools_that_it_stops() -> None:
    work = WorkFindings(fleet(Budget(tokens_per_day=1000)))
    work.decided([capped(Bound.BUDGET)], START)
    assert list(work.found(used(790), {}, START + 1)) == []
    ((severity, subject, kind, text),) = work.found(used(790, reserved=10), {}, START + 1)
    assert (severity, subject, kind) == (Severity.WARNING, POOL.tenant, "budget")
    assert "80 % of the day's 1,000 tokens are used or reserved; at 100 % its pools stop" in text
    ((severity, _, kind, text),) = work.found(used(1000), {}, START + 20)
    assert (severity, kind) == (Severity.CRITICAL, "budget")
    assert "the day's 1,000 tokens are spent: its pools stop until" in text
    assert text.endswith("it holds acme/research")


def test_a_soft_budget_that_is_spent_stops_nothing() -> None:
    work = WorkFindings(fleet(Budget(tokens_per_day=1000, hard=False)))
    ((severity, _, _, text),) = work.found(used(1200), {}, START)
    assert severity is Severity.WARNING
    assert "its pools go on" in text


def link(name: str, state: LinkState) -> Link:
    return Link(name=name, state=state, since=START)


def test_what_follows_from_a_lost_connection_is_left_to_its_own_finding() -> None:
    found = [
        (Severity.WARNING, f"acme/p{number}", kind, f"{kind} unknown (disconnected)")
        for number in range(120)
        for kind in ("queue", "deployment", "orders")
    ]
    links = [link(name, LinkState.DISCONNECTED) for name in ("nats", "kubernetes")]
    assert list(by_cause(found, links)) == []
    assert len(list(by_cause(found, [links[0]]))) == 1


def test_a_notice_that_follows_from_a_lost_connection_is_left_to_its_own_finding() -> None:
    builder = SnapshotBuilder(
        fleet=fleet(), name="fleet.yaml", context="test", interval_s=1.0, epoch=START
    )
    notices = [(Severity.WARNING, f"acme/p{number}", "orders", "untold") for number in range(120)]
    lost = builder.snapshot(
        links=[link("nats", LinkState.DISCONNECTED)],
        recorder=Recorder(writes=False),
        notices=notices,
        failures=(),
        now=START,
        role=Role.ACTIVE,
    )
    assert {each.kind for each in lost.findings} == {"link", "deployment acme/browser"}


def test_the_same_of_several_pools_is_one_finding_about_the_connection() -> None:
    found = [
        (Severity.WARNING, f"acme/p{number}", "queue", "queue unknown (timed out): 2 s")
        for number in range(5)
    ]
    other = (Severity.WARNING, "acme/x", "queue", "queue unknown (consumer missing): no x")
    one, alone = by_cause([*found, other], [link("nats", LinkState.CONNECTED)])
    assert one[1] == "nats"
    assert one[3] == (
        "5 pools, acme/p0, acme/p1, acme/p2 and 2 more: queue unknown (timed out): 2 s"
    )
    assert alone == other
