"""Objects, their versions and a bounded history: the part of etcd and the watch cache. How they are
created, changed and deleted by the API server's rules, for HTTP and for controllers; and Events.

Stored objects are never changed in place: an update replaces the dictionary, so parts may be shared
and encoded bytes kept. Listeners are called synchronously.
"""

from __future__ import annotations

import asyncio
import copy
import random
import time
import uuid
from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any, Final, Literal, NamedTuple

import msgspec

from agentdash.demo.cluster.objects import (
    DEPLOYMENTS,
    EVENTS,
    EVENTS_V1,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SCALABLE,
    STATEFUL_SETS,
    Kind,
    Object,
    already_exists,
    bad_request,
    conflict,
    expired,
    invalid,
    is_terminating,
    micro_stamp,
    not_found,
    stamp,
)

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


@dataclass
class _Collection:
    """One kind's objects, ordered keys, recent changes (from `floor`) and watchers."""

    floor: int
    objects: dict[Key, StoredObject]
    keys: list[Key]
    changes: deque[Change]
    watchers: set[asyncio.Event]


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
        """A namespace's objects ("" for all), in lists' order, without deleted ones."""
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

    def changes(self, kind: Kind, since: int) -> list[Change]:
        """The changes of a kind after `since`. Raises StatusError 410 if some are not kept."""
        collection = self._collections[kind]
        if since < collection.floor:
            raise expired(f"too old resource version: {since} ({collection.floor})")
        later = takewhile(lambda change: change.new.version > since, reversed(collection.changes))
        return list(later)[::-1]

    def watchers(self, kind: Kind) -> set[asyncio.Event]:
        """They are set by each change of this kind."""
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
        for woken in collection.watchers:
            woken.set()
        for listener in self._listeners:
            listener(change)


def controller_of(stored: StoredObject) -> dict[str, str] | None:
    """The owner reference that is marked as controller, if any."""
    references = stored.object["metadata"].get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def _is_same(old: Object, new: Object) -> bool:
    """Whether they are equal apart from the version, which a writer may leave out."""
    before, after = (
        {key: value for key, value in each["metadata"].items() if value is not None}
        for each in (old, new)
    )
    version = {"resourceVersion": ""}
    return old | {"metadata": before | version} == new | {"metadata": after | version}


SUFFIX_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
"""Those of generated names (apimachinery util/rand): no vowels, no 0 1 3."""
_INT32: Final = 2**31
_OF_SERVER: Final = (
    *("uid", "resourceVersion", "generation", "creationTimestamp"),
    *("deletionTimestamp", "deletionGracePeriodSeconds", "managedFields"),
)


class FieldManager(NamedTuple):
    """Who writes: the field manager, by an Update or an Apply, and through which subresource."""

    name: str = "demo"
    operation: str = "Update"
    subresource: str = ""


OF_CLUSTER: Final = FieldManager()


class Registry:
    """The only writer of the store."""

    def __init__(self, store: Store, rng: random.Random) -> None:
        self.store, self._rng = store, rng
        self.admit: Callable[[Object], None] = lambda _: None
        """Raises StatusError for a new pod that may not be."""

    def read(self, kind: Kind, namespace: str, name: str) -> StoredObject:
        """The present version; raises StatusError 404."""
        stored = self.store.get(stored_as(kind), namespace, name)
        if stored is None:
            raise not_found(kind, name)
        return stored

    def create(
        self, kind: Kind, namespace: str, item: Object, writer: FieldManager = OF_CLUSTER
    ) -> StoredObject:
        """Complete, check and store a new object, taken over. Raises StatusError 400, 404, 409,
        422.
        """
        item = {key: value for key, value in item.items() if key not in {"kind", "apiVersion"}}
        given = item.get("metadata") or {}
        metadata = {key: value for key, value in given.items() if key not in _OF_SERVER}
        item["metadata"] = metadata
        if not metadata.get("name"):
            metadata["name"] = metadata.get("generateName", "") + "".join(
                self._rng.choices(SUFFIX_LETTERS, k=5)
            )
        if kind.namespaced:
            metadata["namespace"] = namespace
            if self.store.get(NAMESPACES, "", namespace) is None:
                raise not_found(NAMESPACES, namespace)
        kept, name = stored_as(kind), metadata["name"]
        _fill_in(kept, item)
        if self.store.get(kept, metadata.get("namespace", ""), name) is not None:
            raise already_exists(kind, name)
        # the same in every run with the same seed
        uid = uuid.UUID(int=self._rng.getrandbits(128), version=4)
        metadata |= {"uid": str(uid), "creationTimestamp": stamp()}
        if kind.has_generations:
            metadata["generation"] = 1
        if kind in SCALABLE:
            metadata["managedFields"] = [_managed(kind, writer)]
        if kind is PODS:
            self.admit(item)
        return self.store.create(kept, item)

    def patch(
        self, old: StoredObject, body: Mapping[str, Any], writer: FieldManager = OF_CLUSTER
    ) -> StoredObject:
        """Change an object by a JSON merge patch; the status and what the server owns stay.

        Raises StatusError 409 for another version than that of the body, 422 for a bad size.
        """
        version = (body.get("metadata") or {}).get("resourceVersion")
        if version and version != str(old.version):
            raise conflict(old.kind, old.key[1])
        item = merged(old.object, body)
        before = old.object["metadata"]
        metadata = {key: value for key, value in item["metadata"].items() if key not in _OF_SERVER}
        metadata |= {
            key: before[key] for key in ("name", "namespace", *_OF_SERVER) if key in before
        }
        item = {key: value for key, value in item.items() if key not in {"kind", "apiVersion"}}
        item["metadata"] = metadata
        if "status" in old.object:
            item["status"] = old.object["status"]
        if old.kind in SCALABLE:
            # a field that a patch sets to null has its default again
            item["spec"] = copy.deepcopy(item["spec"])
            _fill_in(old.kind, item)
            if item["spec"]["replicas"] != old.object["spec"]["replicas"]:
                metadata["managedFields"] = [_managed(old.kind, writer)]
        if old.kind.has_generations and item.get("spec") != old.object.get("spec"):
            metadata["generation"] = before["generation"] + 1
        return self.store.update(old, item)

    def change(self, old: StoredObject, edit: Callable[[Object], object]) -> StoredObject:
        """Change anything for a controller: `edit` changes a copy."""
        item = copy.deepcopy(old.object)
        edit(item)
        if old.kind.has_generations and item.get("spec") != old.object.get("spec"):
            item["metadata"]["generation"] += 1
        return self.store.update(old, item)

    def set_status(self, old: StoredObject, status: Object) -> StoredObject:
        """Write a status for a controller: without checks or a copy."""
        return self.store.update(old, old.object | {"status": status})

    def delete(
        self, kind: Kind, namespace: str, name: str, *, grace_s: int | None = None
    ) -> StoredObject:
        """Delete an object; a pod only begins to stop, for its own grace period unless `grace_s`
        says another one, and is deleted at the second call or with a period of 0. Returns its last
        version. Raises StatusError 404.
        """
        stored = self.read(kind, namespace, name)
        return self._stop(stored, grace_s) if kind is PODS else self.store.delete(stored)

    def _stop(self, stored: StoredObject, grace_s: int | None) -> StoredObject:
        pod, metadata = stored.object, stored.object["metadata"]
        if grace_s is None:
            grace_s = int(pod["spec"]["terminationGracePeriodSeconds"])
        if grace_s == 0 or not pod["spec"].get("nodeName"):
            if is_terminating(pod):
                over = metadata | {"deletionGracePeriodSeconds": 0}
                stored = self.store.update(stored, pod | {"metadata": over})
            return self.store.delete(stored)  # nothing runs that needs time to stop
        if is_terminating(pod):
            return stored
        marked = metadata | {
            "deletionTimestamp": stamp(datetime.now(UTC) + timedelta(seconds=grace_s)),
            "deletionGracePeriodSeconds": grace_s,
            "generation": metadata["generation"] + 1,
        }
        return self.store.update(stored, pod | {"metadata": marked})


def stored_as(kind: Kind) -> Kind:
    """The kind under which these objects are stored: events.k8s.io/v1 shows core events."""
    return EVENTS if kind is EVENTS_V1 else kind


def merged(target: Any, change: Any) -> Any:
    """RFC 7386: null removes a field, a list replaces a list. Nothing is changed in place."""
    if not isinstance(change, Mapping):
        return change
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in change.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def _managed(kind: Kind, writer: FieldManager) -> Object:
    """The entry of metadata.managedFields for the last writer of `spec.replicas`, the only field
    that has one here. The real server notes no time for a write of the scale subresource.
    """
    at = {"subresource": writer.subresource} if writer.subresource else {"time": stamp()}
    return {
        "manager": writer.name,
        "operation": writer.operation,
        "apiVersion": kind.group_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
        **at,
    }


def _fill_in(kind: Kind, item: Object) -> None:
    """Add the defaults of the kind (k8s.io/kubernetes/pkg/apis/*/v1/defaults.go), as far as they
    are read. Raises StatusError 400 or 422.
    """
    try:
        if kind is NAMESPACES:
            name = {"kubernetes.io/metadata.name": item["metadata"]["name"]}
            item["metadata"]["labels"] = (item["metadata"].get("labels") or {}) | name
            item |= {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
        elif kind is PODS:
            _fill_in_pod(item["spec"])
            item["status"] = {"phase": "Pending"}
        elif kind in SCALABLE:
            _fill_in_scalable(kind, item)
    except (KeyError, TypeError, AttributeError) as error:
        raise bad_request(f"missing or misplaced field: {error}") from error


def _fill_in_pod(spec: Object) -> None:
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        resources = container.setdefault("resources", {})
        if resources.get("limits"):
            # a limit without a request is a request of the same size
            resources["requests"] = {**resources["limits"], **(resources.get("requests") or {})}
    _set(spec, restartPolicy="Always", terminationGracePeriodSeconds=30)


def _fill_in_scalable(kind: Kind, item: Object) -> None:
    spec = item["spec"]
    _set(spec, replicas=1)
    check_size(spec["replicas"], item["metadata"]["name"], kind)
    _set(spec["template"], metadata={})
    _fill_in_pod(spec["template"]["spec"])
    if kind is STATEFUL_SETS:
        _set(spec, podManagementPolicy="OrderedReady")
    elif kind is DEPLOYMENTS:
        _set(spec, strategy={})
        _set(spec["strategy"], type="RollingUpdate")
        if spec["strategy"]["type"] == "RollingUpdate":
            _set(spec["strategy"], rollingUpdate={})
            _set(spec["strategy"]["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")
    if kind is REPLICA_SETS or kind is STATEFUL_SETS:
        item.setdefault("status", {"replicas": 0})
    item.setdefault("status", {})


def check_size(replicas: object, name: str, kind: Kind) -> None:
    """Raise StatusError 400 for what is no int32, 422 for a negative size."""
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas >= _INT32:
        raise bad_request(f"{kind.name}.spec.replicas of {name} is no int32: {replicas!r}")
    if replicas < 0:
        words = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise invalid(name, kind.group, kind.name, "spec.replicas", words)


def _set(target: Object, **defaults: Any) -> None:
    for name, value in defaults.items():
        if target.get(name) is None:
            target[name] = value


_KEPT_EVENTS: Final = 10_000  # the real server forgets them after an hour
_IN_V1: Final = {
    "involvedObject": "regarding",
    "message": "note",
    "reportingComponent": "reportingController",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
}
_IN_CORE: Final = {shown: stored for stored, shown in _IN_V1.items()}
_ALWAYS_THERE: Final[Object] = {
    "involvedObject": {},
    "source": {},
    "firstTimestamp": None,
    "lastTimestamp": None,
    "eventTime": None,
    "reportingComponent": "",
    "reportingInstance": "",
}


def incoming(kind: Kind, item: Object) -> Object:
    """A body as it is stored: an Event becomes a core Event with all fields of one."""
    return _ALWAYS_THERE | renamed(kind, item) if kind in {EVENTS, EVENTS_V1} else item


def renamed(kind: Kind, item: Object) -> Object:
    """A body, or a part of one, with the names of fields under which it is stored."""
    if kind is not EVENTS_V1:
        return item
    return {_IN_CORE.get(key, key): value for key, value in item.items()}


def json_of(kind: Kind, stored: StoredObject) -> bytes:
    """The JSON of a stored object as `kind` shows it, without kind and apiVersion."""
    if kind is stored.kind:
        return stored.json()
    return msgspec.json.encode({_IN_V1.get(key, key): each for key, each in stored.object.items()})


class EventRecorder:
    """Writes Events; the same words about the same object are one with a count."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[tuple[str, str, str], Key] = {}
        self._last_ns = 0

    def say(
        self,
        about: StoredObject,
        reason: str,
        message: str,
        by: str,
        *,
        is_warning: bool = False,
        host: str = "",
        action: str = "",
    ) -> None:
        """Write an Event by `by`; with an `action` in the newer form, as schedulers do."""
        if self._registry.store.get(NAMESPACES, "", about.key[0]) is None:
            return
        words = (about.uid, reason, message)
        known = self._registry.store.get(EVENTS, *self._known.get(words, ("", "")))
        if known is not None:
            self._registry.store.update(known, known.object | _once_more(known.object))
            return
        now = stamp()
        if action:
            body: Object = {"source": {}, "firstTimestamp": None, "lastTimestamp": None}
            body |= {"eventTime": micro_stamp(), "action": action, "reportingInstance": f"{by}-vm"}
        else:
            body = {"source": {"component": by} | ({"host": host} if host else {}), "count": 1}
            body |= {"firstTimestamp": now, "lastTimestamp": now, "eventTime": None}
            body |= {"reportingInstance": host}
        body |= {"type": "Warning" if is_warning else "Normal", "reportingComponent": by}
        self._known[words] = self._write(about, body | {"reason": reason, "message": message})
        if len(self._known) > _KEPT_EVENTS:
            oldest = self._registry.store.get(EVENTS, *self._known.pop(next(iter(self._known))))
            if oldest is not None:
                self._registry.store.delete(oldest)

    def _write(self, about: StoredObject, body: Object) -> Key:
        # a name ends in the time in nanoseconds, which no two events may share
        self._last_ns = max(self._last_ns + 1, time.time_ns())
        namespace, name = about.key
        involved = {
            "kind": about.kind.name,
            "namespace": namespace,
            "name": name,
            "uid": about.uid,
            "apiVersion": about.kind.group_version,
            "resourceVersion": about.object["metadata"]["resourceVersion"],
        }
        body |= {"metadata": {"name": f"{name}.{self._last_ns:x}"}, "involvedObject": involved}
        return self._registry.create(EVENTS, namespace, body).key


def _once_more(event: Object) -> Object:
    """What changes in an event that happens again."""
    if "count" in event:
        return {"count": event["count"] + 1, "lastTimestamp": stamp()}
    count = (event.get("series") or {"count": 1})["count"] + 1
    return {"series": {"count": count, "lastObservedTime": micro_stamp()}}
