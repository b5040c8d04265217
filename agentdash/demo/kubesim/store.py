"""Objects, their versions and a bounded history: the part of etcd and the watch cache.

Stored objects are never changed in place: an update replaces the dictionary, so parts may be shared
and encoded bytes kept. Listeners are called synchronously.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.resources import Resource

Key = tuple[str, str]  # namespace ("" for cluster scope) and name
ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]
_encode = msgspec.json.Encoder().encode
_METADATA_ORDER = (
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
)


@dataclass(frozen=True, slots=True)
class FieldManager:
    """The field manager that last set `spec.replicas`, and when. Of all fields only this one has a
    manager here, and only the last: an apply of the same value does not share it.
    """

    name: str
    operation: str
    subresource: str = ""
    time: str = ""

    def entry(self, api_version: str) -> Object:
        """The manager as an entry of metadata.managedFields."""
        found: Object = {
            "manager": self.name,
            "operation": self.operation,
            "apiVersion": api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:replicas": {}}},
        }
        # the API server notes no time for a write of the scale subresource
        more = {"subresource": self.subresource} if self.subresource else {"time": self.time}
        return found | more


class StoredObject:
    """One version of one object; its JSON is made at most once."""

    __slots__ = ("_item", "key", "manager", "object", "resource", "version")

    def __init__(
        self, resource: Resource, item: Object, version: int, manager: FieldManager | None
    ) -> None:
        self.resource, self.object, self.version, self.manager = resource, item, version, manager
        metadata = item["metadata"]
        self.key: Key = (metadata.get("namespace", ""), metadata["name"])
        self._item: bytes | None = None

    def item(self) -> bytes:
        """The object as lists show it: without kind and apiVersion."""
        if self._item is None:
            self._item = _encode(self.object)
        return self._item

    def full(self) -> bytes:
        """The object as GET and watches show it."""
        return head_of(self.resource) + self.item()[1:]

    @property
    def uid(self) -> str:
        """The object's uid."""
        return str(self.object["metadata"]["uid"])


def head_of(resource: Resource) -> bytes:
    """The beginning of an object of this kind; the rest of its JSON follows."""
    return f'{{"kind":"{resource.kind}","apiVersion":"{resource.group_version}",'.encode()


@dataclass(frozen=True, slots=True)
class Change:
    """One write: the version after it and the one before (the same object for DELETED)."""

    type: ChangeType
    new: StoredObject
    old: StoredObject | None

    @property
    def version(self) -> int:
        """The resourceVersion of this write."""
        return self.new.version


class Watcher:
    """The changes that one watch has still to send; `closed` when it fell behind or was dropped."""

    def __init__(self, limit: int) -> None:
        self.changes: deque[Change] = deque()
        self.woken = asyncio.Event()
        self.closed = False
        self._limit = limit

    def put(self, change: Change) -> None:
        """Queue a change. Like the real server, end a watch that is `limit` changes behind."""
        self.changes.append(change)
        if len(self.changes) > self._limit:
            self.close()
        self.woken.set()

    def close(self) -> None:
        """End the watch now; queued changes are lost, as with a broken connection."""
        self.closed = True
        self.woken.set()


class ObjectCollection:
    """One resource's objects, their keys in order, and recent changes."""

    def __init__(self, history: int, floor: int) -> None:
        self.objects: dict[Key, StoredObject] = {}
        self.keys: list[Key] = []
        self.changes: deque[Change] = deque()
        self.watchers: set[Watcher] = set()
        self.floor = floor  # the oldest version a watch may resume from
        self._history = history

    def record(self, change: Change) -> None:
        """Keep the change for watches that resume, and forget the oldest one beyond the limit."""
        self.changes.append(change)
        if len(self.changes) > self._history:
            self.floor = self.changes.popleft().version
        for watcher in self.watchers:
            watcher.put(change)

    def forget_until(self, version: int) -> None:
        """Forget changes up to `version`, as compaction does."""
        while self.changes and self.changes[0].version <= version:
            self.changes.popleft()
        self.floor = max(self.floor, version)

    def span(self, namespace: str) -> list[Key]:
        """The keys of a namespace ("" for all) in the order lists have them."""
        if not namespace:
            return self.keys
        start = bisect_left(self.keys, (namespace, ""))
        return self.keys[start : bisect_left(self.keys, (namespace + "\0", ""))]

    def at(self, version: int) -> dict[Key, StoredObject]:
        """The objects as they were at `version`."""
        objects = dict(self.objects)
        for change in reversed(self.changes):
            if change.version <= version:
                break
            if change.old is None:
                objects.pop(change.new.key, None)
            else:
                objects[change.new.key] = change.old
        return objects


class Store:
    """Every object of the cluster; all resources share one counter of versions."""

    def __init__(self, *, first_version: int, history: int) -> None:
        self.version = first_version
        self._history = history
        self._first = first_version
        self._collections: dict[Resource, ObjectCollection] = {}
        self._listeners: list[Callable[[Change], None]] = []
        self._progress = asyncio.Event()

    def collection(self, resource: Resource) -> ObjectCollection:
        """The resource's objects; the collection is made when it is first asked for."""
        if resource not in self._collections:
            self._collections[resource] = ObjectCollection(self._history, self._first)
        return self._collections[resource]

    def subscribe(self, listener: Callable[[Change], None]) -> None:
        """Call `listener` after every write, in order."""
        self._listeners.append(listener)

    def get(self, resource: Resource, namespace: str, name: str) -> StoredObject | None:
        """The object's present version, if it exists."""
        return self.collection(resource).objects.get((namespace, name))

    def each(self, resource: Resource, namespace: str = "") -> Iterator[StoredObject]:
        """Present objects of a namespace ("" for all) in key order."""
        collection = self.collection(resource)
        return (collection.objects[key] for key in list(collection.span(namespace)))

    def create(
        self, resource: Resource, item: Object, manager: FieldManager | None = None
    ) -> StoredObject:
        """Add a complete object; the caller has made sure that its key is free."""
        stored = self._next(resource, item, manager)
        collection = self.collection(resource)
        collection.objects[stored.key] = stored
        insort(collection.keys, stored.key)
        self._publish(Change("ADDED", stored, None))
        return stored

    def update(
        self, old: StoredObject, item: Object, manager: FieldManager | None = None
    ) -> StoredObject:
        """Replace `old`, which must be the present version; an equal object is no new version."""
        if _is_same(old.object, item):
            return old
        stored = self._next(old.resource, item, manager or old.manager)
        self.collection(old.resource).objects[old.key] = stored
        self._publish(Change("MODIFIED", stored, old))
        return stored

    def delete(self, old: StoredObject) -> StoredObject:
        """Remove `old`, which must be the present version."""
        stored = self._next(old.resource, old.object, old.manager)
        collection = self.collection(old.resource)
        del collection.objects[old.key]
        del collection.keys[bisect_left(collection.keys, old.key)]
        self._publish(Change("DELETED", stored, old))
        return stored

    def compact(self, version: int | None = None) -> None:
        """Forget history up to `version` (now by default): older watches and pages get 410."""
        for collection in self._collections.values():
            collection.forget_until(self.version if version is None else version)

    async def wait_for(self, version: int, timeout_s: float) -> bool:
        """Wait until `version` exists; False when it did not within the time."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.version < version:
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            return False
        return True

    def _next(self, resource: Resource, item: Object, manager: FieldManager | None) -> StoredObject:
        self.version += 1
        metadata = item["metadata"] | {"resourceVersion": str(self.version)}
        if manager is not None:
            metadata["managedFields"] = [manager.entry(resource.group_version)]
        ordered = {key: metadata[key] for key in _METADATA_ORDER if metadata.get(key) is not None}
        return StoredObject(resource, item | {"metadata": ordered}, self.version, manager)

    def _publish(self, change: Change) -> None:
        self._progress.set()
        self.collection(change.new.resource).record(change)
        for listener in self._listeners:
            listener(change)


def _is_same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether they are equal apart from the version, which a writer may leave out."""
    if old.keys() != new.keys():
        return False
    if any(old[key] is not new[key] and old[key] != new[key] for key in old if key != "metadata"):
        return False
    dropped = ("resourceVersion", "managedFields", "selfLink")
    before = {key: value for key, value in old["metadata"].items() if key not in dropped}
    after = {key: value for key, value in new["metadata"].items() if key not in dropped}
    return before == {key: value for key, value in after.items() if value is not None}
