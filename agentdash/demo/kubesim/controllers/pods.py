"""Questions about a pod that several controllers ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentdash.demo.kubesim.usage import is_terminal

Pod = Mapping[str, Any]


def condition(item: Pod, kind: str) -> Mapping[str, Any] | None:
    """The condition of that type, if the object has it."""
    for found in item.get("status", {}).get("conditions") or ():
        if found["type"] == kind:
            return dict(found)
    return None


def is_ready(pod: Pod) -> bool:
    """Whether the Ready condition is True."""
    found = condition(pod, "Ready")
    return found is not None and found["status"] == "True"


def is_terminating(pod: Pod) -> bool:
    """Whether it is deleted but not gone yet."""
    return "deletionTimestamp" in pod["metadata"]


def is_active(pod: Pod) -> bool:
    """Whether a ReplicaSet counts it: neither finished nor being deleted."""
    return not is_terminal(pod) and not is_terminating(pod)


def restarts(pod: Pod) -> int:
    """The highest restart count of its containers."""
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return max((status.get("restartCount", 0) for status in statuses), default=0)
