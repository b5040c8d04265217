"""Readiness of a process that takes part in an election."""

from __future__ import annotations

import pytest

from controller.expose.server import readiness
from controller.model.settings import LeaseView
from controller.model.snapshot import LoopStats, Role, Snapshot

LEASE = LeaseView(name="Lease default/agentdash", holder="pod-7/1_9f")


def snapshot(role: Role, lease: LeaseView | None) -> Snapshot:
    return Snapshot(
        epoch=1.0,
        sequence=1,
        at=2.0,
        interval_s=1.0,
        fleet="fleet.yaml",
        context="test",
        role=role,
        lease=lease,
        loop=LoopStats(ticks=1),
    )


@pytest.mark.parametrize(
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
    health = readiness(snapshot(role, lease))
    assert (health.ok, health.causes, health.note) == (True, (), note)


def test_a_process_that_cannot_take_over_is_not_ready() -> None:
    problem = LeaseView(name="the lease", problem="forbidden; it needs a Role")
    health = readiness(snapshot(Role.FOLLOWER, problem))
    assert (health.ok, health.causes) == (False, ("lease: forbidden; it needs a Role",))


def test_one_late_renewal_does_not_take_the_leader_out_of_service() -> None:
    late = LeaseView(name="the lease", holder="us", is_ours=True, problem="no answer in time")
    assert readiness(snapshot(Role.LEADER, late)).ok
