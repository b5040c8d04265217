"""Deployments: a ReplicaSet for each template, and rollouts within maxSurge and maxUnavailable."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from agentdash.demo.kubesim.clock import Timers
from agentdash.demo.kubesim.controllers.deployment_status import (
    created,
    is_complete,
    status_of,
    total,
)
from agentdash.demo.kubesim.controllers.events import EventRecorder
from agentdash.demo.kubesim.controllers.rollout import (
    HASH_LABEL,
    new_set_size,
    old_sets_cut,
    resolve,
    template_hash,
)
from agentdash.demo.kubesim.controllers.workqueue import WorkQueue
from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.owners import controller_of
from agentdash.demo.kubesim.registry import Registry
from agentdash.demo.kubesim.resources import DEPLOYMENTS, REPLICA_SETS
from agentdash.demo.kubesim.store import Change, Key, StoredObject

REVISION = "deployment.kubernetes.io/revision"
_DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
_MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_EVENT_SOURCE_DEPLOYMENT = {"component": "deployment-controller"}


class DeploymentController:
    """The Deployment controller."""

    def __init__(self, registry: Registry, recorder: EventRecorder, timers: Timers) -> None:
        self._registry, self._recorder, self._timers = registry, recorder, timers
        self._marks: dict[str, Object] = {}  # by uid, the counts whose change is progress
        self._overdue: set[str] = set()
        self.queue: WorkQueue[Key] = WorkQueue(self.sync)
        registry.store.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        if change.new.resource is DEPLOYMENTS:
            if change.type == "DELETED":
                self._marks.pop(change.new.uid, None)
                self._overdue.discard(change.new.uid)
            self.queue.add(change.new.key)
        elif change.new.resource is REPLICA_SETS:
            owner = controller_of(change.new)
            if owner is not None and owner["kind"] == "Deployment":
                self.queue.add((change.new.key[0], owner["name"]))

    def sync(self, key: Key) -> None:
        """Do one step of the rollout, then write the status; changes made here are new work."""
        stored = self._registry.store.get(DEPLOYMENTS, *key)
        if stored is None:
            return
        sets = self._registry.owners.dependents(stored.uid, REPLICA_SETS)
        new = self._current(stored, sets)
        if "deletionTimestamp" not in stored.object["metadata"]:
            if new is None and not stored.object["spec"].get("paused"):
                new = self._make_set(stored, sets)
                stored = self._registry.read(DEPLOYMENTS, *key)
            elif new is not None:
                stored = self._renew(stored, new, sets)
            if new is not None:
                new = self._registry.read(REPLICA_SETS, *new.key)
                self._roll(stored, new, [found for found in sets if found.key != new.key])
        present = self._registry.store.get(DEPLOYMENTS, *key)
        sets = self._registry.owners.dependents(stored.uid, REPLICA_SETS)
        new = self._current(stored, sets)
        if present is not None and new is not None:
            overdue = present.uid in self._overdue
            status = status_of(present.object, new, sets, overdue=overdue)
            self._watch_progress(self._registry.set_status(present, status))

    def _watch_progress(self, stored: StoredObject) -> None:
        """Start the progress deadline again whenever a count of the status changes."""
        status = stored.object["status"]
        marks = {name: count for name, count in status.items() if name.endswith("Replicas")}
        marks["generation"] = stored.object["metadata"]["generation"]
        if self._marks.get(stored.uid) == marks or is_complete(stored.object):
            return
        self._marks[stored.uid] = marks
        self._overdue.discard(stored.uid)

        def deadline_passed() -> None:
            if self._marks.get(stored.uid) == marks:
                self._overdue.add(stored.uid)
                self.queue.add(stored.key)

        deadline = stored.object["spec"].get("progressDeadlineSeconds", 600)
        self._timers.after(float(deadline), deadline_passed)

    def _current(self, stored: StoredObject, sets: Sequence[StoredObject]) -> StoredObject | None:
        """The ReplicaSet of the present template."""
        template = stored.object["spec"]["template"]
        wanted = {template_hash(template, each) for each in range(_collisions(stored) + 1)}
        for found in sets:
            if found.object["metadata"]["labels"][HASH_LABEL] in wanted:
                return found
        return None

    def _make_set(self, stored: StoredObject, sets: Sequence[StoredObject]) -> StoredObject:
        item = stored.object
        revision = 1 + max((_revision(found) for found in sets), default=0)
        everything = sum(found.object["spec"]["replicas"] for found in sets)
        size = new_set_size(item, 0, everything)
        digest, collisions = self._free_hash(stored)
        template = copy.deepcopy(item["spec"]["template"])
        template["metadata"].setdefault("labels", {})[HASH_LABEL] = digest
        selector = copy.deepcopy(item["spec"]["selector"])
        selector.setdefault("matchLabels", {})[HASH_LABEL] = digest
        name = f"{stored.key[1]}-{digest}"
        made = self._registry.create(
            REPLICA_SETS,
            stored.key[0],
            {
                "metadata": {
                    "name": name,
                    "namespace": stored.key[0],
                    "labels": dict(template["metadata"]["labels"]),
                    "annotations": _sizes(item) | {REVISION: str(revision)},
                    "ownerReferences": [_reference(stored)],
                },
                "spec": {"replicas": size, "selector": selector, "template": template},
            },
        )
        if size:
            self._say_scaled(stored, name, 0, size)
        annotations = stored.object["metadata"].get("annotations") or {}
        metadata = item["metadata"] | {"annotations": annotations | {REVISION: str(revision)}}
        stored = self._registry.store.update(stored, item | {"metadata": metadata})
        status = created(stored.object, name)
        if collisions:
            status["collisionCount"] = collisions
        self._registry.set_status(stored, status)
        return made

    def _free_hash(self, stored: StoredObject) -> tuple[str, int]:
        """The hash for a new ReplicaSet whose name no other has, and how many were taken: one of an
        earlier Deployment of this name stays until its pods are gone.
        """
        template, collisions = stored.object["spec"]["template"], _collisions(stored)
        while True:
            digest = template_hash(template, collisions)
            name = f"{stored.key[1]}-{digest}"
            if self._registry.store.get(REPLICA_SETS, stored.key[0], name) is None:
                return digest, collisions
            collisions += 1

    def _renew(
        self, stored: StoredObject, new: StoredObject, sets: Sequence[StoredObject]
    ) -> StoredObject:
        """Make the ReplicaSet of an earlier template, which is back, the latest revision."""
        latest = max(_revision(found) for found in sets)
        if _revision(new) < latest:
            latest += 1
            self._registry.change(new, lambda item: _mark(item, latest))
        if _revision(stored) == latest:
            return stored
        return self._registry.change(stored, lambda item: _mark(item, latest))

    def _roll(self, stored: StoredObject, new: StoredObject, old: Sequence[StoredObject]) -> None:
        item = stored.object
        if item["spec"].get("paused"):
            if not any(found.object["spec"]["replicas"] for found in old):
                self._scale(stored, new, item["spec"]["replicas"])
            return
        sets = [new, *old]
        recreate = item["spec"]["strategy"]["type"] == "Recreate"
        # Recreate waits until the old pods are gone, a rolling update only for their numbers
        everything = (
            total(old, "replicas") + total(old, "terminatingReplicas") + _wanted([new])
            if recreate
            else _wanted(sets)
        )
        size = new_set_size(item, _wanted([new]), everything)
        self._scale(stored, new, size)
        if _wanted(old):
            self._shrink(stored, new, old)
        else:
            self._forget_old(stored, old)

    def _shrink(self, stored: StoredObject, new: StoredObject, old: Sequence[StoredObject]) -> None:
        item, present = stored.object, self._registry.read(REPLICA_SETS, *new.key)
        unavailable = _wanted([present]) - total([present], "availableReplicas")
        room = old_sets_cut(item, _wanted([present, *old]), _wanted([present]), unavailable)
        _, may_lack = resolve(item)
        spare = total([present, *old], "availableReplicas") - (item["spec"]["replicas"] - may_lack)
        for found in sorted(old, key=_revision):
            wanted, available = _wanted([found]), total([found], "availableReplicas")
            unhealthy = min(room, wanted - min(wanted, available))
            healthy = max(0, min(room - unhealthy, wanted - unhealthy, spare))
            if item["spec"]["strategy"]["type"] == "Recreate":
                unhealthy, healthy = wanted, 0
            room, spare = room - unhealthy - healthy, spare - healthy
            self._scale(stored, found, wanted - unhealthy - healthy)

    def _scale(self, stored: StoredObject, found: StoredObject, size: int) -> None:
        before = found.object["spec"]["replicas"]
        notes = _sizes(stored.object)
        known = found.object["metadata"].get("annotations") or {}
        if before == size and notes.items() <= known.items():
            return

        def edit(item: Object) -> None:
            item["spec"]["replicas"] = size
            item["metadata"].setdefault("annotations", {}).update(notes)

        self._registry.change(found, edit)
        if before != size:
            self._say_scaled(stored, found.key[1], before, size)

    def _say_scaled(self, stored: StoredObject, name: str, before: int, after: int) -> None:
        way = "up" if after > before else "down"
        words = f"Scaled {way} replica set {name} from {before} to {after}"
        self._recorder.legacy(stored, "ScalingReplicaSet", words, source=_EVENT_SOURCE_DEPLOYMENT)

    def _forget_old(self, stored: StoredObject, old: Sequence[StoredObject]) -> None:
        kept = stored.object["spec"].get("revisionHistoryLimit", 10)
        idle = sorted((found for found in old if not total([found], "replicas")), key=_revision)
        for found in idle[: max(0, len(idle) - kept)]:
            self._registry.delete(REPLICA_SETS, *found.key)


def _collisions(stored: StoredObject) -> int:
    return int(stored.object["status"].get("collisionCount") or 0)


def _mark(item: Object, revision: int) -> None:
    item["metadata"].setdefault("annotations", {})[REVISION] = str(revision)


def _wanted(sets: Sequence[StoredObject]) -> int:
    return sum(int(found.object["spec"]["replicas"]) for found in sets)


def _revision(found: StoredObject) -> int:
    return int((found.object["metadata"].get("annotations") or {}).get(REVISION, 0))


def _sizes(item: Object) -> dict[str, str]:
    """The annotations that tell a ReplicaSet how large its Deployment should be."""
    surge, _ = resolve(item)
    inherited = {
        key: value
        for key, value in (item["metadata"].get("annotations") or {}).items()
        if key not in {REVISION, _DESIRED_REPLICAS, _MAX_REPLICAS, _LAST_APPLIED}
    }
    replicas = item["spec"]["replicas"]
    return inherited | {_DESIRED_REPLICAS: str(replicas), _MAX_REPLICAS: str(replicas + surge)}


def _reference(stored: StoredObject) -> Object:
    return {
        "apiVersion": stored.resource.group_version,
        "kind": stored.resource.kind,
        "name": stored.key[1],
        "uid": stored.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
