"""Events: as the cluster's components write them, and under both of their addresses."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from typing import Any, Final

import msgspec

from agentdash.demo.cluster.kinds import EVENTS, EVENTS_V1, NAMESPACES, Kind, Object
from agentdash.demo.cluster.objects import micro_stamp, stamp
from agentdash.demo.cluster.registry import Registry
from agentdash.demo.cluster.store import Key, StoredObject

_KEPT_EVENTS: Final = 10_000  # the real server forgets them after an hour
_KEPT_REPEATS: Final = 4096
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
    """Writes what components say about objects. The same words about the same object are one Event
    with a count.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: OrderedDict[tuple[str, str, str], Key] = OrderedDict()
        self._written: deque[Key] = deque()
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
        """Write an Event of the component `by`; with an `action` in the newer form, as the
        scheduler does.
        """
        if self._registry.store.get(NAMESPACES, "", about.key[0]) is None:
            return
        words = (about.uid, reason, message)
        known = self._registry.store.get(EVENTS, *self._known.get(words, ("", "")))
        if known is not None:
            self._registry.store.update(known, known.object | _once_more(known.object))
            return
        now = stamp()
        body: Object = {"source": {"component": by} | ({"host": host} if host else {})}
        body |= {"firstTimestamp": now, "lastTimestamp": now, "count": 1, "eventTime": None}
        if action:
            body = {"source": {}, "firstTimestamp": None, "lastTimestamp": None}
            body |= {"eventTime": micro_stamp(), "action": action}
        body |= {"type": "Warning" if is_warning else "Normal", "reportingComponent": by}
        body["reportingInstance"] = f"{by}-vm" if action else host
        self._keep(words, self._write(about, body | {"reason": reason, "message": message}))

    def _write(self, about: StoredObject, body: Object) -> Key:
        # a name ends in the time in nanoseconds, which no two events may share
        self._last_ns = max(self._last_ns + 1, time.time_ns())
        metadata: dict[str, Any] = about.object["metadata"]
        involved = {
            "kind": about.kind.name,
            "namespace": about.key[0],
            "name": about.key[1],
            "uid": about.uid,
            "apiVersion": about.kind.group_version,
            "resourceVersion": metadata["resourceVersion"],
        }
        name = {"metadata": {"name": f"{about.key[1]}.{self._last_ns:x}"}}
        return self._registry.create(
            EVENTS, about.key[0], name | {"involvedObject": involved} | body
        ).key

    def _keep(self, words: tuple[str, str, str], key: Key) -> None:
        self._known[words] = key
        self._written.append(key)
        if len(self._known) > _KEPT_REPEATS:
            self._known.popitem(last=False)
        if len(self._written) > _KEPT_EVENTS:
            oldest = self._registry.store.get(EVENTS, *self._written.popleft())
            if oldest is not None:
                self._registry.store.delete(oldest)


def _once_more(event: Object) -> Object:
    """What changes in an event that happens again."""
    if "count" in event:
        return {"count": event["count"] + 1, "lastTimestamp": stamp()}
    count = (event.get("series") or {"count": 1})["count"] + 1
    return {"series": {"count": count, "lastObservedTime": micro_stamp()}}
