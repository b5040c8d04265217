"""A Deployment that is paused or rolls out: what is found about its pool, and how it stands."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from controller.engine.show.findings import pool_findings
from controller.model.decision import Condition, Decision
from controller.model.observation import Pods, PoolObservation, QueueDepth, Workload
from controller.model.readings import Fresh
from controller.model.snapshot import PoolView, Severity, condition_of
from support.world import START, a_view, make_pool

POOL = make_pool("research", minimum=1)
SETTLED = Workload(replicas=4, current=4, updated=4, ready=4, available=4)


def view(workload: Workload) -> PoolView:
    """A pool that needs exactly what it has."""
    return a_view(
        POOL,
        observation=PoolObservation(
            queue=Fresh(value=QueueDepth(pending=4, in_flight=0), at=START),
            workload=Fresh(value=workload, at=START),
            pods=Fresh(value=Pods(ready=workload.ready), at=START),
        ),
        decision=Decision(pool=POOL.key, current=4, demand=4, recommendation=4, target=4, next=4),
    )


def found(workload: Workload) -> list[tuple[Severity, str, str]]:
    return [(severity, kind, text) for severity, _, kind, text in pool_findings(view(workload))]


def test_a_paused_deployment_is_named_with_how_to_go_on() -> None:
    [(severity, kind, text)] = found(replace(SETTLED, paused=True))
    assert (severity, kind) == (Severity.INFO, "rollout")
    assert text.startswith("its Deployment is paused (spec.paused): it is still scaled, but a new")
    resume = f"kubectl -n {POOL.namespace} rollout resume deployment/{POOL.deployment}"
    assert f"; {resume} ends that" in text


def test_a_rollout_that_was_paused_half_way_is_a_warning() -> None:
    [(severity, kind, text)] = found(replace(SETTLED, paused=True, current=5, updated=2))
    assert (severity, kind) == (Severity.WARNING, "rollout")
    assert "2 of 5 pods are of its newest template" in text


def test_a_rollout_that_goes_on_is_no_finding() -> None:
    assert found(replace(SETTLED, current=5, updated=2, ready=5)) == []


@pytest.mark.parametrize("ready", [3, 4, 5])
def test_a_rollout_does_not_read_as_a_change_of_the_size(ready: int) -> None:
    rolling = replace(SETTLED, current=5, updated=2, ready=ready)
    assert condition_of(view(rolling)) is Condition.OK


@pytest.mark.parametrize(("ready", "condition"), [(3, Condition.UP), (5, Condition.DOWN)])
def test_without_a_rollout_replicas_that_come_and_go_do(ready: int, condition: Condition) -> None:
    assert condition_of(view(replace(SETTLED, ready=ready))) is condition
