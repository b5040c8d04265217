"""The series that an operator's alerts stand on."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from controller.expose.metrics import SnapshotCollector
from controller.model.decision import Decision, Gate
from controller.model.observation import PoolObservation
from controller.model.snapshot import Finding, PoolView, Role, Severity, Snapshot
from support.world import START, make_pool

POOL = make_pool("research")


def scraped(
    gate: Gate | None = None, findings: Sequence[Finding] = (), role: Role = Role.ACTIVE
) -> list[str]:
    """The lines that a scrape of a fleet of one pool answers."""
    view = PoolView(
        key=POOL.key,
        tenant=POOL.tenant,
        tier="growth",
        namespace=POOL.namespace,
        deployment=POOL.deployment,
        stream=POOL.stream,
        consumer=POOL.consumer,
        slots=POOL.slots,
        target_per_replica=POOL.target,
        min=POOL.min,
        max=POOL.max,
        observation=PoolObservation(),
        decision=Decision(
            pool=POOL.key, current=2, demand=5, recommendation=5, target=5, next=2, gate=gate
        ),
    )
    snapshot = Snapshot(
        epoch=START,
        sequence=1,
        at=START,
        interval_s=1.0,
        fleet="fleet.yaml",
        context="test",
        role=role,
        pools=(view,),
        findings=tuple(findings),
    )
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(lambda: snapshot, dict))
    return generate_latest(registry).decode().splitlines()


@pytest.mark.parametrize("gate", Gate)
def test_the_gate_that_holds_a_pool_is_a_series_of_its_own(gate: Gate) -> None:
    series = f'agentdash_pool_gate{{gate="{gate}",pool="research",tenant="acme"}} 1.0'
    assert series in scraped(gate)


def test_a_pool_that_nothing_holds_has_no_series_of_a_gate() -> None:
    assert not [line for line in scraped(None) if line.startswith("agentdash_pool_gate{")]


def test_every_finding_is_a_series_as_long_as_it_is_there() -> None:
    finding = Finding(
        severity=Severity.WARNING,
        subject=POOL.key,
        kind="contested",
        text="somebody else keeps setting it back",
        since=START,
    )
    series = 'agentdash_finding{kind="contested",severity="warning",subject="acme/research"} 1.0'
    assert scraped(findings=[finding, finding]).count(series) == 1
    assert not [line for line in scraped() if line.startswith("agentdash_finding{")]


@pytest.mark.parametrize("role", [Role.ACTIVE, Role.READ_ONLY])
def test_without_a_lease_there_is_no_metric_of_a_leader(role: Role) -> None:
    assert not [line for line in scraped(role=role) if "agentdash_leader" in line]


@pytest.mark.parametrize(("role", "value"), [(Role.LEADER, "1.0"), (Role.FOLLOWER, "0.0")])
def test_with_a_lease_the_metric_says_which_process_holds_it(role: Role, value: str) -> None:
    assert f"agentdash_leader {value}" in scraped(role=role)
