"""Objects, their versions and a bounded history: what etcd and the watch cache are for the API.

Stored objects are never changed in place: an update puts a new dictionary in the old one's
place, so parts may be shared and encoded bytes kept. Listeners are called synchronously.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from agentdash.demo.kubesim.resources import Resource

Object = dict[str, Any]
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
)


@dataclass(frozen=True, slots=True)
class FieldManager:
    """Who last set `spec.replicas`, for conflicts of server-side apply."""

    name: str
    operation: str
    subresource: str = ""


class StoredObject:
    """One version of one object, with its JSON made at most once."""

    __slots__ = ("_item", "key", "manager", "object", "resource", "version")

    def __init__(
        self, resource: Resource, item: Object, version: int, manager: FieldManager | None
    ) -> None:
        self.resource, self.object, self.version, self.manager = resource, item, version, manager
        metadata = item["metadata"]
        self.key: Key = (metadata.get("namespace", ""), metadata["name"])
        self._item: bytes | None = None

    def item(self) -> bytes:
        """The object as it stands in a list: without kind and apiVersion."""
        if self._item is None:
            self._item = _encode(self.object)
        return self._item

    def full(self) -> bytes:
        """The object as GET and watch send it."""
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
        """The resourceVersion this write made."""
        return self.new.version


class Watcher:
    """A reader's queue of changes of one resource; `closed` when it fell behind or was dropped."""

    def __init__(self, limit: int) -> None:
        self.changes: deque[Change] = deque()
        self.woken = asyncio.Event()
        self.closed = False
        self._limit = limit

    def put(self, change: Change) -> None:
        """Queue a change; a reader `limit` changes behind is given up, as the real server does."""
        self.changes.append(change)
        if len(self.changes) > self._limit:
            self.close()
        self.woken.set()

    def close(self) -> None:
        """End the watch now; what is queued is lost, as with a connection."""
        self.closed = True
        self.woken.set()


class ResourceObjects:
    """One resource's objects, ordered keys and recent changes."""

    def __init__(self, history: int, floor: int) -> None:
        self.objects: dict[Key, StoredObject] = {}
        self.keys: list[Key] = []
        self.changes: deque[Change] = deque()
        self.watchers: set[Watcher] = set()
        self.floor = floor  # the oldest version a watch may resume from
        self._history = history

    def record(self, change: Change) -> None:
        """Keep the change for watches that resume, forgetting the oldest beyond the limit."""
        self.changes.append(change)
        if len(self.changes) > self._history:
            self.floor = self.changes.popleft().version
        for watcher in self.watchers:
            watcher.put(change)

    def forget_until(self, version: int) -> None:
        """Compaction: changes up to `version` are gone."""
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
        """The objects as they were at `version`: later changes undone."""
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
    """Every object of the cluster under one counter of versions."""

    def __init__(self, *, first_version: int, history: int) -> None:
        self.version = first_version
        self._history = history
        self._first = first_version
        self._shelves: dict[Resource, ResourceObjects] = {}
        self._listeners: list[Callable[[Change], None]] = []
        self._progress = asyncio.Event()

    def shelf(self, resource: Resource) -> ResourceObjects:
        """The resource's shelf, made when first asked for."""
        if resource not in self._shelves:
            self._shelves[resource] = ResourceObjects(self._history, self._first)
        return self._shelves[resource]

    def subscribe(self, listener: Callable[[Change], None]) -> None:
        """Call `listener` after every write, in order."""
        self._listeners.append(listener)

    def get(self, resource: Resource, namespace: str, name: str) -> StoredObject | None:
        """The object's present version, if it exists."""
        return self.shelf(resource).objects.get((namespace, name))

    def each(self, resource: Resource, namespace: str = "") -> Iterator[StoredObject]:
        """Present objects of a namespace ("" for all) in key order."""
        shelf = self.shelf(resource)
        return (shelf.objects[key] for key in list(shelf.span(namespace)))

    def create(
        self, resource: Resource, item: Object, manager: FieldManager | None = None
    ) -> StoredObject:
        """Add a complete object; the caller has made sure that its key is free."""
        stored = self._next(resource, item, manager)
        shelf = self.shelf(resource)
        shelf.objects[stored.key] = stored
        insort(shelf.keys, stored.key)
        self._publish(Change("ADDED", stored, None))
        return stored

    def update(
        self, old: StoredObject, item: Object, manager: FieldManager | None = None
    ) -> StoredObject:
        """Replace `old`, which must be the present version. No difference: no new version."""
        if _same(old.object, item):
            return old
        stored = self._next(old.resource, item, manager or old.manager)
        self.shelf(old.resource).objects[old.key] = stored
        self._publish(Change("MODIFIED", stored, old))
        return stored

    def delete(self, old: StoredObject) -> StoredObject:
        """Remove `old`, which must be the present version."""
        stored = self._next(old.resource, old.object, old.manager)
        shelf = self.shelf(old.resource)
        del shelf.objects[old.key]
        del shelf.keys[bisect_left(shelf.keys, old.key)]
        self._publish(Change("DELETED", stored, old))
        return stored

    def compact(self, version: int | None = None) -> None:
        """Forget history up to `version` (now by default): older watches and pages get 410."""
        for shelf in self._shelves.values():
            shelf.forget_until(self.version if version is None else version)

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
        ordered = {key: metadata[key] for key in _METADATA_ORDER if metadata.get(key) is not None}
        return StoredObject(resource, item | {"metadata": ordered}, self.version, manager)

    def _publish(self, change: Change) -> None:
        self._progress.set()
        self.shelf(change.new.resource).record(change)
        for listener in self._listeners:
            listener(change)


def _same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Equal but for the version, which a writer may leave out."""
    if old.keys() != new.keys():
        return False
    if any(old[key] is not new[key] and old[key] != new[key] for key in old if key != "metadata"):
        return False
    dropped = ("resourceVersion", "managedFields", "selfLink")
    before = {key: value for key, value in old["metadata"].items() if key not in dropped}
    after = {key: value for key, value in new["metadata"].items() if key not in dropped}
    return before == {key: value for key, value in after.items() if value is not None}
