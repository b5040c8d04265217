"""Deployments and ReplicaSets: they create and delete pods, and say how far they are.

Simpler than the real controllers (kubernetes pkg/controller): no revisions are kept, and a rollout
has no deadline.
"""

from __future__ import annotations

import copy
import math
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from agentdash.demo.cluster.objects import (
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    Kind,
    Object,
    StatusError,
    Timers,
    WorkQueue,
    condition,
    is_ready,
    is_terminating,
    stamp,
)
from agentdash.demo.cluster.registry import (
    SUFFIX_LETTERS,
    Change,
    EventRecorder,
    Key,
    Registry,
    StoredObject,
    controller_of,
)

HASH_LABEL: Final = "pod-template-hash"
DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
_REVISION: Final = "deployment.kubernetes.io/revision"
_BATCH: Final = 50  # pods created or deleted before other work gets a turn
_RETRY_FIRST_S, _RETRY_MOST_S = 0.5, 60.0
_SETS: Final = "replicaset-controller"
_PHASES: Final = {"Pending": 0, "Unknown": 1, "Running": 2}


@dataclass(slots=True)
class _Retry:
    """When a workload that was refused a pod tries again (the workqueue's rate limiter)."""

    failures: int = 0
    error: str = ""
    waiting: bool = False

    def next_s(self) -> float:
        """Count one more failure; returns the delay, doubled each time up to a minute."""
        self.failures += 1
        return min(_RETRY_MOST_S, _RETRY_FIRST_S * 2.0 ** min(self.failures - 1, 10))


class WorkloadControllers:
    """The controllers, in one queue, and the collector of what a deleted owner leaves."""

    def __init__(self, registry: Registry, recorder: EventRecorder, timers: Timers) -> None:
        self._registry, self._store = registry, registry.store
        self._recorder, self._timers = recorder, timers
        self._retries: defaultdict[str, _Retry] = defaultdict(_Retry)
        self.by_kind: dict[Kind, Callable[[StoredObject], None]] = {
            DEPLOYMENTS: self._sync_deployment,
            REPLICA_SETS: self._sync_set,
        }
        self._queue: WorkQueue[tuple[Kind, Key]] = WorkQueue(self._sync)
        self._orphans: WorkQueue[str] = WorkQueue(self._collect)
        self.queues = (self._queue, self._orphans)
        registry.store.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        new = change.new
        if new.kind in self.by_kind:
            self._queue.add((new.kind, new.key))
            if change.type == "DELETED":
                self._retries.pop(new.uid, None)
                self._orphans.add(new.uid)
        owner = controller_of(new)
        if owner is None:
            return
        if change.type == "DELETED":
            self._retries[owner["uid"]].waiting = False  # there is room again: try at once
        for kind in self.by_kind:
            if kind.name == owner["kind"]:
                self._queue.add((kind, (new.key[0], owner["name"])))

    def _collect(self, uid: str) -> None:
        """Delete what a deleted owner leaves."""
        for each in self._store.owned(uid):
            self._registry.delete(each.kind, *each.key)

    def _sync(self, work: tuple[Kind, Key]) -> None:
        """Do one step for one workload, then write its status; changes made here are new work."""
        kind, key = work
        stored = self._store.get(kind, *key)
        if stored is not None:
            self.by_kind[kind](stored)

    # Deployments: a ReplicaSet for each template

    def _sync_deployment(self, stored: StoredObject) -> None:
        wanted = stored.object["spec"]["replicas"]
        newest = self._newest_set(stored)
        if newest is None:
            return
        ready = newest.object["status"].get("readyReplicas", 0)
        for each in self._store.owned(stored.uid, REPLICA_SETS):
            size = wanted
            if each.uid != newest.uid:
                # old pods stop as new ones are ready
                size = min(each.object["spec"]["replicas"], max(0, wanted - ready))
            self._resize(stored, each, size)
        sets = self._store.owned(stored.uid, REPLICA_SETS)
        present = self._registry.read(DEPLOYMENTS, *stored.key)
        self._registry.set_status(present, _deployment_status(present, newest, sets))

    def _newest_set(self, stored: StoredObject) -> StoredObject | None:
        """The ReplicaSet of the present template; it is made where there is none. None while that
        of an earlier Deployment of this name is still there: its end is a change of this one.
        """
        spec = stored.object["spec"]
        digest = template_hash(spec["template"])
        name = f"{stored.key[1]}-{digest}"
        known = self._store.get(REPLICA_SETS, stored.key[0], name)
        if known is not None:
            owner = controller_of(known) or {}
            return known if owner.get("uid") == stored.uid else None
        template = copy.deepcopy(spec["template"])
        labels = (template["metadata"].get("labels") or {}) | {HASH_LABEL: digest}
        template["metadata"]["labels"] = labels
        matched = (spec["selector"].get("matchLabels") or {}) | {HASH_LABEL: digest}
        metadata = {"name": name, "labels": dict(labels), "ownerReferences": [_owner(stored)]}
        body = {
            "replicas": 0,
            "selector": spec["selector"] | {"matchLabels": matched},
            "template": template,
        }
        revision = {_REVISION: str(len(self._store.owned(stored.uid, REPLICA_SETS)) + 1)}
        self._registry.patch(stored, {"metadata": {"annotations": revision}})
        return self._registry.create(
            REPLICA_SETS, stored.key[0], {"metadata": metadata, "spec": body}
        )

    def _resize(self, stored: StoredObject, each: StoredObject, size: int) -> None:
        before = each.object["spec"]["replicas"]
        if before == size:
            return
        self._registry.change(each, lambda item: item["spec"].update(replicas=size))
        way = "up" if size > before else "down"
        words = f"Scaled {way} replica set {each.key[1]} from {before} to {size}"
        self._recorder.say(stored, "ScalingReplicaSet", words, "deployment-controller")

    # ReplicaSets

    def _sync_set(self, stored: StoredObject) -> None:
        retry = self._retries[stored.uid]
        pods = self._store.owned(stored.uid, PODS)
        active = [pod for pod in pods if not is_terminating(pod.object)]
        missing = stored.object["spec"]["replicas"] - len(active)
        if missing > 0 and not retry.waiting:
            retry.error = ""
            self._create_pods(stored, min(missing, _BATCH), retry)
        elif missing <= 0:
            retry.error, retry.failures = "", 0
            victims = in_victim_order(active) if missing else []
            for pod in victims[: min(-missing, _BATCH)]:
                self._registry.delete(PODS, *pod.key)
                words = f"Deleted pod: {pod.key[1]}"
                self._recorder.say(stored, "SuccessfulDelete", words, _SETS)
        present = self._registry.read(REPLICA_SETS, *stored.key)
        pods = self._store.owned(stored.uid, PODS)
        self._registry.set_status(present, _set_status(present, pods, retry.error))
        if abs(missing) > _BATCH and not retry.waiting:
            self._queue.add((REPLICA_SETS, stored.key))

    def _create_pods(self, stored: StoredObject, count: int, retry: _Retry) -> None:
        name = {"generateName": f"{stored.key[1]}-"}
        for _ in range(count):
            try:
                pod = self._registry.create(PODS, stored.key[0], pod_of(stored, name))
            except StatusError as refusal:
                words = f"Error creating: {refusal.message}"
                self._recorder.say(stored, "FailedCreate", words, _SETS, is_warning=True)
                self._try_later(stored, retry, refusal.message)
                return
            words = f"Created pod: {pod.key[1]}"
            self._recorder.say(stored, "SuccessfulCreate", words, _SETS)
        retry.failures = 0

    def _try_later(self, stored: StoredObject, retry: _Retry, error: str) -> None:
        retry.waiting, retry.error = True, error

        def again() -> None:
            retry.waiting = False
            self._queue.add((stored.kind, stored.key))

        self._timers.after(retry.next_s(), again)


def template_hash(template: Mapping[str, Any]) -> str:
    """The hash in a ReplicaSet's name: its digits as letters that form no words.

    The real server hashes what Go prints of the struct, so the values differ; the form is the same.
    """
    value = zlib.crc32(msgspec.json.encode(template, order="sorted"))
    return "".join(SUFFIX_LETTERS[ord(digit) % len(SUFFIX_LETTERS)] for digit in f"{value:08d}")


def _owner(stored: StoredObject) -> Object:
    return {
        "apiVersion": stored.kind.group_version,
        "kind": stored.kind.name,
        "name": stored.key[1],
        "uid": stored.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def pod_of(owner: StoredObject, name: dict[str, str]) -> Object:
    """A new pod of the template. Its parts are copied, because defaults are added to them."""
    template = copy.deepcopy(owner.object["spec"]["template"])
    metadata = (template.get("metadata") or {}) | name | {"ownerReferences": [_owner(owner)]}
    return {"metadata": metadata, "spec": template["spec"]}


def in_victim_order(
    pods: Iterable[StoredObject], now: datetime | None = None
) -> list[StoredObject]:
    """The order in which a ReplicaSet deletes pods (ActivePodsWithRanks.Less)."""
    candidates, moment = list(pods), now or datetime.now(UTC)
    neighbours = Counter(pod.object["spec"].get("nodeName", "") for pod in candidates)

    def rank(pod: StoredObject) -> tuple[Any, ...]:
        item = pod.object
        node, ready = item["spec"].get("nodeName", ""), is_ready(item)
        since = (condition(item, "Ready") or {}).get("lastTransitionTime") if ready else None
        statuses = item["status"].get("containerStatuses") or ()
        return (
            bool(node),
            _PHASES.get(item["status"].get("phase", "Unknown"), 1),
            ready,
            _deletion_cost(item),
            -neighbours[node],
            _age_class(since, moment),
            -max((each.get("restartCount", 0) for each in statuses), default=0),
            _age_class(item["metadata"].get("creationTimestamp"), moment),
            pod.uid,
        )

    return sorted(candidates, key=rank)


def _deletion_cost(pod: Mapping[str, Any]) -> int:
    """The pod's deletion cost; 0 where the annotation is absent or not an int32."""
    try:
        cost = int((pod["metadata"].get("annotations") or {}).get(DELETION_COST, "0"))
    except ValueError:
        return 0
    return cost if -(2**31) <= cost < 2**31 else 0


def _age_class(text: str | None, now: datetime) -> int:
    """The age on a logarithmic scale (LogarithmicScaleDown): younger classes are deleted first."""
    if text is None:
        return -1
    nanoseconds = (now - datetime.fromisoformat(text)).total_seconds() * 1e9
    return int(math.log2(nanoseconds)) if nanoseconds >= 1 else -1


def _set_status(stored: StoredObject, pods: Iterable[StoredObject], error: str) -> Object:
    pods = list(pods)
    active = [pod for pod in pods if not is_terminating(pod.object)]
    ready = sum(is_ready(pod.object) for pod in active)
    counts = {
        "fullyLabeledReplicas": len(active),
        "readyReplicas": ready,
        "availableReplicas": ready,
    }
    status: Object = {"replicas": len(active)}
    status |= {name: count for name, count in counts.items() if count}
    status["terminatingReplicas"] = sum(is_terminating(pod.object) for pod in pods)
    status["observedGeneration"] = stored.object["metadata"]["generation"]
    if error:
        # it keeps the first refusal's message until pods are created
        known = condition(stored.object, "ReplicaFailure")
        fresh = {"type": "ReplicaFailure", "status": "True", "lastTransitionTime": stamp()}
        fresh |= {"reason": "FailedCreate", "message": error}
        status["conditions"] = [known or fresh]
    return status


def _deployment_status(
    stored: StoredObject, newest: StoredObject, sets: Iterable[StoredObject]
) -> Object:
    """Counts of its ReplicaSets, and conditions; counts of zero are left out, as Go does."""
    total: Counter[str] = Counter()
    for each in sets:
        total.update({k: v for k, v in each.object["status"].items() if isinstance(v, int)})
        if each.uid == newest.uid:
            total["updatedReplicas"] = each.object["status"].get("replicas", 0)
            newest = each
    wanted, available = stored.object["spec"]["replicas"], total["availableReplicas"]
    total["unavailableReplicas"] = max(0, wanted - available)
    names = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    status: Object = {"observedGeneration": stored.object["metadata"]["generation"]}
    for name in (*names, "unavailableReplicas"):
        if total[name]:
            status[name] = total[name]
    status["terminatingReplicas"] = total["terminatingReplicas"]
    status["conditions"] = _deployment_conditions(stored.object, newest, total)
    return status


def _deployment_conditions(item: Object, newest: StoredObject, total: Counter[str]) -> list[Object]:
    conditions = {each["type"]: each for each in item["status"].get("conditions") or ()}
    wanted, available = item["spec"]["replicas"], total["availableReplicas"]
    if available >= wanted - _may_lack(item["spec"]):
        words = "Deployment has minimum availability."
        _put(conditions, "Available", "True", "MinimumReplicasAvailable", words)
    else:
        words = "Deployment does not have minimum availability."
        _put(conditions, "Available", "False", "MinimumReplicasUnavailable", words)
    known = conditions.get("Progressing", {})
    name = f'ReplicaSet "{newest.key[1]}"'
    is_rolling = total["replicas"] != total["updatedReplicas"]
    if not is_rolling and available == total["updatedReplicas"] == wanted:
        words = f"{name} has successfully progressed."
        _put(conditions, "Progressing", "True", "NewReplicaSetAvailable", words)
    elif is_rolling or known.get("reason") != "NewReplicaSetAvailable":
        # scaling alone starts no rollout
        _put(conditions, "Progressing", "True", "ReplicaSetUpdated", f"{name} is progressing.")
    failure = condition(newest.object, "ReplicaFailure")
    if failure is None:
        conditions.pop("ReplicaFailure", None)
    else:
        _put(conditions, "ReplicaFailure", "True", failure["reason"], failure["message"])
    return list(conditions.values())


def _may_lack(spec: Mapping[str, Any]) -> int:
    """MaxUnavailable as a number, rounded down (apps deployment util ResolveFenceposts)."""
    share = (spec["strategy"].get("rollingUpdate") or {}).get("maxUnavailable", 0)
    replicas = int(spec["replicas"])
    if isinstance(share, str):
        share = replicas * int(share.rstrip("%")) // 100
    return min(int(share), replicas)


def _put(conditions: dict[str, Object], kind: str, value: str, reason: str, words: str) -> None:
    """Set one condition, unless its status and reason are the same already."""
    known = conditions.get(kind, {"status": "", "reason": ""})
    if (known["status"], known["reason"]) == (value, reason):
        return
    now = stamp()
    conditions.pop(kind, None)  # the latest change stands last
    conditions[kind] = {
        "type": kind,
        "status": value,
        "lastUpdateTime": now,
        "lastTransitionTime": known["lastTransitionTime"] if known["status"] == value else now,
        "reason": reason,
        "message": words,
    }
