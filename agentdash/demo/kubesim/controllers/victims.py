"""The order in which a ReplicaSet deletes pods (pkg/controller ActivePodsWithRanks.Less)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from agentdash.demo.kubesim.clock import parse_stamp
from agentdash.demo.kubesim.controllers.pods import condition, is_ready, restarts
from agentdash.demo.kubesim.store import StoredObject

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}
SortKey = tuple[Any, ...]


def in_victim_order(
    pods: Iterable[StoredObject], now: datetime | None = None
) -> list[StoredObject]:
    """The pods in the order in which they would be deleted."""
    candidates = list(pods)
    moment = now or datetime.now(UTC)
    neighbours = Counter(pod.object["spec"].get("nodeName", "") for pod in candidates)
    return sorted(candidates, key=lambda pod: _key(pod, neighbours, moment))


def _key(pod: StoredObject, neighbours: Mapping[str, int], now: datetime) -> SortKey:
    item = pod.object
    node = item["spec"].get("nodeName", "")
    ready = is_ready(item)
    since = (condition(item, "Ready") or {}).get("lastTransitionTime") if ready else None
    return (
        bool(node),
        _PHASES.get(item.get("status", {}).get("phase", "Unknown"), 1),
        ready,
        deletion_cost(item),
        -neighbours[node],
        _age_class(since, now),
        -restarts(item),
        _age_class(item["metadata"].get("creationTimestamp"), now),
        pod.uid,
    )


def deletion_cost(pod: Mapping[str, Any]) -> int:
    """The pod's deletion cost; 0 where the annotation is absent or not an int32."""
    text = (pod["metadata"].get("annotations") or {}).get(DELETION_COST, "0")
    try:
        cost = int(text)
    except ValueError:
        return 0
    return cost if -(2**31) <= cost < 2**31 else 0


def _age_class(text: str | None, now: datetime) -> int:
    """The age on a logarithmic scale (LogarithmicScaleDown): younger classes are deleted first."""
    if text is None:
        return -1
    nanoseconds = (now - parse_stamp(text)).total_seconds() * 1e9
    return int(math.log2(nanoseconds)) if nanoseconds >= 1 else -1
