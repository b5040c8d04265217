"""What pods use, by namespace (for quotas) and by node (for the scheduler), kept up to date."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from agentdash.demo.kubesim.quantities import requests_of
from agentdash.demo.kubesim.resources import PODS
from agentdash.demo.kubesim.store import Change, Key, Store, StoredObject

Amounts = dict[str, int]  # resource name -> thousandths
_TERMINAL = ("Succeeded", "Failed")
_POD_MILLI = 1000  # one pod, in thousandths


def is_terminal(pod: Mapping[str, Any]) -> bool:
    """Whether the pod has run to its end and uses nothing any more."""
    return pod.get("status", {}).get("phase") in _TERMINAL


def quota_amounts(spec: Mapping[str, Any]) -> Amounts:
    """What one pod counts for in a ResourceQuota: pods, requests.*, limits.*."""
    requests, limits = requests_of(spec), requests_of(spec, "limits")
    return {
        "pods": _POD_MILLI,
        "count/pods": _POD_MILLI,
        **requests,
        **{f"requests.{name}": amount for name, amount in requests.items()},
        **{f"limits.{name}": amount for name, amount in limits.items()},
    }


def node_amounts(spec: Mapping[str, Any]) -> Amounts:
    """What one pod uses of its node's allocatable resources."""
    return {"pods": _POD_MILLI, **requests_of(spec)}


class PodTotals:
    """Sums over all pods, updated with each change of a pod."""

    def __init__(self, store: Store) -> None:
        self.by_namespace: defaultdict[str, Amounts] = defaultdict(dict)
        self.by_node: defaultdict[str, Amounts] = defaultdict(dict)
        self.pods_on: defaultdict[str, set[Key]] = defaultdict(set)
        store.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        if change.new.resource is not PODS:
            return
        before, after = _place(change.old), _place(change.new)
        if change.type == "DELETED":
            after = None
        if before == after:
            return
        if change.old is not None and before is not None:
            self._add(change.old, before, -1)
        if after is not None:
            self._add(change.new, after, 1)

    def _add(self, pod: StoredObject, node: str, sign: int) -> None:
        spec = pod.object["spec"]
        # the namespace's sum does not depend on the node, but the same changes change both
        _sum(self.by_namespace[pod.key[0]], quota_amounts(spec), sign)
        if node:
            _sum(self.by_node[node], node_amounts(spec), sign)
            (self.pods_on[node].add if sign > 0 else self.pods_on[node].discard)(pod.key)


def _place(pod: StoredObject | None) -> str | None:
    """The node whose room a pod uses, "" for none yet; None where it uses nothing."""
    if pod is None or is_terminal(pod.object):
        return None
    return str(pod.object["spec"].get("nodeName", ""))


def _sum(total: Amounts, amounts: Amounts, sign: int) -> None:
    for name, amount in amounts.items():
        total[name] = total.get(name, 0) + sign * amount
