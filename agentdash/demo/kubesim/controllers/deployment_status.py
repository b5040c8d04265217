"""A Deployment's status from its ReplicaSets (kubernetes pkg/controller/deployment/progress.go)."""

from __future__ import annotations

from collections.abc import Sequence

from agentdash.demo.kubesim.clock import stamp
from agentdash.demo.kubesim.controllers.pods import condition
from agentdash.demo.kubesim.controllers.rollout import resolve
from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.store import StoredObject

_COMPLETE = "NewReplicaSetAvailable"


def total(sets: Sequence[StoredObject], name: str) -> int:
    """The sum of one count over the sets' statuses."""
    return sum(int(found.object["status"].get(name, 0)) for found in sets)


def status_of(
    deployment: Object, new: StoredObject, sets: Sequence[StoredObject], *, overdue: bool
) -> Object:
    """Counts and conditions; counts of zero are left out, as Go does.

    `overdue` says that the progress deadline passed without progress.
    """
    available = total(sets, "availableReplicas")
    wanted = sum(found.object["spec"]["replicas"] for found in sets)
    counts = {
        "replicas": total(sets, "replicas"),
        "updatedReplicas": total([new], "replicas"),
        "readyReplicas": total(sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, wanted - available),
    }
    status: Object = {"observedGeneration": deployment["metadata"]["generation"]}
    status |= {name: count for name, count in counts.items() if count}
    if collisions := deployment["status"].get("collisionCount"):
        status["collisionCount"] = collisions
    status["terminatingReplicas"] = total(sets, "terminatingReplicas")
    conditions = list(deployment["status"].get("conditions") or ())
    conditions = _with_available(conditions, deployment, available)
    conditions = _with_progress(conditions, deployment, status, new, overdue=overdue)
    status["conditions"] = _with_failure(conditions, new, sets)
    return status


def is_complete(deployment: Object) -> bool:
    """Whether its last rollout is over."""
    known = condition(deployment, "Progressing")
    return known is not None and known["reason"] == _COMPLETE


def created(deployment: Object, name: str) -> Object:
    """The status immediately after a new ReplicaSet was created."""
    conditions = list(deployment["status"].get("conditions") or ())
    words = f'Created new replica set "{name}"'
    conditions = _set(conditions, "Progressing", "True", "NewReplicaSetCreated", words)
    return {**deployment["status"], "conditions": conditions}


def _set(conditions: list[Object], kind: str, value: str, reason: str, words: str) -> list[Object]:
    """The conditions with one of them set, unless its status and reason are the same already."""
    known = next((found for found in conditions if found["type"] == kind), None)
    if known and known["status"] == value and known["reason"] == reason:
        return conditions
    now = stamp()
    moved = known["lastTransitionTime"] if known and known["status"] == value else now
    fresh = {
        "type": kind,
        "status": value,
        "lastUpdateTime": now,
        "lastTransitionTime": moved,
        "reason": reason,
        "message": words,
    }
    return [*(found for found in conditions if found["type"] != kind), fresh]


def _with_available(conditions: list[Object], item: Object, available: int) -> list[Object]:
    _, unavailable = resolve(item)
    if available >= item["spec"]["replicas"] - unavailable:
        words = "Deployment has minimum availability."
        return _set(conditions, "Available", "True", "MinimumReplicasAvailable", words)
    words = "Deployment does not have minimum availability."
    return _set(conditions, "Available", "False", "MinimumReplicasUnavailable", words)


def _with_progress(
    conditions: list[Object], item: Object, status: Object, new: StoredObject, *, overdue: bool
) -> list[Object]:
    before, wanted = item["status"], item["spec"]["replicas"]
    replicas, updated = status.get("replicas", 0), status.get("updatedReplicas", 0)
    if is_complete(item) and replicas == updated:
        return conditions  # the rollout is over, and scaling does not start another one
    name = new.key[1]
    if replicas == updated == status.get("availableReplicas", 0) == wanted:
        words = f'ReplicaSet "{name}" has successfully progressed.'
        return _set(conditions, "Progressing", "True", _COMPLETE, words)
    grown = any(
        status.get(count, 0) > before.get(count, 0)
        for count in ("updatedReplicas", "readyReplicas", "availableReplicas")
    )
    fewer_old = replicas - updated < before.get("replicas", 0) - before.get("updatedReplicas", 0)
    if grown or fewer_old:
        # removed first, so that the time of the last progress is written anew
        others = [found for found in conditions if found["type"] != "Progressing"]
        words = f'ReplicaSet "{name}" is progressing.'
        return _set(others, "Progressing", "True", "ReplicaSetUpdated", words)
    if overdue:
        words = f'ReplicaSet "{name}" has timed out progressing.'
        return _set(conditions, "Progressing", "False", "ProgressDeadlineExceeded", words)
    return conditions


def _with_failure(
    conditions: list[Object], new: StoredObject, sets: Sequence[StoredObject]
) -> list[Object]:
    for found in (new, *sets):
        failure = condition(found.object, "ReplicaFailure")
        if failure is not None:
            return _set(conditions, "ReplicaFailure", "True", failure["reason"], failure["message"])
    return [found for found in conditions if found["type"] != "ReplicaFailure"]
