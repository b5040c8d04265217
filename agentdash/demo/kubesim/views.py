"""Events under both of their addresses: stored as core/v1, also shown as events.k8s.io/v1."""

from __future__ import annotations

from typing import Any

import msgspec

from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.resources import EVENTS_V1, Resource
from agentdash.demo.kubesim.store import StoredObject, head_of

_RENAMED = {
    "involvedObject": "regarding",
    "message": "note",
    "reportingComponent": "reportingController",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
}
_BACK = {shown: stored for stored, shown in _RENAMED.items()}
_ALWAYS_THERE: tuple[tuple[str, Any], ...] = (
    ("source", {}),
    ("firstTimestamp", None),
    ("lastTimestamp", None),
    ("eventTime", None),
    ("reportingComponent", ""),
    ("reportingInstance", ""),
)


def incoming(resource: Resource, item: Object) -> Object:
    """A body as it is stored: an Event becomes a core Event with all fields of one."""
    if resource is EVENTS_V1:
        item = {_BACK.get(key, key): value for key, value in item.items()}
    if resource.plural == "events":
        for key, value in _ALWAYS_THERE:
            item.setdefault(key, value)
        item.setdefault("involvedObject", {})
    return item


def shown(resource: Resource, item: Object) -> Object:
    """A stored object as `resource` shows it, without kind and apiVersion."""
    if resource is not EVENTS_V1:
        return item
    return {_RENAMED.get(key, key): value for key, value in item.items()}


def item_bytes(resource: Resource, stored: StoredObject) -> bytes:
    """The object as a list of `resource` shows it."""
    if resource is stored.resource:
        return stored.item()
    return msgspec.json.encode(shown(resource, stored.object))


def full_bytes(resource: Resource, stored: StoredObject) -> bytes:
    """The object as GET and watches of `resource` show it."""
    if resource is stored.resource:
        return stored.full()
    return head_of(resource) + item_bytes(resource, stored)[1:]
