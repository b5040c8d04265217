"""What the cluster allows reaches every tick, and what is missing is told once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from controller.engine.show.findings import findings
from controller.model.decision import Bound, Outcome, OutcomeKind
from controller.model.observation import ClusterRoom, TenantObservation
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.scarcity import Resources
from controller.model.snapshot import Finding, Severity
from support.table import tabled
from support.world import START, make_pool, settle
from unit.engine.conftest import Harness

RESEARCH = make_pool("research", minimum=1, maximum=10)
SLEEPER = make_pool("browser", maximum=6)
FOREIGN = make_pool("digest", tenant="globex", minimum=1, maximum=10)


def room(replicas: int) -> Reading[ClusterRoom]:
    return Fresh(value=ClusterRoom(resources=Resources(replicas=replicas)), at=START)


async def test_a_quota_of_the_namespace_is_the_tenants_ceiling_and_nobody_elses() -> None:
    world = Harness(RESEARCH, FOREIGN, replicas=1)
    world.cluster.quotas[RESEARCH.namespace] = Fresh(value=Resources(replicas=4), at=START)
    world.queue(RESEARCH, pending=9)
    world.queue(FOREIGN, pending=9)
    async with world.running():
        await world.clock.advance(1.0)
        assert set(world.cluster.writes) == {(RESEARCH.key, 4, False), (FOREIGN.key, 9, False)}
        events = (await world.snapshot()).events
        assert {event.pool: event.bound for event in events}[RESEARCH.key] == Bound.QUOTA


async def test_the_room_of_the_nodes_is_shared_in_an_early_tick_too() -> None:
    world = Harness(RESEARCH, SLEEPER)
    world.cluster.replicas[RESEARCH.key] = 5
    world.cluster.nodes = room(6)
    world.queue(RESEARCH, pending=5)
    async with world.running():
        await world.clock.advance(1.5)
        world.queue(SLEEPER, pending=6)
        world.wakes.wake(SLEEPER.key)
        await settle()
        assert world.cluster.writes[0] == (SLEEPER.key, 1, True)
        assert world.cluster.replicas[SLEEPER.key] == 1, "five of the six places are taken"


async def test_where_there_is_room_for_all_a_wake_is_decided_alone() -> None:
    world = Harness(RESEARCH, SLEEPER)
    world.cluster.replicas[RESEARCH.key] = 1
    world.cluster.nodes = room(100)
    async with world.running():
        await world.clock.advance(1.5)
        world.queue(RESEARCH, pending=8)
        await world.engine._observer.ask([RESEARCH])
        world.wakes.wake(SLEEPER.key)
        await settle()
        assert [key for key, _, _ in world.cluster.writes] == [SLEEPER.key]


async def test_the_room_of_a_pool_that_is_being_written_is_given_to_nobody_else() -> None:
    world = Harness(RESEARCH, SLEEPER)
    world.cluster.replicas[RESEARCH.key] = 1
    world.cluster.nodes = room(10)
    async with world.running():
        await world.clock.advance(1.5)
        world.cluster.gate = asyncio.Event()
        world.queue(RESEARCH, pending=8)
        await world.clock.advance(1.0)
        assert world.cluster.writes == [(RESEARCH.key, 8, False)]
        world.queue(SLEEPER, pending=6)
        await world.clock.advance(1.0)
        assert world.cluster.writes[1:] == [(SLEEPER.key, 2, True)]
        world.cluster.gate.set()
        await world.clock.advance(3.0)
        assert sum(world.cluster.replicas.values()) == 10


async def test_a_write_that_follows_at_once_on_another_is_under_way_too() -> None:
    world = Harness(SLEEPER)
    async with world.running():
        await world.clock.advance(1.5)
        first, second = asyncio.Event(), asyncio.Event()
        world.cluster.gate = first
        world.wakes.wake(SLEEPER.key)
        await settle()
        world.cluster.answers[SLEEPER.key] = [Outcome(kind=OutcomeKind.CONFLICT, status=409)]
        world.wakes.wake(SLEEPER.key)
        world.cluster.gate = second
        first.set()
        await settle()
        world.wakes.wake(SLEEPER.key)
        await settle()
        assert len(world.cluster.writes) == 2, "one after the other, never two at once"
        second.set()


@pytest.mark.parametrize("why", [Why.REFUSED, Why.VIEW_INCOMPLETE])
async def test_a_cluster_that_may_not_be_read_sets_no_limit_and_a_finding_says_so(why: Why) -> None:
    world = Harness(RESEARCH, replicas=1)
    world.cluster.nodes = Absent(why=why, detail="nodes is forbidden")
    world.cluster.quotas[RESEARCH.namespace] = Absent(why=why, detail="quotas is forbidden")
    world.queue(RESEARCH, pending=9)
    async with world.running():
        await world.clock.advance(1.0)
        assert world.cluster.replicas[RESEARCH.key] == 9
        found = {finding.kind: finding for finding in (await world.snapshot()).findings}
    assert set(found) == {"nodes", "quotas"}
    assert found["nodes"].text.endswith("set no limit: nodes is forbidden")
    assert "quotas of acme cannot be read" in found["quotas"].text
    expected = Severity.INFO if why is Why.REFUSED else Severity.WARNING
    assert {finding.severity for finding in found.values()} == {expected}


async def test_a_room_that_is_lost_still_limits() -> None:
    world = Harness(RESEARCH, replicas=1)
    world.cluster.nodes = Stale(
        value=ClusterRoom(resources=Resources(replicas=3)), at=START, why=Why.REFUSED
    )
    world.queue(RESEARCH, pending=9)
    async with world.running():
        await world.clock.advance(1.0)
        assert world.cluster.replicas[RESEARCH.key] == 3
        [found] = (await world.snapshot()).findings
    assert (found.kind, found.severity) == ("nodes", Severity.WARNING)
    assert "what was known last still limits" in found.text


def told(
    quotas: Mapping[str, Reading[Resources]], capacity: Reading[ClusterRoom] | None = None
) -> list[Finding]:
    tenants = {name: TenantObservation(quota=quota) for name, quota in quotas.items()}
    seen = Fresh(value=ClusterRoom(), at=START) if capacity is None else capacity
    return list(findings((), tenants, seen, notices=(), since=lambda *_: START))


def test_tenants_that_lack_the_same_right_share_a_finding() -> None:
    refused = Absent(why=Why.REFUSED, detail="forbidden")
    quotas: dict[str, Reading[Resources]] = {f"t{number}": refused for number in range(5)}
    quotas["fine"] = Fresh(value=Resources(), at=START)
    quotas["odd"] = Stale(value=Resources(), at=START, why=Why.UNREADABLE, detail="quota x")
    stale, absent = told(quotas)
    assert (stale.kind, absent.kind) == ("quotas stale", "quotas")
    assert absent.text.startswith("quotas of t0, t1, t2 and 2 more cannot be read (refused)")
    assert "quotas of odd stale (unreadable)" in stale.text


@tabled("why", [Why.DISCONNECTED, Why.TIMED_OUT, Why.NEVER_READ])
def test_an_outage_is_told_by_its_link_alone(why: Why) -> None:
    assert told({"acme": Absent(why=why)}, Stale(value=ClusterRoom(), at=START, why=why)) == []
