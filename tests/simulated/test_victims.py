"""A ReplicaSet deletes pods in the order of the real controller."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from agentdash.demo.cluster.objects import PODS, stamp
from agentdash.demo.cluster.registry import StoredObject
from agentdash.demo.cluster.workloads import DELETION_COST, in_victim_order

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pod(
    name: str,
    *,
    node: str = "node",
    phase: str = "Running",
    ready_s: float | None = 1000.0,
    cost: str = "",
    restarts: int = 0,
    age_s: float = 2000.0,
) -> StoredObject:
    """A pod that became Ready `ready_s` seconds ago (None: it is not Ready)."""
    conditions: list[dict[str, Any]] = []
    if ready_s is not None:
        since = stamp(NOW - timedelta(seconds=ready_s))
        conditions.append({"type": "Ready", "status": "True", "lastTransitionTime": since})
    item = {
        "metadata": {
            "name": name,
            "namespace": "a",
            "uid": name,
            "creationTimestamp": stamp(NOW - timedelta(seconds=age_s)),
            "annotations": {DELETION_COST: cost} if cost else {},
        },
        "spec": {"nodeName": node} if node else {},
        "status": {
            "phase": phase,
            "conditions": conditions,
            "containerStatuses": [{"restartCount": restarts}],
        },
    }
    return StoredObject(PODS, item, 1)


def order(*pods: StoredObject) -> list[str]:
    """Names in victim order, whatever the order they came in."""
    shuffled = list(pods)
    random.Random(1).shuffle(shuffled)
    return [each.key[1] for each in in_victim_order(shuffled, NOW)]


def test_each_rule_comes_before_the_next() -> None:
    assert order(
        pod("unassigned", node="", phase="Pending", ready_s=None, cost="9"),
        pod("pending", phase="Pending", ready_s=None, cost="8"),
        pod("unknown", phase="Unknown", ready_s=None, cost="7"),
        pod("not-ready", ready_s=None, cost="6"),
        pod("cheap", cost="-5"),
        pod("free"),
        pod("dear", cost="5"),
    ) == ["unassigned", "pending", "unknown", "not-ready", "cheap", "free", "dear"]


def test_a_pod_with_more_neighbours_goes_first() -> None:
    names = order(pod("a1", node="a"), pod("a2", node="a"), pod("b", node="b", ready_s=1.0))
    assert names[-1] == "b"


def test_the_pod_that_became_ready_last_goes_first_by_powers_of_two() -> None:
    assert order(pod("old", ready_s=5000), pod("new", ready_s=10)) == ["new", "old"]
    # within one power of two the age does not count: the uid decides
    assert order(pod("b", ready_s=1000), pod("a", ready_s=1050)) == ["a", "b"]


def test_among_equals_restarts_decide_then_age() -> None:
    assert order(pod("calm"), pod("restless", restarts=3)) == ["restless", "calm"]
    assert order(pod("old", age_s=90_000), pod("new", age_s=10)) == ["new", "old"]


def test_a_cost_that_is_no_number_counts_as_none() -> None:
    assert order(pod("a", cost="many"), pod("b", cost="-1")) == ["b", "a"]
