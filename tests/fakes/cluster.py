"""The simulated cluster with what tests add to its API: faults that can be switched on, answers of
their own, and a log of its requests.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from aiohttp import web

from agentdash.demo import cluster
from agentdash.demo.cluster.api import Api, Call, answer, call_of
from agentdash.demo.cluster.nodes import ColdStart
from agentdash.demo.cluster.objects import RESOURCE_QUOTAS, Object, StatusError
from agentdash.demo.cluster.registry import Store
from fakes.quotas import Quotas
from fakes.stateful import StatefulSets

__all__ = ["ApiFault", "ColdStart", "RequestLog", "SimCluster", "StatusError"]

_GARBLED: Final = b'{"kind":"Garbled","items":[{"metadata":}\x00\xff'
Extension = Callable[[Call], web.Response | None]
"""Sees each request before the API does. It answers, or raises StatusError, or returns None: then
the next one is asked, and at last the API itself."""

_KEPT_REQUESTS: Final = 100_000
_WRITES: Final = ("create", "patch", "delete")
_WORDS: Final[dict[int, tuple[str, str]]] = {
    401: ("Unauthorized", "Unauthorized"),
    403: ("Forbidden", "forbidden by the simulation"),
    404: ("NotFound", "the server could not find the requested resource"),
    409: ("Conflict", "the object has been modified; please apply your changes again"),
    422: ("Invalid", "the server rejected our request due to an error in our request"),
    429: (
        "TooManyRequests",
        "the server has received too many requests and has asked us to try again later",
    ),
    500: ("InternalError", "Internal error occurred: simulated"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "Timeout: request did not complete within the requested timeout"),
}


@dataclass(frozen=True, slots=True)
class ApiFault:
    """What happens to matching requests. `verb` is an expression for the whole verb, `path` one
    that is searched in the path and its query.

    First comes a delay of `latency_s`, then one of `status`, `hang`, `cut` (half the body, then
    the connection ends) and `garble` (no JSON). With `after`, the request is carried out before it
    fails; requests whose answers are cut or garbled always are.
    """

    verb: str = ".*"
    path: str = ""
    latency_s: float = 0.0
    status: int = 0
    retry_after: int | None = None
    hang: bool = False
    cut: bool = False
    garble: bool = False
    after: bool = False
    share: float = 1.0
    times: int | None = None

    def concerns(self, verb: str, path: str) -> bool:
        """Whether a request matches, apart from `share`."""
        return bool(re.fullmatch(self.verb, verb) and re.search(self.path, path))

    def error(self) -> StatusError:
        """The refusal, as a Status."""
        reason, words = _WORDS.get(self.status, ("", f"simulated status {self.status}"))
        after = self.retry_after
        details = None if after is None else {"retryAfterSeconds": after}
        return StatusError(self.status, reason, words, details)


class ApiFaults:
    """The faults that are on."""

    def __init__(self, rng: random.Random, api: Api, store: Store) -> None:
        self._rng, self._api, self._store = rng, api, store
        self._active: dict[int, ApiFault] = {}
        self._left: dict[int, int] = {}
        self._next_id = 1

    @property
    def active(self) -> dict[int, ApiFault]:
        """Faults that are on, by number."""
        return dict(self._active)

    def add(self, fault: ApiFault) -> int:
        """Switch a fault on; returns the number by which it is switched off."""
        number, self._next_id = self._next_id, self._next_id + 1
        self._active[number] = fault
        if fault.times is not None:
            self._left[number] = fault.times
        return number

    def remove(self, number: int) -> None:
        """Switch one fault off; nothing happens if it is off already."""
        self._active.pop(number, None)
        self._left.pop(number, None)

    def clear(self) -> None:
        """Switch all off."""
        self._active.clear()
        self._left.clear()

    def take(self, verb: str, path: str) -> list[ApiFault]:
        """The faults that this request meets; each counts as used once."""
        met = []
        for number, fault in list(self._active.items()):
            if not fault.concerns(verb, path) or self._rng.random() >= fault.share:
                continue
            met.append(fault)
            if number in self._left:
                self._left[number] -= 1
                if self._left[number] <= 0:
                    self.remove(number)
        return met

    def drop_watches(self, *, clean: bool = False) -> int:
        """End every watch now, cleanly or by a broken connection. Returns how many there were."""
        return self._api.end_watches(clean=clean)

    def expire_history(self) -> None:
        """Forget all history, as compaction does: a watch from before now gets 410."""
        for collection in self._store._collections.values():
            collection.changes.clear()
            collection.floor = self._store.version
        self._api._pages.clear()


class Request(NamedTuple):
    """One request and the status of its answer. `verb`, `group` and `resource` (the plural, with a
    subresource as in `pods/log`) are as RBAC names them; no resource for paths without one.
    """

    method: str
    path: str
    verb: str
    group: str
    resource: str
    status: int


class RequestLog:
    """The latest requests, oldest first; a watch is added when it begins."""

    def __init__(self) -> None:
        self._requests: deque[Request] = deque(maxlen=_KEPT_REQUESTS)

    def add(self, request: Request) -> None:
        """Add a request that was answered."""
        self._requests.append(request)

    def __iter__(self) -> Iterator[Request]:
        return iter(tuple(self._requests))

    def __len__(self) -> int:
        return len(self._requests)

    def writes(self) -> list[Request]:
        """Requests that asked for a change, refused ones included."""
        return [request for request in self._requests if request.verb in _WRITES]

    def clear(self) -> None:
        """Forget all of them."""
        self._requests.clear()


def resource_of(call: Call) -> str:
    """The plural, with a subresource as in `pods/log`."""
    return f"{call.plural}/{call.sub}" if call.sub else call.plural


class SimCluster(cluster.SimCluster):
    """The demo's cluster, whose requests are logged and meet a test's faults and extensions."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        rng = random.Random(options.get("seed", 0) + 3)
        self.faults = ApiFaults(rng, self.api, self.store)
        self.requests = RequestLog()
        self.extensions: list[Extension] = []
        StatefulSets(self.workloads)
        Quotas(self.registry)

    async def create_namespace(self, name: str, *, quota: Object | None = None) -> None:
        """Add a namespace and, with `quota` (hard amounts), its ResourceQuota `tenant`."""
        await super().create_namespace(name)
        if quota:
            body = {"metadata": {"name": "tenant"}, "spec": {"hard": dict(quota)}}
            self.registry.create(RESOURCE_QUOTAS, name, body)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request as the faults and extensions say, else as the demo does."""
        call = call_of(request, await request.read() if request.body_exists else b"")
        faults = self.faults.take(call.verb, request.path_qs)
        made = await _failed(faults, after=False) or self._extended(call)
        if made is None:
            if call.verb == "watch" and call.kind is not None:
                self._note(call, 200)
                return await super().handle(request)
            made = await super().handle(request)
        made = await _failed(faults, after=True) or made
        if any(fault.garble for fault in faults):
            made = web.Response(status=made.status, body=_GARBLED, content_type="application/json")
        self._note(call, made.status)
        return await _cut(request, made) if any(fault.cut for fault in faults) else made

    def _extended(self, call: Call) -> web.Response | None:
        try:
            found = (extension(call) for extension in self.extensions)
            return next((each for each in found if each is not None), None)
        except StatusError as error:
            return answer(error.code, error.status())

    def _note(self, call: Call, status: int) -> None:
        self.requests.add(
            Request(call.method, call.path, call.verb, call.group, resource_of(call), status)
        )


async def _failed(faults: list[ApiFault], *, after: bool) -> web.Response | None:
    """Delay, hang or refuse as the faults require; None if the request goes on."""
    for fault in faults:
        if fault.after != after:
            continue
        if fault.latency_s:
            await asyncio.sleep(fault.latency_s)
        if fault.hang:
            await asyncio.Event().wait()  # until the client gives up or the server stops
        if fault.status:
            made = answer(fault.status, fault.error().status())
            if fault.retry_after is not None:
                made.headers["Retry-After"] = str(fault.retry_after)
            return made
    return None


async def _cut(request: web.BaseRequest, made: web.Response) -> web.StreamResponse:
    """Announce the whole answer, send half of it, and break the connection."""
    response = web.StreamResponse(status=made.status, headers={"Content-Type": made.content_type})
    response.content_length = len(made.body)
    await response.prepare(request)
    await response.write(made.body[: len(made.body) // 2])
    if request.transport is not None:
        request.transport.abort()
    return response
