"""Watches: changes since a version, further changes as they come, bookmarks, and a time limit."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Iterator

import msgspec

from agentdash.demo.kubesim import tables, views
from agentdash.demo.kubesim.calls import ApiCall
from agentdash.demo.kubesim.errors import (
    Cause,
    StatusError,
    expired,
    internal,
    invalid,
)
from agentdash.demo.kubesim.lists import ObjectFilter
from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.resources import Resource, stored_as
from agentdash.demo.kubesim.store import Change, Store, StoredObject, Watcher

_BOOKMARK_EVERY_S = 60.0
_BOOKMARK_BEFORE_END_S = 2.0
_SHORTEST_DEFAULT_S = (
    1800.0  # without timeoutSeconds, a watch lasts half an hour to an hour, at random
)
_INITIAL_END = {"k8s.io/initial-events-end": "true"}


class Watch:
    """One watch: its lines, and a switch that ends it early."""

    def __init__(
        self, store: Store, call: ApiCall, resource: Resource, rng: random.Random, limit: int
    ) -> None:
        """Check the query; raises StatusError 400, 422 or (for a bad version) 500."""
        self._store, self._resource = store, resource
        self._filter, self._form = ObjectFilter(call, resource), call.form
        self._include = call.query.get("includeObject", "Metadata")
        self._bookmarks = call.flag("allowWatchBookmarks")
        self._initial = call.flag("sendInitialEvents")
        if self._initial and call.query.get("resourceVersionMatch") != "NotOlderThan":
            words = (
                "Forbidden: resourceVersionMatch must be set to NotOlderThan when "
                "sendInitialEvents is set"
            )
            cause = Cause("FieldValueForbidden", words, "resourceVersionMatch")
            raise invalid("ListOptions", "meta.k8s.io", "", [cause])
        self._since = _since(call.query.get("resourceVersion", ""))
        given = call.number("timeoutSeconds", 0)
        self.timeout_s = given or _SHORTEST_DEFAULT_S * (1 + rng.random())
        self._watcher = Watcher(limit)
        self.broken = False
        self._columns_sent = False

    def end(self, *, clean: bool) -> None:
        """End the watch now; unless `clean`, by breaking the connection."""
        self.broken = self.broken or not clean
        self._watcher.close()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The lines, several at once where several are due."""
        loop = asyncio.get_running_loop()
        collection = self._store.collection(stored_as(self._resource))
        end = loop.time() + self.timeout_s
        next_bookmark = self._first_bookmark(loop.time(), end)
        collection.watchers.add(self._watcher)
        try:
            try:
                first = b"".join(self._beginning())
            except StatusError as error:
                yield _line("ERROR", msgspec.json.encode(error.status()))
                return
            if first:
                yield first
            while not self._watcher.closed and loop.time() < end:
                due = min(end, next_bookmark)
                try:
                    async with asyncio.timeout_at(due):
                        await self._watcher.woken.wait()
                except TimeoutError:
                    if loop.time() >= next_bookmark:
                        next_bookmark += _BOOKMARK_EVERY_S
                        yield self._bookmark({})
                    continue
                self._watcher.woken.clear()
                lines = b"".join(self._due_lines())
                if lines:
                    yield lines
        finally:
            collection.watchers.discard(self._watcher)

    def _first_bookmark(self, now: float, end: float) -> float:
        if not self._bookmarks:
            return float("inf")
        # shortly before the end, so that the next watch starts from a recent version
        before_end = max(end - _BOOKMARK_BEFORE_END_S, (now + end) / 2)
        return min(now + _BOOKMARK_EVERY_S, before_end)

    def _beginning(self) -> Iterator[bytes]:
        kept = stored_as(self._resource)
        collection = self._store.collection(kept)
        if self._since is None or self._initial:
            now = self._store.version
            if self._since is None or self._since <= now:
                self._since = now
            for stored in self._store.each(kept, self._filter.namespace):
                if self._filter.passes(stored):
                    yield _line("ADDED", self._render(stored))
            if self._initial and self._bookmarks:
                yield self._bookmark({"annotations": _INITIAL_END})
            return
        if self._since < collection.floor:
            if kept.watch_cached:
                raise expired(f"too old resource version: {self._since} ({collection.floor})")
            raise expired("The resourceVersion for the provided watch is too old.")
        for change in list(collection.changes):
            yield from self._lines_of(change)

    def _due_lines(self) -> Iterator[bytes]:
        while self._watcher.changes:
            yield from self._lines_of(self._watcher.changes.popleft())

    def _lines_of(self, change: Change) -> Iterator[bytes]:
        """The line of a change. An object that enters the selection is ADDED, one that leaves it is
        DELETED.
        """
        if self._since is None or change.version <= self._since:
            return
        after = self._filter.passes(change.new)
        before = change.old is not None and self._filter.passes(change.old)
        self._since = change.version
        if change.type == "DELETED":
            if before:
                yield _line("DELETED", self._render(change.new))
        elif after:
            yield _line("MODIFIED" if before else "ADDED", self._render(change.new))
        elif before and change.old is not None:
            gone = change.old.object["metadata"] | {"resourceVersion": str(change.version)}
            item = change.old.object | {"metadata": gone}
            left = StoredObject(change.old.resource, item, change.version, None)
            yield _line("DELETED", self._render(left))

    def _render(self, stored: StoredObject) -> bytes:
        if self._form == "object":
            return views.full_bytes(self._resource, stored)
        if self._form == "metadata":
            return msgspec.json.encode(tables.partial(stored.object))
        shown = tables.table(
            stored_as(self._resource),
            [stored.object],
            {"resourceVersion": str(stored.version)},
            self._include,
            with_columns=not self._columns_sent,
        )
        self._columns_sent = True
        return msgspec.json.encode(shown)

    def _bookmark(self, metadata: Object) -> bytes:
        item = {
            "kind": self._resource.kind,
            "apiVersion": self._resource.group_version,
            "metadata": {"resourceVersion": str(self._store.version)} | metadata,
        }
        return _line("BOOKMARK", msgspec.json.encode(item | dict(self._resource.zero)))


def _line(kind: str, item: bytes) -> bytes:
    return b'{"type":"' + kind.encode() + b'","object":' + item + b"}\n"


def _since(text: str) -> int | None:
    """The version to resume after; None (also for 0) begins with the present objects."""
    if text in {"", "0"}:
        return None
    if not text.isdigit():
        words = f'strconv.ParseUint: parsing "{text}": invalid syntax'
        raise internal(f'resourceVersion: Invalid value: "{text}": {words}')
    return int(text)
