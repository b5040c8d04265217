"""HorizontalPodAutoscalers of a cluster without a metrics API: their status says so, and they never
scale.
"""

from __future__ import annotations

from agentdash.demo.kubesim.clock import stamp
from agentdash.demo.kubesim.controllers.workqueue import WorkQueue
from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.registry import SCALABLE, Registry
from agentdash.demo.kubesim.resources import AUTOSCALERS, REPLICA_SETS
from agentdash.demo.kubesim.store import Change, Key, StoredObject

_UNABLE = "the HPA was unable to compute the replica count:"
_MISSING = "the server could not find the requested resource"


class AutoscalerController:
    """The HPA controller of such a cluster: it reads the target and finds no metric."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.queue: WorkQueue[Key] = WorkQueue(self.sync)
        registry.store.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        if change.new.resource is AUTOSCALERS and change.type != "DELETED":
            self.queue.add(change.new.key)
        elif change.new.resource in SCALABLE:
            for found in self._registry.store.each(AUTOSCALERS, change.new.key[0]):
                target = found.object["spec"]["scaleTargetRef"]
                if (target["kind"], target["name"]) == (
                    change.new.resource.kind,
                    change.new.key[1],
                ):
                    self.queue.add(found.key)

    def sync(self, key: Key) -> None:
        """Write the status of one autoscaler."""
        found = self._registry.store.get(AUTOSCALERS, *key)
        if found is not None:
            self._registry.set_status(found, self._status(found))

    def _status(self, found: StoredObject) -> Object:
        reference = found.object["spec"]["scaleTargetRef"]
        resource = next((each for each in SCALABLE if each.kind == reference["kind"]), REPLICA_SETS)
        target = self._registry.store.get(resource, found.key[0], reference["name"])
        before = found.object["status"]
        if target is None:
            words = (
                "the HPA controller was unable to get the target's current scale: "
                f'{resource.qualified} "{reference["name"]}" not found'
            )
            unable = _condition(before, "AbleToScale", "False", "FailedGetScale", words)
            return {"desiredReplicas": 0, "currentMetrics": None, "conditions": [unable]}
        words = "the HPA controller was able to get the target's current scale"
        able = _condition(before, "AbleToScale", "True", "SucceededGetScale", words)
        reason, words = _activity(found, target.object["spec"]["replicas"])
        active = _condition(before, "ScalingActive", "False", reason, words)
        status: Object = {
            "desiredReplicas": 0,
            "currentMetrics": [{"type": ""} for _ in found.object["spec"].get("metrics") or ()],
            "conditions": [able, active],
        }
        replicas = target.object["spec"]["replicas"]
        return {"currentReplicas": replicas, **status} if replicas else status


def _activity(found: StoredObject, replicas: int) -> tuple[str, str]:
    if replicas == 0:
        words = "scaling is disabled since the replica count of the target is zero"
        return "ScalingDisabled", words
    metrics = found.object["spec"].get("metrics") or [{"type": "Resource"}]
    if metrics[0]["type"] == "External":
        name = metrics[0]["external"]["metric"]["name"]
        return "FailedGetExternalMetric", (
            f"{_UNABLE} unable to get external metric {found.key[0]}/{name}/nil: unable to fetch "
            f"metrics from external metrics API: {_MISSING} "
            f"(get {name}.external.metrics.k8s.io)"
        )
    name = (metrics[0].get("resource") or {"name": "cpu"})["name"]
    return "FailedGetResourceMetric", (
        f"{_UNABLE} failed to get {name} utilization: unable to get metrics for resource {name}: "
        f"unable to fetch metrics from resource metrics API: {_MISSING} (get pods.metrics.k8s.io)"
    )


def _condition(before: Object, kind: str, value: str, reason: str, words: str) -> Object:
    known = next((each for each in before.get("conditions") or () if each["type"] == kind), None)
    moved = known["lastTransitionTime"] if known and known["status"] == value else stamp()
    return {
        "type": kind,
        "status": value,
        "lastTransitionTime": moved,
        "reason": reason,
        "message": words,
    }
