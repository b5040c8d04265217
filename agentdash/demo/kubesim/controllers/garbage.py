"""Deletes what belongs to a deleted object: an owner's dependents, a namespace's objects, a node's
pods.
"""

from __future__ import annotations

from agentdash.demo.kubesim.controllers.workqueue import WorkQueue
from agentdash.demo.kubesim.registry import FOREGROUND, DeleteOptions, Registry
from agentdash.demo.kubesim.resources import (
    CONFIG_MAPS,
    CUSTOM_RESOURCES,
    EVENTS_V1,
    NAMESPACES,
    NODES,
    PODS,
    RESOURCES,
    SERVICE_ACCOUNTS,
    Resource,
)
from agentdash.demo.kubesim.store import Change, Key, StoredObject

_ROOT_CA = "kube-root-ca.crt"


class GarbageCollector:
    """The garbage collector, the namespace controller and the pod collector in one queue."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.queue: WorkQueue[tuple[Resource, Key, str]] = WorkQueue(self.sync)
        registry.store.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        new = change.new
        if (
            new.resource is NAMESPACES
            or (new.resource is NODES and change.type == "DELETED")
            or change.type == "DELETED"
            or FOREGROUND in _finalizers(new)
        ):
            self.queue.add((new.resource, new.key, new.uid))
        if change.type == "DELETED":
            self._wake_owners(new)

    def _wake_owners(self, gone: StoredObject) -> None:
        """Look at what may have waited for this deletion: its owners, and its namespace."""
        for reference in gone.object["metadata"].get("ownerReferences") or ():
            for resource in RESOURCES:
                if resource.kind == reference["kind"]:
                    key = (gone.key[0] if resource.namespaced else "", reference["name"])
                    self.queue.add((resource, key, reference["uid"]))
        if gone.key[0] and self._is_closing(gone.key[0]):
            self.queue.add((NAMESPACES, ("", gone.key[0]), ""))

    def _is_closing(self, namespace: str) -> bool:
        found = self._registry.store.get(NAMESPACES, "", namespace)
        return found is not None and found.object["status"]["phase"] == "Terminating"

    def sync(self, work: tuple[Resource, Key, str]) -> None:
        """Handle one object that changed or was deleted."""
        resource, key, uid = work
        stored = self._registry.store.get(resource, *key)
        if resource is NAMESPACES and stored is not None:
            self._tend_namespace(stored)
        elif resource is NODES and stored is None:
            for pod in sorted(self._registry.usage.pods_on[key[1]]):
                self._registry.delete(PODS, *pod, DeleteOptions(grace_s=0))
        elif stored is None or stored.uid != uid:
            self._delete_dependents(uid, "Background")
        elif FOREGROUND in _finalizers(stored):
            self._delete_dependents(uid, "Foreground")
            if not self._registry.owners.dependents(uid):
                self._release(stored)

    def _delete_dependents(self, uid: str, propagation: str) -> None:
        for dependent in self._registry.owners.dependents(uid):
            if "deletionTimestamp" not in dependent.object["metadata"]:
                how = "Background" if dependent.resource is PODS else propagation
                deletion = DeleteOptions(propagation=how)
                self._registry.delete(dependent.resource, *dependent.key, deletion)

    def _release(self, stored: StoredObject) -> None:
        kept = [name for name in _finalizers(stored) if name != FOREGROUND]
        metadata = stored.object["metadata"] | {"finalizers": kept or None}
        released = self._registry.store.update(stored, stored.object | {"metadata": metadata})
        if not kept:
            self._registry.store.delete(released)

    def _tend_namespace(self, stored: StoredObject) -> None:
        """Give a new namespace its account and root certificate; empty a deleted one."""
        name = stored.key[1]
        if stored.object["status"]["phase"] != "Terminating":
            for resource, item in (
                (SERVICE_ACCOUNTS, {"metadata": {"name": "default"}}),
                (CONFIG_MAPS, {"metadata": {"name": _ROOT_CA}, "data": {"ca.crt": ""}}),
            ):
                if self._registry.store.get(resource, name, item["metadata"]["name"]) is None:
                    self._registry.create(resource, name, item)
            return
        contents = [
            item
            for resource in (*RESOURCES, *CUSTOM_RESOURCES)
            if resource.namespaced and resource is not EVENTS_V1
            for item in self._registry.store.each(resource, name)
        ]
        for held in contents:
            if "deletionTimestamp" not in held.object["metadata"]:
                self._registry.delete(held.resource, *held.key)
        if not any(
            self._registry.store.get(held.resource, *held.key) is not None for held in contents
        ):
            self._registry.store.delete(stored)


def _finalizers(stored: StoredObject) -> list[str]:
    return list(stored.object["metadata"].get("finalizers") or ())
