"""The API over HTTP: lists with pages, watches, objects, scales, logs, and writes to them."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote

import msgspec
from aiohttp import web

from agentdash.demo.cluster.objects import (
    KINDS,
    PODS,
    SCALABLE,
    Kind,
    Object,
    StatusError,
    bad_request,
    details_of,
    expired,
    field_selector,
    internal,
    label_selector,
    micro_stamp,
)
from agentdash.demo.cluster.registry import (
    Change,
    FieldManager,
    Key,
    Registry,
    Store,
    StoredObject,
    incoming,
    json_of,
    renamed,
    stored_as,
)

MERGE_PATCH: Final = "application/merge-patch+json"
_JSON: Final = "application/json"
_HEADERS: Final = {"Cache-Control": "no-cache, private"}
_VERSION: Final = {"major": "1", "minor": "36", "gitVersion": "v1.36.0", "platform": "linux/amd64"}
_VERBS: Final = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}
_KEPT_PAGES: Final = 1000
_KEPT_LINES: Final = 1000
_BOOKMARK_EVERY_S: Final = 60.0
_BOOKMARK_BEFORE_END_S: Final = 2.0
# without timeoutSeconds, a watch lasts half an hour to an hour, at random
_SHORTEST_DEFAULT_S: Final = 1800.0


@dataclass(frozen=True, slots=True)
class Call:
    """One request, and what its path names: /api/VERSION/... or /apis/GROUP/VERSION/..."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""
    group: str = ""
    version: str = ""
    namespace: str = ""
    plural: str = ""
    name: str = ""
    sub: str = ""

    @property
    def kind(self) -> Kind | None:
        """The kind, if this API serves it there."""
        kind = KINDS.get((self.group, self.version, self.plural))
        return kind if kind is None or kind.namespaced or not self.namespace else None

    @property
    def verb(self) -> str:
        """The verb as RBAC names it: get, list, watch, create, patch or delete."""
        if self.method != "GET":
            return _VERBS.get(self.method, self.method.lower())
        if self.plural and self.query.get("watch", "").lower() in {"1", "true"}:
            return "watch"
        return "get" if self.name or not self.plural else "list"

    @property
    def writer(self) -> FieldManager:
        """The field manager: the one given, else the client's name."""
        agent = self.headers.get("User-Agent", "")
        name = self.query.get("fieldManager") or agent.partition("/")[0]
        return FieldManager(name, subresource=self.sub)

    def number(self, name: str, default: int) -> int:
        """A whole number of the query; raises StatusError 400."""
        text = self.query.get(name) or str(default)
        try:
            return int(text)
        except ValueError:
            raise bad_request(f'parsing "{text}": invalid syntax') from None

    def decoded(self) -> Any:
        """The body as JSON values; raises StatusError 400."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError as error:
            raise bad_request(f"couldn't get version/kind; json parse error: {error}") from error


def call_of(request: web.BaseRequest, body: bytes) -> Call:
    """What a request asks for."""
    parts = [unquote(part) for part in request.rel_url.raw_path.strip("/").split("/")]
    named: dict[str, str] = {}
    if parts[0] == "api" and len(parts) > 2:
        named, rest = {"version": parts[1]}, parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        named, rest = {"group": parts[1], "version": parts[2]}, parts[3:]
    else:
        rest = []
    if len(rest) > 2 and rest[0] == "namespaces":
        named["namespace"], rest = rest[1], rest[2:]
    named |= dict(zip(("plural", "name", "sub"), rest, strict=False))
    return Call(request.method, request.path, request.query, request.headers, body, **named)


def answer(status: int, body: Mapping[str, Any] | bytes, content_type: str = _JSON) -> web.Response:
    """A complete answer."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    headers = {"Content-Type": content_type, **_HEADERS}
    return web.Response(status=status, body=content, headers=headers)


def selection(call: Call) -> Callable[[StoredObject], bool]:
    """Chooses the objects of one list or watch. Raises StatusError 400."""
    by_labels = label_selector(call.query.get("labelSelector", ""))
    by_fields = field_selector(call.query.get("fieldSelector", ""))

    def is_chosen(stored: StoredObject) -> bool:
        is_there = call.namespace in {"", stored.key[0]}
        return is_there and by_labels(stored.object) and by_fields(stored.object)

    return is_chosen


class Watch:
    """One watch: changes since a version, further ones as they come, bookmarks, a time limit."""

    def __init__(self, store: Store, call: Call, kind: Kind, rng: random.Random) -> None:
        """Raises StatusError 400, or 500 for a bad version."""
        self._store, self._kind, self._takes = store, kind, selection(call)
        version = call.query.get("resourceVersion", "0") or "0"
        if not version.isdigit():
            raise internal(f'resourceVersion: Invalid value: "{version}": invalid syntax')
        # without a version a watch begins with the present objects
        self._since = int(version)
        self._bookmarks = call.query.get("allowWatchBookmarks", "").lower() in {"1", "true"}
        self._lasts_s = call.number("timeoutSeconds", 0) or _SHORTEST_DEFAULT_S * (1 + rng.random())
        self._woken = asyncio.Event()
        self._is_ended = self.is_broken = False

    def end(self, *, clean: bool) -> None:
        """End the watch now; unless `clean`, by breaking the connection."""
        self.is_broken = self.is_broken or not clean
        self._is_ended = True
        self._woken.set()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The lines, several at once where several are due."""
        loop = asyncio.get_running_loop()
        watchers = self._store.watchers(stored_as(self._kind))
        end = loop.time() + self._lasts_s
        next_bookmark = float("inf")
        if self._bookmarks:
            # also shortly before the end, so that the next watch starts from a recent version
            before_end = max(end - _BOOKMARK_BEFORE_END_S, (loop.time() + end) / 2)
            next_bookmark = min(loop.time() + _BOOKMARK_EVERY_S, before_end)
        watchers.add(self._woken)
        try:
            if first := b"".join(self._lines() if self._since else self._present()):
                yield first
            while not self._is_ended and loop.time() < end:
                try:
                    async with asyncio.timeout_at(min(end, next_bookmark)):
                        await self._woken.wait()
                except TimeoutError:
                    if loop.time() >= next_bookmark:
                        next_bookmark += _BOOKMARK_EVERY_S
                        yield self._bookmark()
                    continue
                self._woken.clear()
                if lines := b"".join(self._lines()):
                    yield lines
        except StatusError as error:
            yield _line("ERROR", msgspec.json.encode(error.status()))
        finally:
            watchers.discard(self._woken)

    def _present(self) -> Iterator[bytes]:
        """The present objects; the watch goes on from here."""
        self._since = self._store.version
        for stored in self._store.each(stored_as(self._kind)):
            if self._takes(stored):
                yield _line("ADDED", _full(self._kind, stored))

    def _lines(self) -> Iterator[bytes]:
        """The changes since the last time. An object that enters the selection is ADDED, one that
        leaves it is DELETED. Raises StatusError 410 if the watch is too far behind.
        """
        changes = self._store.changes(stored_as(self._kind), self._since)
        self._since = self._store.version
        for kind, new, old in changes:
            is_chosen = kind != "DELETED" and self._takes(new)
            was_chosen = old is not None and self._takes(old)
            if is_chosen:
                yield _line("MODIFIED" if was_chosen else "ADDED", _full(self._kind, new))
            elif was_chosen and old is not None:
                gone = old.object["metadata"] | {"resourceVersion": str(new.version)}
                last = StoredObject(old.kind, old.object | {"metadata": gone}, new.version)
                yield _line("DELETED", _full(self._kind, last))

    def _bookmark(self) -> bytes:
        item = {
            "kind": self._kind.name,
            "apiVersion": self._kind.group_version,
            "metadata": {"resourceVersion": str(self._store.version)},
        }
        return _line("BOOKMARK", msgspec.json.encode(item))


def _line(kind: str, item: bytes) -> bytes:
    return b'{"type":"' + kind.encode() + b'","object":' + item + b"}\n"


def _full(kind: Kind, stored: StoredObject) -> bytes:
    """An object with its kind, as GET and watches show it."""
    head = f'{{"kind":"{kind.name}","apiVersion":"{kind.group_version}",'.encode()
    return head + json_of(kind, stored)[1:]


class Api:
    """Answers requests; `crash` says why nothing happens in the cluster any more."""

    def __init__(self, registry: Registry, rng: random.Random, crash: Callable[[], str]) -> None:
        self._registry, self._store, self._rng, self._crash = registry, registry.store, rng, crash
        self._watches: set[Watch] = set()
        # by the token, what is left of a list after its first pages, and its version
        self._pages: dict[str, tuple[int, list[StoredObject]]] = {}
        # of each pod the lines of its last run with their times, and those of the run before it
        self._logs: dict[Key, deque[tuple[str, str]]] = {}
        self._logs_before: dict[Key, deque[tuple[str, str]]] = {}
        registry.store.subscribe(self._turn_log)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        call = call_of(request, await request.read() if request.body_exists else b"")
        try:
            if self._crash():
                # a cluster whose controllers have ended must not look like one at rest
                raise internal(self._crash())
            if call.verb == "watch" and call.kind is not None:
                return await self._stream(request, call, call.kind)
            return self._served(call)
        except StatusError as error:
            return answer(error.code, error.status())

    def write_log(self, namespace: str, pod: str, text: str) -> None:
        """A pod writes a line."""
        lines = self._logs.setdefault((namespace, pod), deque(maxlen=_KEPT_LINES))
        lines.append((micro_stamp(), text))

    def end_watches(self, *, clean: bool = True) -> int:
        """End all watches, as a server does that stops, or one that breaks. Returns how many."""
        watches = list(self._watches)
        for watch in watches:
            watch.end(clean=clean)
        return len(watches)

    def _turn_log(self, change: Change) -> None:
        """With its pod a log ends; a container that is started again begins another one."""
        key = change.new.key
        if change.new.kind is not PODS:
            return
        if change.type == "DELETED":
            self._logs.pop(key, None)
            self._logs_before.pop(key, None)
        elif change.old is not None and _restarts(change.old) < _restarts(change.new):
            self._logs_before[key] = self._logs.pop(key, deque())

    async def _stream(self, request: web.BaseRequest, call: Call, kind: Kind) -> web.StreamResponse:
        watch = Watch(self._store, call, kind, self._rng)
        response = web.StreamResponse(headers={"Content-Type": _JSON, **_HEADERS})
        self._watches.add(watch)
        try:
            await response.prepare(request)
            async with aclosing(watch.chunks()) as chunks:
                async for chunk in chunks:
                    await response.write(chunk)
        finally:
            self._watches.discard(watch)
        if watch.is_broken and request.transport is not None:
            request.transport.abort()
        return response

    def _served(self, call: Call) -> web.Response:
        """The answer; raises StatusError."""
        if call.path == "/version":
            return answer(200, _VERSION)
        if call.plural == "selfsubjectaccessreviews":
            # there are no users here: everything is allowed
            return answer(201, call.decoded() | {"status": {"allowed": True}})
        kind = call.kind
        if kind is None:
            # outside every group the real server answers in plain text
            return answer(404, b"404 page not found\n", "text/plain")
        try:
            return self._of_kind(call, kind)
        except (KeyError, TypeError, AttributeError) as error:
            # a part of the body is of another type than the API's
            raise bad_request(f"the object provided is malformed: {error!r}") from error

    def _of_kind(self, call: Call, kind: Kind) -> web.Response:
        match call.verb, call.sub:
            case "list", "":
                return self._list(call, kind)
            case "get", "":
                return answer(200, _full(kind, self._read(call, kind)))
            case "get", "log" if kind is PODS:
                return self._log(call, self._read(call, kind))
            case "patch", sub if not sub or (sub == "scale" and kind in SCALABLE):
                return self._patch(call, kind)
            case "create", "":
                item = incoming(kind, call.decoded())
                made = self._registry.create(kind, call.namespace, item, call.writer)
                return answer(201, _full(kind, made))
            case "delete", "":
                return self._delete(call, kind)
        words = "the server does not allow this method on the requested resource"
        raise StatusError(405, "MethodNotAllowed", words, {})

    def _read(self, call: Call, kind: Kind) -> StoredObject:
        return self._registry.read(kind, call.namespace, call.name)

    def _list(self, call: Call, kind: Kind) -> web.Response:
        limit, token = call.number("limit", 0), call.query.get("continue", "")
        if token and token not in self._pages:
            raise expired("The provided continue parameter is too old; start a new list")
        if token:
            version, found = self._pages[token]
        else:
            every = self._store.each(stored_as(kind), call.namespace)
            version, found = self._store.version, list(filter(selection(call), every))
        metadata = {"resourceVersion": str(version)}
        if 0 < limit < len(found):
            token = metadata["continue"] = f"{self._rng.getrandbits(128):032x}"
            self._pages[token] = (version, found[limit:])
            if len(self._pages) > _KEPT_PAGES:
                del self._pages[next(iter(self._pages))]
            found = found[:limit]
        head = {"kind": f"{kind.name}List", "apiVersion": kind.group_version, "metadata": metadata}
        items = b",".join(json_of(kind, each) for each in found)
        return answer(200, msgspec.json.encode(head)[:-1] + b',"items":[' + items + b"]}")

    def _patch(self, call: Call, kind: Kind) -> web.Response:
        if call.headers.get("Content-Type", "").partition(";")[0] != MERGE_PATCH:
            raise StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
        body, stored = call.decoded(), self._read(call, kind)
        if not isinstance(body, dict):
            raise bad_request("error decoding patch: it is no object")
        changed = self._registry.patch(stored, renamed(kind, body), call.writer)
        return answer(200, _scale_of(changed) if call.sub else _full(kind, changed))

    def _delete(self, call: Call, kind: Kind) -> web.Response:
        grace = call.query.get("gracePeriodSeconds")
        stored = self._registry.delete(
            kind, call.namespace, call.name, grace_s=None if grace is None else int(grace)
        )
        if kind is PODS:
            return answer(200, _full(kind, stored))
        details = details_of(kind, stored.key[1]) | {"uid": stored.uid}
        body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return answer(200, body | {"details": details})

    def _log(self, call: Call, pod: StoredObject) -> web.Response:
        """The last lines of a pod; all its containers share them. The refusals are the real ones
        (kubernetes/pkg/registry/core/pod/strategy.go and the kubelet's).
        """
        names = [each["name"] for each in pod.object["spec"]["containers"]]
        container = call.query.get("container", "")
        if not container and len(names) > 1:
            raise bad_request(
                f"a container name must be specified for pod {call.name}, choose one of: "
                f"[{' '.join(names)}]"
            )
        statuses = pod.object["status"].get("containerStatuses")
        if pod.object["spec"].get("nodeName") and not statuses:
            words = f'container "{container or names[0]}" in pod "{call.name}" is not available'
            raise bad_request(words)
        waiting = statuses[0]["state"].get("waiting") if statuses else None
        if waiting is not None and not statuses[0]["lastState"]:
            words = f'container "{container or names[0]}" in pod "{call.name}" is waiting to start'
            raise bad_request(f"{words}: {waiting.get('reason', '')}")
        logs = self._logs
        if call.query.get("previous") == "true":
            logs = self._logs_before
            if not _restarts(pod):
                words = f'previous terminated container "{container or names[0]}" in pod'
                raise bad_request(f'{words} "{call.name}" not found')
        since = call.query.get("sinceTime", "")
        lines = [each for each in logs.get(pod.key, ()) if not since or _is_since(each[0], since)]
        tail, most = call.number("tailLines", len(lines)), call.number("limitBytes", 2**31)
        is_stamped = call.query.get("timestamps") == "true"
        shown = lines[max(0, len(lines) - tail) :]
        text = "".join(f"{at} {each}\n" if is_stamped else f"{each}\n" for at, each in shown)
        return answer(200, text.encode()[:most], "text/plain")


def _restarts(pod: StoredObject) -> int:
    statuses = pod.object.get("status", {}).get("containerStatuses") or ()
    return sum(each.get("restartCount", 0) for each in statuses)


def _is_since(at: str, since: str) -> bool:
    return datetime.fromisoformat(at) >= datetime.fromisoformat(since)


def _scale_of(stored: StoredObject) -> Object:
    """The autoscaling/v1 Scale of an object; zero replicas are left out of the spec, as Go does."""
    item = stored.object
    names = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    replicas = item["spec"]["replicas"]
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: item["metadata"][name] for name in names},
        "spec": {"replicas": replicas} if replicas else {},
        "status": {"replicas": item["status"].get("replicas", 0)},
    }
