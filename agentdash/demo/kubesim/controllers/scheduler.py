"""The scheduler: it puts pods on nodes by requests, selector, taints and cordon, or says why none
fits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from agentdash.demo.kubesim.clock import stamp
from agentdash.demo.kubesim.controllers.events import EventRecorder
from agentdash.demo.kubesim.controllers.pods import condition, is_terminating
from agentdash.demo.kubesim.controllers.workqueue import WorkQueue
from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.quantities import milli
from agentdash.demo.kubesim.registry import Registry
from agentdash.demo.kubesim.resources import NODES, PODS
from agentdash.demo.kubesim.store import Change, Key, StoredObject
from agentdash.demo.kubesim.usage import Amounts, is_terminal, node_amounts

_SCHEDULER = "default-scheduler"
_RETRY_ALL: Key = ("", "")  # not a pod: "try every pod that waits again"
_HELPLESS = "Preemption is not helpful for scheduling."
_NO_VICTIMS = "No preemption victims found for incoming pod."


class Scheduler:
    """Binds pending pods; it never preempts.

    A pod that fits nowhere waits until a node changes or a pod leaves its node.
    """

    def __init__(self, registry: Registry, recorder: EventRecorder) -> None:
        self._registry, self._recorder = registry, recorder
        self._waiting: dict[Key, None] = {}
        self.queue: WorkQueue[Key] = WorkQueue(self.sync)
        registry.store.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        resource, pod = change.new.resource, change.new.object
        if resource is NODES and change.type != "DELETED":
            self._retry()
        elif resource is PODS:
            if change.type == "DELETED":
                self._waiting.pop(change.new.key, None)
            if change.type == "ADDED" and not pod["spec"].get("nodeName"):
                self.queue.add(change.new.key)
            elif pod["spec"].get("nodeName") and (change.type == "DELETED" or is_terminal(pod)):
                self._retry()

    def _retry(self) -> None:
        if self._waiting:
            self.queue.add(_RETRY_ALL)

    def sync(self, key: Key) -> None:
        """Bind one pod, or try all that wait, those of the highest priority first."""
        if key != _RETRY_ALL:
            self._schedule(key)
            return
        waiting = [
            pod
            for pod in (self._registry.store.get(PODS, *each) for each in self._waiting)
            if pod is not None
        ]
        waiting.sort(key=lambda pod: (-pod.object["spec"].get("priority", 0), pod.version))
        hopeless: set[str] = set()
        for pod in waiting:
            # where one pod fits nowhere, no pod with the same requests and selector does
            alike = str((node_amounts(pod.object["spec"]), pod.object["spec"].get("nodeSelector")))
            if alike not in hopeless and not self._schedule(pod.key):
                hopeless.add(alike)

    def _schedule(self, key: Key) -> bool:
        pod = self._registry.store.get(PODS, *key)
        if pod is None or pod.object["spec"].get("nodeName") or is_terminating(pod.object):
            self._waiting.pop(key, None)
            return True
        asked = node_amounts(pod.object["spec"])
        best, best_share, reasons, full = "", 2.0, Counter[str](), 0
        nodes = list(self._registry.store.each(NODES))
        for node in nodes:
            allocatable = _allocatable(node)
            used = self._registry.usage.by_node[node.key[1]]
            why = _unfit(node.object, pod.object) or _lacking(asked, used, allocatable)
            reasons.update(why)
            full += (
                bool(why)
                and not _unfit(node.object, pod.object)
                and not any(amount > allocatable.get(name, 0) for name, amount in asked.items())
            )
            share = _share(used, allocatable)
            if not why and share < best_share:
                best, best_share = node.key[1], share
        if best:
            self._bind(pod, best)
            return True
        self._waiting.setdefault(key)
        self._explain(pod, len(nodes), reasons, full)
        return False

    def _bind(self, pod: StoredObject, node: str) -> None:
        self._waiting.pop(pod.key, None)
        item = pod.object | {"spec": pod.object["spec"] | {"nodeName": node}}
        conditions = [_scheduled("True")]
        item["status"] = item["status"] | {"conditions": conditions}
        bound = self._registry.store.update(pod, item)
        words = f"Successfully assigned {pod.key[0]}/{pod.key[1]} to {node}"
        self._recorder.current(bound, "Scheduled", words, action="Binding", controller=_SCHEDULER)

    def _explain(self, pod: StoredObject, nodes: int, reasons: Counter[str], full: int) -> None:
        words = _words(nodes, reasons, full)
        known = condition(pod.object, "PodScheduled")
        if known is not None and known.get("message") == words:
            return
        fresh = _scheduled("False") | {
            "observedGeneration": pod.object["metadata"].get("generation", 1),
            "reason": "Unschedulable",
            "message": words,
        }
        status = pod.object["status"] | {"conditions": [fresh]}
        told = self._registry.set_status(pod, status)
        self._recorder.current(
            told,
            "FailedScheduling",
            words,
            action="Scheduling",
            controller=_SCHEDULER,
            type_="Warning",
        )


def _words(nodes: int, reasons: Counter[str], full: int) -> str:
    """The message of kube-scheduler's FitError, preemption included."""
    if not nodes:
        return "no nodes available to schedule pods"
    shown = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
    outcomes = [(full, _NO_VICTIMS), (nodes - full, _HELPLESS)]
    preempted = ", ".join(f"{count} {why.rstrip('.')}" for count, why in outcomes if count)
    available = f"0/{nodes} nodes are available:"
    return f"{available} {shown}. no new claims to deallocate, preemption: {available} {preempted}."


def _scheduled(value: str) -> Object:
    return {
        "type": "PodScheduled",
        "status": value,
        "lastProbeTime": None,
        "lastTransitionTime": stamp(),
    }


def _allocatable(node: StoredObject) -> Amounts:
    amounts = node.object.get("status", {}).get("allocatable") or {}
    return {name: milli(amount) for name, amount in amounts.items()}


def _unfit(node: Object, pod: Object) -> list[str]:
    """Why the pod may not run on the node, however much room it has."""
    if node.get("spec", {}).get("unschedulable"):
        return ["node(s) were unschedulable"]
    tolerations = pod["spec"].get("tolerations") or ()
    for taint in node.get("spec", {}).get("taints") or ():
        if taint["effect"] != "PreferNoSchedule" and not any(
            _tolerates(toleration, taint) for toleration in tolerations
        ):
            value = taint.get("value", "")
            return [f"node(s) had untolerated taint(s) {{{taint['key']}: {value}}}"]
    ready = condition(node, "Ready")
    if ready is not None and ready["status"] != "True":
        return ["node(s) had untolerated taint(s) {node.kubernetes.io/not-ready: }"]
    wanted: Mapping[str, str] = pod["spec"].get("nodeSelector") or {}
    if not wanted.items() <= (node["metadata"].get("labels") or {}).items():
        return ["node(s) didn't match Pod's node affinity/selector"]
    return []


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("key") not in {None, "", taint["key"]}:
        return False
    if toleration.get("effect") not in {None, "", taint["effect"]}:
        return False
    exists = toleration.get("operator") == "Exists"
    return exists or toleration.get("value", "") == taint.get("value", "")


def _lacking(asked: Amounts, used: Amounts, allocatable: Amounts) -> list[str]:
    short = [
        name
        for name, amount in asked.items()
        if amount and amount + used.get(name, 0) > allocatable.get(name, 0)
    ]
    return ["Too many pods" if name == "pods" else f"Insufficient {name}" for name in short]


def _share(used: Amounts, allocatable: Amounts) -> float:
    """How full a node is, for LeastAllocated: the mean of cpu, memory and pods."""
    shares = [
        used.get(name, 0) / allocatable[name]
        for name in ("cpu", "memory", "pods")
        if allocatable.get(name)
    ]
    return sum(shares) / len(shares) if shares else 1.0
