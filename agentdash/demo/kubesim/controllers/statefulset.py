"""StatefulSets: pods with ordinals, created from the lowest up and deleted from the highest down.

Source: kubernetes pkg/controller/statefulset/stateful_set_control.go. Simpler than there: volume
claims are left out, and a new pod always has the newest template.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable

from agentdash.demo.kubesim.clock import Timers
from agentdash.demo.kubesim.controllers.events import EventRecorder
from agentdash.demo.kubesim.controllers.pods import is_ready, is_terminating
from agentdash.demo.kubesim.controllers.replicaset import CreateRetry
from agentdash.demo.kubesim.controllers.rollout import template_hash
from agentdash.demo.kubesim.controllers.workqueue import WorkQueue
from agentdash.demo.kubesim.errors import StatusError
from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.owners import controller_of
from agentdash.demo.kubesim.registry import Registry
from agentdash.demo.kubesim.resources import PODS, STATEFUL_SETS
from agentdash.demo.kubesim.store import Change, Key, StoredObject
from agentdash.demo.kubesim.usage import is_terminal

REVISION_LABEL = "controller-revision-hash"
_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
_INDEX_LABEL = "apps.kubernetes.io/pod-index"
_EVENT_SOURCE = {"component": "statefulset-controller"}


class StatefulSetController:
    """The StatefulSet controller."""

    def __init__(self, registry: Registry, recorder: EventRecorder, timers: Timers) -> None:
        self._registry, self._recorder, self._timers = registry, recorder, timers
        self._backoffs: defaultdict[str, CreateRetry] = defaultdict(CreateRetry)
        self.queue: WorkQueue[Key] = WorkQueue(self.sync)
        registry.store.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        if change.new.resource is STATEFUL_SETS:
            if change.type == "DELETED":
                self._backoffs.pop(change.new.uid, None)
            else:
                self.queue.add(change.new.key)
        elif change.new.resource is PODS:
            owner = controller_of(change.new)
            if owner is not None and owner["kind"] == STATEFUL_SETS.kind:
                if change.type == "DELETED":
                    self._backoffs[owner["uid"]].waiting = False  # there is room again
                self.queue.add((change.new.key[0], owner["name"]))

    def sync(self, key: Key) -> None:
        """Do what may be done now, then write the status; changes made here are new work."""
        stored = self._registry.store.get(STATEFUL_SETS, *key)
        if stored is None:
            return
        if "deletionTimestamp" not in stored.object["metadata"] and self._scale(stored):
            self._update(stored)
        present = self._registry.store.get(STATEFUL_SETS, *key)
        if present is not None:
            self._registry.set_status(present, _status(present, self._pods(present)))

    def _pods(self, stored: StoredObject) -> dict[int, StoredObject]:
        """Its pods by ordinal."""
        pods = self._registry.owners.dependents(stored.uid, PODS)
        return {int(pod.key[1].rpartition("-")[2]): pod for pod in pods}

    def _scale(self, stored: StoredObject) -> bool:
        """Create and delete pods; False while it waits for one of them."""
        one_by_one = stored.object["spec"]["podManagementPolicy"] == "OrderedReady"
        wanted, pods = _ordinals(stored.object), self._pods(stored)
        for ordinal in wanted:
            pod = pods.get(ordinal)
            if pod is not None and is_terminal(pod.object):
                self._registry.delete(PODS, *pod.key)
                pod = None
            healthy = pod is not None and _is_healthy(pod)
            if pod is None:
                self._create(stored, ordinal)
            if one_by_one and not healthy:
                return False
        for ordinal in sorted(pods.keys() - set(wanted), reverse=True):
            pod = pods[ordinal]
            if not is_terminating(pod.object):
                self._delete(stored, pod)
            if one_by_one:
                return False
        return True

    def _update(self, stored: StoredObject) -> None:
        """Replace the highest pod of another revision, once those above it are healthy again."""
        strategy, wanted = stored.object["spec"]["updateStrategy"], _ordinals(stored.object)
        if strategy["type"] != "RollingUpdate":
            return
        partition = strategy["rollingUpdate"]["partition"]
        revision, pods = _revision(stored), self._pods(stored)
        for ordinal in sorted((each for each in wanted if each >= partition), reverse=True):
            pod = pods.get(ordinal)
            if pod is None or is_terminating(pod.object):
                return
            if pod.object["metadata"]["labels"].get(REVISION_LABEL) != revision:
                self._delete(stored, pod)
                return
            if not _is_healthy(pod):
                return

    def _create(self, stored: StoredObject, ordinal: int) -> None:
        backoff, name = self._backoffs[stored.uid], f"{stored.key[1]}-{ordinal}"
        if backoff.waiting:
            return
        try:
            self._registry.create(PODS, stored.key[0], _pod_of(stored, ordinal))
        except StatusError as refusal:
            words = f"Create Pod {name} in StatefulSet {stored.key[1]} failed error: "
            self._say(stored, "FailedCreate", words + refusal.message, "Warning")
            backoff.waiting = True
            self._timers.after(backoff.next_delay_s(), self._retry(stored, backoff))
            return
        backoff.failures = 0
        words = f"Create Pod {name} in StatefulSet {stored.key[1]} successful"
        self._say(stored, "SuccessfulCreate", words)

    def _retry(self, stored: StoredObject, backoff: CreateRetry) -> Callable[[], None]:
        def again() -> None:
            backoff.waiting = False
            self.queue.add(stored.key)

        return again

    def _delete(self, stored: StoredObject, pod: StoredObject) -> None:
        self._registry.delete(PODS, *pod.key)
        words = f"Delete Pod {pod.key[1]} in StatefulSet {stored.key[1]} successful"
        self._say(stored, "SuccessfulDelete", words)

    def _say(self, stored: StoredObject, reason: str, words: str, type_: str = "Normal") -> None:
        self._recorder.legacy(stored, reason, words, source=_EVENT_SOURCE, type_=type_)


def _ordinals(item: Object) -> range:
    spec = item["spec"]
    first = (spec.get("ordinals") or {}).get("start", 0)
    return range(first, first + spec["replicas"])


def _is_healthy(pod: StoredObject) -> bool:
    return is_ready(pod.object) and not is_terminating(pod.object)


def _revision(stored: StoredObject) -> str:
    """The name of the ControllerRevision of its template, which this cluster does not store."""
    return f"{stored.key[1]}-{template_hash(stored.object['spec']['template'])}"


def _pod_of(owner: StoredObject, ordinal: int) -> Object:
    """A new pod of the template. Its lists are copied, because admission adds to them."""
    spec, name = owner.object["spec"], f"{owner.key[1]}-{ordinal}"
    metadata = dict(spec["template"].get("metadata") or {})
    marks = {REVISION_LABEL: _revision(owner), _NAME_LABEL: name, _INDEX_LABEL: str(ordinal)}
    metadata |= {
        "name": name,
        "generateName": f"{owner.key[1]}-",
        "labels": (metadata.get("labels") or {}) | marks,
        "ownerReferences": [
            {
                "apiVersion": owner.resource.group_version,
                "kind": owner.resource.kind,
                "name": owner.key[1],
                "uid": owner.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    place = {"hostname": name}
    if spec.get("serviceName"):
        place["subdomain"] = spec["serviceName"]
    return {"metadata": metadata, "spec": copy.deepcopy(spec["template"]["spec"]) | place}


def _status(stored: StoredObject, pods: dict[int, StoredObject]) -> Object:
    """Counts and revisions. A rollout has ended when all pods are ready and of the new revision."""
    newest = _revision(stored)
    current = stored.object["status"].get("currentRevision") or newest
    ready = sum(is_ready(pod.object) for pod in pods.values())
    updated = _of_revision(pods.values(), newest)
    if updated == ready == len(pods):
        current = newest
    counts = {
        "readyReplicas": ready,
        "currentReplicas": _of_revision(pods.values(), current),
        "updatedReplicas": updated,
    }
    return {
        "observedGeneration": stored.object["metadata"]["generation"],
        "replicas": len(pods),
        **{name: count for name, count in counts.items() if count},
        "currentRevision": current,
        "updateRevision": newest,
        "collisionCount": 0,
        "availableReplicas": ready,
    }


def _of_revision(pods: Iterable[StoredObject], revision: str) -> int:
    return sum(
        pod.object["metadata"]["labels"].get(REVISION_LABEL) == revision
        and not is_terminating(pod.object)
        for pod in pods
    )
