"""ReplicaSets: they create and delete pods, in the real order, and report what a quota refuses."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from agentdash.demo.kubesim.clock import Timers, stamp
from agentdash.demo.kubesim.controllers.events import EventRecorder
from agentdash.demo.kubesim.controllers.pods import is_active, is_ready, is_terminating
from agentdash.demo.kubesim.controllers.victims import in_victim_order
from agentdash.demo.kubesim.controllers.workqueue import WorkQueue
from agentdash.demo.kubesim.errors import StatusError
from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.owners import controller_of
from agentdash.demo.kubesim.registry import Registry
from agentdash.demo.kubesim.resources import PODS, REPLICA_SETS
from agentdash.demo.kubesim.store import Change, Key, StoredObject

_EVENT_SOURCE_REPLICA_SET = {"component": "replicaset-controller"}
_BATCH = 50  # pods created or deleted before other work gets a turn
_CREATE_RETRY_FIRST_S, _CREATE_RETRY_MOST_S = 0.5, 60.0


@dataclass(slots=True)
class PodCounts:
    """Counts of one ReplicaSet's pods, updated with each change, so that a status costs O(1)."""

    active: int = 0
    ready: int = 0
    terminating: int = 0

    def add(self, pod: Object, sign: int) -> None:
        """Add a pod to the counts (+1) or take it out (-1)."""
        if is_active(pod):
            self.active += sign
            self.ready += sign * is_ready(pod)
        elif is_terminating(pod):
            self.terminating += sign


@dataclass(slots=True)
class CreateRetry:
    """When a ReplicaSet that was refused a pod tries again (the workqueue's rate limiter)."""

    failures: int = 0
    error: str = ""
    waiting: bool = field(default=False)

    def next_delay_s(self) -> float:
        """Count one more failure; returns the delay, doubled each time up to a minute."""
        self.failures += 1
        doubled: float = _CREATE_RETRY_FIRST_S * 2.0 ** min(self.failures - 1, 10)
        return min(_CREATE_RETRY_MOST_S, doubled)


class ReplicaSetController:
    """The ReplicaSet controller."""

    def __init__(self, registry: Registry, recorder: EventRecorder, timers: Timers) -> None:
        self._registry, self._recorder, self._timers = registry, recorder, timers
        self._tallies: defaultdict[str, PodCounts] = defaultdict(PodCounts)
        self._backoffs: defaultdict[str, CreateRetry] = defaultdict(CreateRetry)
        self.queue: WorkQueue[Key] = WorkQueue(self.sync)
        registry.store.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        if change.new.resource is REPLICA_SETS:
            if change.type == "DELETED":
                self._tallies.pop(change.new.uid, None)
                self._backoffs.pop(change.new.uid, None)
            else:
                self.queue.add(change.new.key)
        elif change.new.resource is PODS:
            owner = controller_of(change.new)
            if owner is not None and owner["kind"] == "ReplicaSet":
                self._count(change, owner["uid"])
                self.queue.add((change.new.key[0], owner["name"]))

    def _count(self, change: Change, uid: str) -> None:
        tally = self._tallies[uid]
        if change.old is not None:
            tally.add(change.old.object, -1)
        if change.type != "DELETED":
            tally.add(change.new.object, 1)
        else:
            # there is room again: try at once
            self._backoffs[uid].waiting = False

    def sync(self, key: Key) -> None:
        """Create or delete pods, then write the status. Work that is left is queued again."""
        stored = self._registry.store.get(REPLICA_SETS, *key)
        if stored is None:
            return
        tally, backoff = self._tallies[stored.uid], self._backoffs[stored.uid]
        spec = stored.object["spec"]
        missing = spec["replicas"] - tally.active
        if "deletionTimestamp" not in stored.object["metadata"]:
            if missing > 0 and not backoff.waiting:
                self._create(stored, min(missing, _BATCH), backoff)
                if missing > _BATCH and not backoff.error:
                    self.queue.add(key)
            elif missing <= 0:
                backoff.error, backoff.failures = "", 0
                self._delete(stored, min(-missing, _BATCH))
        present = self._registry.store.get(REPLICA_SETS, *key)
        if present is not None:
            self._registry.set_status(present, self._status(present, tally, backoff.error))

    def _create(self, owner: StoredObject, count: int, backoff: CreateRetry) -> None:
        backoff.error = ""
        for _ in range(count):
            try:
                pod = self._registry.create(PODS, owner.key[0], _pod_of(owner))
            except StatusError as refusal:
                backoff.error = refusal.message
                words = f"Error creating: {refusal.message}"
                self._recorder.legacy(
                    owner, "FailedCreate", words, source=_EVENT_SOURCE_REPLICA_SET, type_="Warning"
                )
                backoff.waiting = True
                self._timers.after(backoff.next_delay_s(), self._retry(owner, backoff))
                return
            words = f"Created pod: {pod.key[1]}"
            self._recorder.legacy(
                owner, "SuccessfulCreate", words, source=_EVENT_SOURCE_REPLICA_SET
            )
        backoff.failures = 0

    def _retry(self, owner: StoredObject, backoff: CreateRetry) -> Callable[[], None]:
        def again() -> None:
            backoff.waiting = False
            self.queue.add(owner.key)

        return again

    def _delete(self, owner: StoredObject, count: int) -> None:
        if not count:
            return
        pods = self._registry.owners.dependents(owner.uid, PODS)
        for pod in in_victim_order(pod for pod in pods if is_active(pod.object))[:count]:
            self._registry.delete(PODS, *pod.key)
            words = f"Deleted pod: {pod.key[1]}"
            self._recorder.legacy(
                owner, "SuccessfulDelete", words, source=_EVENT_SOURCE_REPLICA_SET
            )

    def _status(self, stored: StoredObject, tally: PodCounts, error: str) -> Object:
        counts = {
            "fullyLabeledReplicas": tally.active,
            "readyReplicas": tally.ready,
            "availableReplicas": tally.ready,
        }
        status: Object = {"replicas": tally.active}
        status |= {name: count for name, count in counts.items() if count}
        status["terminatingReplicas"] = tally.terminating
        status["observedGeneration"] = stored.object["metadata"]["generation"]
        if error:
            status["conditions"] = [_failure(stored.object["status"], error)]
        return status


def _failure(before: Object, error: str) -> Object:
    """The ReplicaFailure condition. It keeps the first refusal's message until pods are created."""
    for known in before.get("conditions") or ():
        return dict(known)
    return {
        "type": "ReplicaFailure",
        "status": "True",
        "lastTransitionTime": stamp(),
        "reason": "FailedCreate",
        "message": error,
    }


def _pod_of(owner: StoredObject) -> Object:
    """A new pod of the template. Its lists are copied, because admission adds to them."""
    template = owner.object["spec"]["template"]
    metadata = dict(template.get("metadata") or {})
    metadata.pop("name", None)
    metadata["generateName"] = f"{owner.key[1]}-"
    metadata["ownerReferences"] = [
        {
            "apiVersion": owner.resource.group_version,
            "kind": owner.resource.kind,
            "name": owner.key[1],
            "uid": owner.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    return {"metadata": metadata, "spec": copy.deepcopy(template["spec"])}
