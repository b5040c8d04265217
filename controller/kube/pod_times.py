"""When a pod passed each step of its way, and when its phase began."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from controller.kube import wire
from controller.model.observation import PodPhase
from controller.model.value import Value


class PodTimes(Value):
    """In Unix seconds; None for a step that is not done, or of which no time is known.

    - `scheduled_at`: it was given to a node. `started_at`: the last of its containers began to run,
      with its images there. `ready_at`: it became ready.
    - `since`: its phase began.
    """

    scheduled_at: float | None
    started_at: float | None
    ready_at: float | None
    since: float | None


def unix_seconds(time: str | None) -> float | None:
    """An RFC 3339 time in Unix seconds; None if there is none or it cannot be read."""
    if not time:
        return None
    try:
        parsed = datetime.fromisoformat(time)
    except ValueError:
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def pod_times(
    meta: wire.WireMetadata,
    phase: PodPhase,
    conditions: Mapping[str, wire.WireCondition],
    containers: Sequence[wire.WireContainerStatus],
) -> PodTimes:
    """The times of a pod in this phase; `containers` are without the init containers."""
    scheduled = _since(conditions.get("PodScheduled"), "True")
    started, ready = _started_at(containers), _since(conditions.get("Ready"), "True")
    unready = _since(conditions.get("Ready"), "False")
    began = {
        PodPhase.UNSCHEDULED: _since(conditions.get("PodScheduled"), "False"),
        PodPhase.STARTING: scheduled,
        PodPhase.RUNNING: started,
        PodPhase.READY: ready,
        PodPhase.CRASHING: unready,
        PodPhase.FAILED: unready,
        PodPhase.TERMINATING: _deletion_began(meta),
    }
    return PodTimes(
        scheduled_at=scheduled,
        started_at=started,
        ready_at=ready,
        since=began[phase] or unix_seconds(meta.creation_timestamp),
    )


def _since(condition: wire.WireCondition | None, status: str) -> float | None:
    if condition is None or condition.status != status:
        return None
    return unix_seconds(condition.last_transition_time)


def _started_at(containers: Sequence[wire.WireContainerStatus]) -> float | None:
    """None while one of them does not run."""
    began = [
        unix_seconds(each.state.running.started_at) if each.state and each.state.running else None
        for each in containers
    ]
    known = [at for at in began if at is not None]
    return max(known) if known and len(known) == len(began) else None


def _deletion_began(meta: wire.WireMetadata) -> float | None:
    """The timestamp is when the grace period ends (metav1.ObjectMeta)."""
    ends = unix_seconds(meta.deletion_timestamp)
    return None if ends is None else ends - (meta.deletion_grace_period_seconds or 0)
