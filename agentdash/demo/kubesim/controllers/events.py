"""Events as the components write them: repeated ones counted, too many similar ones combined."""

from __future__ import annotations

import time
from collections import OrderedDict, deque

from agentdash.demo.kubesim.clock import micro_stamp, stamp
from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.registry import Registry
from agentdash.demo.kubesim.resources import EVENTS, NAMESPACES
from agentdash.demo.kubesim.store import Key, StoredObject

# the real server forgets events after an hour; a number also bounds a busy demo
_KEPT_EVENTS = 10_000
_KEPT_GROUPS = 4096
_SIMILAR = 10  # client-go tools/record: after ten similar events, further ones are combined


class EventRecorder:
    """Writes Events about objects, in the old form (count) and in the new one (series)."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: OrderedDict[tuple[str, ...], Key] = OrderedDict()
        self._similar: OrderedDict[tuple[str, ...], int] = OrderedDict()
        self._written: deque[Key] = deque()
        self._last_ns = 0

    def legacy(
        self,
        about: StoredObject,
        reason: str,
        message: str,
        *,
        source: Object,
        type_: str = "Normal",
    ) -> None:
        """An Event of a controller or kubelet; `source` is {"component": ..., "host": ...}."""
        group = (about.uid, reason, type_, source["component"])
        similar = self._similar[group] = self._similar.pop(group, 0) + 1
        key = (*group, message if similar <= _SIMILAR else "combined")
        if similar > _SIMILAR:
            message = f"(combined from similar events): {message}"
        now = stamp()
        known = self._find(key)
        if known is not None:
            count = int(known.object.get("count", 1)) + 1
            seen = {"count": count, "lastTimestamp": now, "message": message}
            self._registry.store.update(known, known.object | seen)
            return
        body: Object = {
            "source": source,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": type_,
            "eventTime": None,
            "reportingComponent": source["component"],
            "reportingInstance": source.get("host", ""),
        }
        self._write(key, about, reason, message, body)

    def current(
        self,
        about: StoredObject,
        reason: str,
        message: str,
        *,
        action: str,
        controller: str,
        type_: str = "Normal",
    ) -> None:
        """An Event in the events.k8s.io/v1 form, as the scheduler writes them."""
        key = (about.uid, reason, type_, controller, message)
        known = self._find(key)
        now = micro_stamp()
        if known is not None:
            count = int((known.object.get("series") or {"count": 1})["count"]) + 1
            series = {"count": count, "lastObservedTime": now}
            self._registry.store.update(known, known.object | {"series": series})
            return
        body: Object = {
            "source": {},
            "firstTimestamp": None,
            "lastTimestamp": None,
            "type": type_,
            "eventTime": now,
            "action": action,
            "reportingComponent": controller,
            "reportingInstance": f"{controller}-vm",
        }
        self._write(key, about, reason, message, body)

    def _find(self, key: tuple[str, ...]) -> StoredObject | None:
        where = self._known.get(key)
        return None if where is None else self._registry.store.get(EVENTS, *where)

    def _write(
        self, key: tuple[str, ...], about: StoredObject, reason: str, message: str, body: Object
    ) -> None:
        namespace = about.key[0] or "default"
        if self._registry.store.get(NAMESPACES, "", namespace) is None:
            return  # the namespace is gone
        # a name ends in the time in nanoseconds, which no two events may share
        self._last_ns = max(self._last_ns + 1, time.time_ns())
        involved = {
            "kind": about.resource.kind,
            "namespace": about.key[0],
            "name": about.key[1],
            "uid": about.uid,
            "apiVersion": about.resource.group_version,
            "resourceVersion": str(about.version),
        }
        item = {
            "metadata": {"name": f"{about.key[1]}.{self._last_ns:x}", "namespace": namespace},
            "involvedObject": {name: value for name, value in involved.items() if value},
            "reason": reason,
            "message": message,
            **body,
        }
        if not about.key[0]:
            item["involvedObject"]["namespace"] = ""
        written = self._registry.write_event(item)
        self._known[key] = written.key
        for memory in (self._known, self._similar):
            while len(memory) > _KEPT_GROUPS:
                memory.popitem(last=False)
        self._written.append(written.key)
        while len(self._written) > _KEPT_EVENTS:
            oldest = self._registry.store.get(EVENTS, *self._written.popleft())
            if oldest is not None:
                self._registry.store.delete(oldest)
