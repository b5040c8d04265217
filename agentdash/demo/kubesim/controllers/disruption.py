"""PodDisruptionBudgets: how many healthy pods may be evicted, and the eviction itself."""

from __future__ import annotations

import math

from agentdash.demo.kubesim.clock import stamp
from agentdash.demo.kubesim.controllers.pods import is_ready, is_terminating
from agentdash.demo.kubesim.controllers.workqueue import WorkQueue
from agentdash.demo.kubesim.errors import Cause, StatusError
from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.registry import DeleteOptions, Registry
from agentdash.demo.kubesim.resources import DISRUPTION_BUDGETS, PODS
from agentdash.demo.kubesim.selectors import from_spec, matches
from agentdash.demo.kubesim.store import Change, Key, StoredObject
from agentdash.demo.kubesim.usage import is_terminal

_BLOCKED = "Cannot evict pod as it would violate the pod's disruption budget."


class DisruptionController:
    """The disruption controller."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.queue: WorkQueue[Key] = WorkQueue(self.sync)
        registry.store.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        if change.new.resource is DISRUPTION_BUDGETS and change.type != "DELETED":
            self.queue.add(change.new.key)
        elif change.new.resource is PODS:
            for budget in self._registry.store.each(DISRUPTION_BUDGETS, change.new.key[0]):
                self.queue.add(budget.key)

    def sync(self, key: Key) -> None:
        """Write a budget's status from the pods it selects."""
        budget = self._registry.store.get(DISRUPTION_BUDGETS, *key)
        if budget is None:
            return
        selector = from_spec((budget.object["spec"] or {}).get("selector"))
        pods = [
            pod.object
            for pod in self._registry.store.each(PODS, key[0])
            if matches(selector, pod.object) and not is_terminal(pod.object)
        ]
        healthy = sum(is_ready(pod) and not is_terminating(pod) for pod in pods)
        desired = _desired(budget.object["spec"], len(pods))
        allowed = max(0, healthy - desired) if pods else 0
        status = {
            "observedGeneration": budget.object["metadata"]["generation"],
            "disruptionsAllowed": allowed,
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "expectedPods": len(pods),
            "conditions": [_condition(budget.object, allowed)],
        }
        self._registry.set_status(budget, status)


def _desired(spec: Object, expected: int) -> int:
    if spec.get("minAvailable") is not None:
        return _part(spec["minAvailable"], expected)
    if spec.get("maxUnavailable") is not None:
        return max(0, expected - _part(spec["maxUnavailable"], expected))
    return max(0, expected - 1)


def _part(value: int | str, whole: int) -> int:
    return value if isinstance(value, int) else math.ceil(whole * int(value.rstrip("%")) / 100)


def _condition(budget: Object, allowed: int) -> Object:
    value, reason = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    for known in budget["status"].get("conditions") or ():
        if known["status"] == value:
            return dict(known)
    return {
        "type": "DisruptionAllowed",
        "status": value,
        "observedGeneration": budget["metadata"]["generation"],
        "lastTransitionTime": stamp(),
        "reason": reason,
        "message": "",
    }


def evict(registry: Registry, pod: StoredObject, deletion: DeleteOptions) -> None:
    """Delete a pod if the budget that selects it allows it; raises StatusError 429 or 500."""
    budgets = [
        budget
        for budget in registry.store.each(DISRUPTION_BUDGETS, pod.key[0])
        if matches(from_spec((budget.object["spec"] or {}).get("selector")), pod.object)
    ]
    if len(budgets) > 1:
        words = "This pod has more than one PodDisruptionBudget, which the eviction subresource "
        raise StatusError(500, "InternalError", words + "does not support.")
    if budgets and is_ready(pod.object) and not is_terminating(pod.object):
        status = budgets[0].object["status"]
        if status["disruptionsAllowed"] < 1:
            words = (
                f"The disruption budget {budgets[0].key[1]} needs {status['desiredHealthy']} "
                f"healthy pods and has {status['currentHealthy']} currently"
            )
            causes = [Cause("DisruptionBudget", words).as_json()]
            raise StatusError(429, "TooManyRequests", _BLOCKED, {"causes": causes})
        if not deletion.dry_run:
            taken = status | {"disruptionsAllowed": status["disruptionsAllowed"] - 1}
            registry.set_status(budgets[0], taken)
    if not deletion.dry_run:
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": stamp(),
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        }
        conditions = [*(pod.object["status"].get("conditions") or ()), target]
        registry.set_status(pod, pod.object["status"] | {"conditions": conditions})
        registry.delete(PODS, *pod.key, deletion)
