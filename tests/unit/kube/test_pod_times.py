"""A pod's way in times: each step when it was done, and since when the pod is in its phase."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controller.kube.pods import pod_record
from controller.kube.wire import unix_seconds
from controller.model.observation import Pod, PodPhase

CREATED = 1_772_452_800.0


def stamp(after_s: int) -> str:
    return f"2026-03-02T12:{after_s // 60:02d}:{after_s % 60:02d}Z"


def condition(kind: str, status: str, after_s: int) -> dict[str, Any]:
    return {"type": kind, "status": status, "lastTransitionTime": stamp(after_s)}


PHASES: dict[PodPhase, dict[str, Any]] = {
    PodPhase.UNSCHEDULED: {"spec": {}},
    PodPhase.STARTING: {"status": {"phase": "Pending"}},
    PodPhase.CRASHING: {
        "status": {
            "phase": "Running",
            "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 1}}}],
        }
    },
    PodPhase.FAILED: {"status": {"phase": "Failed"}},
    PodPhase.READY: {"status": {"phase": "Running"}},
    PodPhase.TERMINATING: {},
}


def times(
    phase: PodPhase, *conditions: dict[str, Any], states: tuple[Any, ...] = (), **meta: Any
) -> Pod:
    """The pod in this phase, as the API server writes it."""
    parts = PHASES[phase]
    status = {
        **parts.get("status", {}),
        "conditions": list(conditions),
        "containerStatuses": [{"name": "c", "state": each} for each in states],
    }
    found = {
        "metadata": {"name": "a", "creationTimestamp": stamp(0), **meta},
        "spec": parts.get("spec", {"nodeName": "n"}),
        "status": status,
    }
    record = pod_record(json.dumps(found).encode())
    assert record is not None
    assert isinstance(record.found, Pod)
    assert record.found.phase is phase
    return record.found


def since(phase: PodPhase, *conditions: dict[str, Any], **more: Any) -> float:
    found = times(phase, *conditions, **more).since
    assert found is not None
    return found - CREATED


SCHEDULED = condition("PodScheduled", "True", 2)


def test_each_step_has_its_time() -> None:
    found = times(
        PodPhase.READY,
        SCHEDULED,
        condition("Ready", "True", 19),
        states=({"running": {"startedAt": stamp(7)}}, {"running": {"startedAt": stamp(11)}}),
    )
    steps = (found.scheduled_at, found.started_at, found.ready_at, found.since)
    assert steps == (CREATED + 2, CREATED + 11, CREATED + 19, CREATED + 19)


def test_a_pod_has_not_started_while_one_of_its_containers_waits() -> None:
    running = {"running": {"startedAt": stamp(7)}}
    assert times(PodPhase.STARTING, states=(running, {"waiting": {}})).started_at is None
    assert times(PodPhase.STARTING).started_at is None


@pytest.mark.parametrize(
    ("phase", "conditions", "expected"),
    [
        (PodPhase.UNSCHEDULED, [condition("PodScheduled", "False", 3)], 3),
        (PodPhase.UNSCHEDULED, [], 0),
        (PodPhase.STARTING, [SCHEDULED], 2),
        (PodPhase.CRASHING, [SCHEDULED, condition("Ready", "False", 40)], 40),
        (PodPhase.FAILED, [SCHEDULED, condition("Ready", "False", 41)], 41),
    ],
)
def test_a_phase_begins_with_the_condition_that_makes_it(
    phase: PodPhase, conditions: list[dict[str, Any]], expected: float
) -> None:
    assert since(phase, *conditions) == expected


def test_a_pod_ends_since_it_was_deleted_and_not_when_its_grace_is_over() -> None:
    gone = {"deletionTimestamp": stamp(90), "deletionGracePeriodSeconds": 30}
    assert since(PodPhase.TERMINATING, SCHEDULED, **gone) == 60


def test_text_that_is_no_time_is_none() -> None:
    assert unix_seconds("<time>") is None
    assert unix_seconds(None) is None
    assert unix_seconds("1970-01-01T00:01:00.5Z") == 60.5
    assert unix_seconds("1970-01-01T00:01:00") == 60.0
