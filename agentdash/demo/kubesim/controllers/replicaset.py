"""ReplicaSets: as many pods as asked for, victims in the real order, quota failures reported."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agentdash.demo.kubesim.clock import Timers, stamp
from agentdash.demo.kubesim.controllers.events import EventRecorder
from agentdash.demo.kubesim.controllers.pods import is_active, is_ready, is_terminating
from agentdash.demo.kubesim.controllers.victims import in_victim_order
from agentdash.demo.kubesim.controllers.workqueue import WorkQueue
from agentdash.demo.kubesim.errors import StatusError
from agentdash.demo.kubesim.owners import controller_of
from agentdash.demo.kubesim.registry import Registry
from agentdash.demo.kubesim.resources import PODS, REPLICA_SETS
from agentdash.demo.kubesim.store import Change, Key, StoredObject

Object = dict[str, Any]
_SOURCE = {"component": "replicaset-controller"}
_BATCH = 50  # pods made or deleted before others have their turn
_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.5, 60.0


@dataclass(slots=True)
class PodCounts:
    """Counts over one ReplicaSet's pods, kept change by change: a status costs O(1)."""

    active: int = 0
    ready: int = 0
    terminating: int = 0

    def add(self, pod: Object, sign: int) -> None:
        """Count a pod in (+1) or out (-1)."""
        if is_active(pod):
            self.active += sign
            self.ready += sign * is_ready(pod)
        elif is_terminating(pod):
            self.terminating += sign


@dataclass(slots=True)
class CreateRetry:
    """How long a ReplicaSet that was refused a pod waits before it asks again."""

    failures: int = 0
    error: str = ""
    waiting: bool = field(default=False)

    def next_delay_s(self) -> float:
        """The delay after one more failure: doubled each time, up to a minute."""
        self.failures += 1
        doubled: float = _FIRST_RETRY_S * 2.0 ** min(self.failures - 1, 10)
        return min(_LONGEST_RETRY_S, doubled)


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
            # room has come free: ask again at once
            self._backoffs[uid].waiting = False

    def sync(self, key: Key) -> None:
        """Make or delete pods, then write the status; half-done work queues itself again."""
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
                self._recorder.legacy(owner, "FailedCreate", words, source=_SOURCE, type_="Warning")
                backoff.waiting = True
                self._timers.after(backoff.next_delay_s(), self._retry(owner, backoff))
                return
            words = f"Created pod: {pod.key[1]}"
            self._recorder.legacy(owner, "SuccessfulCreate", words, source=_SOURCE)
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
            self._recorder.legacy(owner, "SuccessfulDelete", words, source=_SOURCE)

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
    """The ReplicaFailure condition; the first refusal's words stay until it is over."""
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
    """A new pod from the template; its lists are copied because admission adds to them."""
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
