"""Objects, their versions and a bounded history: the part of etcd and the watch cache.

Stored objects are never changed in place: an update replaces the dictionary, so parts may be shared
and encoded bytes kept. Listeners are called synchronously.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from agentdash.demo.cluster.objects import Kind, Object

Key = tuple[str, str]
"""Namespace ("" for objects of the whole cluster) and name."""


class StoredObject:
    """One version of one object; its JSON is made at most once."""

    __slots__ = ("_json", "key", "kind", "object", "version")

    def __init__(self, kind: Kind, item: Object, version: int) -> None:
        self.kind, self.object, self.version = kind, item, version
        metadata = item["metadata"]
        self.key: Key = (metadata.get("namespace", ""), metadata["name"])
        self._json: bytes | None = None

    @property
    def uid(self) -> str:
        """The object's uid."""
        return str(self.object["metadata"]["uid"])

    def json(self) -> bytes:
        """The object without kind and apiVersion, as lists show it."""
        if self._json is None:
            self._json = msgspec.json.encode(self.object)
        return self._json


class Change(NamedTuple):
    """One write: the version after it and the one before."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    new: StoredObject
    old: StoredObject | None


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


@dataclass
class _Collection:
    """The objects of one kind, their keys in order, recent changes, and who watches them. A watch
    may resume from `floor` or later.
    """

    floor: int
    objects: dict[Key, StoredObject]
    keys: list[Key]
    changes: deque[Change]
    watchers: set[Watcher]


class Store:
    """Every object of the cluster; all kinds share one counter of versions."""

    def __init__(self, *, first_version: int, history: int) -> None:
        """`history` is the number of changes that are kept for each kind."""
        self.version = first_version
        self.history = history
        self._collections: defaultdict[Kind, _Collection] = defaultdict(
            lambda: _Collection(first_version, {}, [], deque(), set())
        )
        self._owned: defaultdict[str, dict[tuple[Kind, Key], None]] = defaultdict(dict)
        self._listeners: list[Callable[[Change], None]] = []

    def subscribe(self, listener: Callable[[Change], None]) -> None:
        """Call `listener` after every write, in order."""
        self._listeners.append(listener)

    def get(self, kind: Kind, namespace: str, name: str) -> StoredObject | None:
        """The object's present version, if it exists."""
        return self._collections[kind].objects.get((namespace, name))

    def each(self, kind: Kind, namespace: str = "") -> Iterator[StoredObject]:
        """The present objects of a namespace ("" for all), in the order in which lists have them;
        one that is deleted meanwhile is left out.
        """
        collection = self._collections[kind]
        keys = collection.keys
        first, last = 0, len(keys)
        if namespace:
            first = bisect_left(keys, (namespace, ""))
            last = bisect_left(keys, (namespace + "\0", ""))
        for key in keys[first:last]:
            if (found := collection.objects.get(key)) is not None:
                yield found

    def owned(self, uid: str, kind: Kind | None = None) -> list[StoredObject]:
        """The present objects, of one kind or of all, whose controller has this uid."""
        found = (self.get(each, *key) for each, key in self._owned.get(uid, ()))
        return [each for each in found if each is not None and kind in {None, each.kind}]

    def create(self, kind: Kind, item: Object) -> StoredObject:
        """Add a complete object; the caller has made sure that its key is free."""
        stored = self._next(kind, item)
        collection = self._collections[kind]
        collection.objects[stored.key] = stored
        insort(collection.keys, stored.key)
        if owner := controller_of(stored):
            self._owned[owner["uid"]][kind, stored.key] = None
        self._publish(Change("ADDED", stored, None))
        return stored

    def update(self, old: StoredObject, item: Object) -> StoredObject:
        """Replace `old`, which must be the present version; an equal object is no new version."""
        if _is_same(old.object, item):
            return old
        stored = self._next(old.kind, item)
        self._collections[old.kind].objects[old.key] = stored
        self._publish(Change("MODIFIED", stored, old))
        return stored

    def delete(self, old: StoredObject) -> StoredObject:
        """Remove `old`, which must be the present version."""
        stored = self._next(old.kind, old.object)
        collection = self._collections[old.kind]
        del collection.objects[old.key]
        del collection.keys[bisect_left(collection.keys, old.key)]
        if owner := controller_of(old):
            self._owned[owner["uid"]].pop((old.kind, old.key), None)
        self._publish(Change("DELETED", stored, old))
        return stored

    def changes(self, kind: Kind, since: int) -> list[Change] | int:
        """All kept changes of a kind after `since`; where they are no longer kept, the oldest
        version that a watch may resume from.
        """
        collection = self._collections[kind]
        return collection.floor if since < collection.floor else list(collection.changes)

    def watchers(self, kind: Kind) -> set[Watcher]:
        """Who is told of each change of this kind."""
        return self._collections[kind].watchers

    def _next(self, kind: Kind, item: Object) -> StoredObject:
        self.version += 1
        metadata = item["metadata"] | {"resourceVersion": str(self.version)}
        kept = {key: value for key, value in metadata.items() if value is not None}
        return StoredObject(kind, item | {"metadata": kept}, self.version)

    def _publish(self, change: Change) -> None:
        collection = self._collections[change.new.kind]
        collection.changes.append(change)
        if len(collection.changes) > self.history:
            collection.floor = collection.changes.popleft().new.version
        for watcher in collection.watchers:
            watcher.put(change)
        for listener in self._listeners:
            listener(change)


def controller_of(stored: StoredObject) -> dict[str, str] | None:
    """The owner reference that is marked as controller, if any."""
    references = stored.object["metadata"].get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def _is_same(old: Object, new: Object) -> bool:
    """Whether they are equal apart from the version, which a writer may leave out."""
    if old.keys() != new.keys():
        return False
    if any(old[key] is not new[key] and old[key] != new[key] for key in old if key != "metadata"):
        return False
    before, after = (
        {key: value for key, value in each["metadata"].items() if value is not None}
        for each in (old, new)
    )
    return before | {"resourceVersion": ""} == after | {"resourceVersion": ""}
