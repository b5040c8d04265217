"""HTTP: takes aiohttp requests, applies faults, and sends answers and watch streams."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing

from aiohttp import web

from agentdash.demo.kubesim.admin import ADMIN_PREFIX, Admin
from agentdash.demo.kubesim.calls import ApiCall, HttpAnswer, locate, refusal
from agentdash.demo.kubesim.errors import StatusError, internal
from agentdash.demo.kubesim.faults import ApiFault, ApiFaults
from agentdash.demo.kubesim.handlers import Handlers
from agentdash.demo.kubesim.requests import Request, RequestLog
from agentdash.demo.kubesim.store import Store
from agentdash.demo.kubesim.watches import Watch

_GARBLED = b'{"kind":"Garbled","items":[{"metadata":}\x00\xff'
_STREAM_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}


class Server:
    """The request handler of the simulator's port."""

    def __init__(
        self,
        store: Store,
        handlers: Handlers,
        admin: Admin,
        faults: ApiFaults,
        log: RequestLog,
        *,
        rng: random.Random,
        history: int,
    ) -> None:
        self._store, self._handlers, self._admin = store, handlers, admin
        self._faults, self._log, self._rng, self._history = faults, log, rng, history
        self._watches: set[Watch] = set()

    def end_watches(self, clean: bool) -> int:
        """End every open watch; returns how many there were."""
        watches = list(self._watches)
        for watch in watches:
            watch.end(clean=clean)
        return len(watches)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        call = ApiCall(
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
            body=await request.read() if request.body_exists else b"",
            target=locate(request.rel_url.raw_path),
        )
        if call.path.startswith(ADMIN_PREFIX):
            return _response(self._administer(call))
        faults = self._faults.take(call.verb, request.path_qs)
        early = await _apply_faults(faults, after=False)
        if self._admin.crash:
            # a cluster whose controllers have ended must not look like one at rest
            early = refusal(internal(self._admin.crash))
        if early is not None:
            return self._finish(call, early)
        try:
            user = self._handlers.admit(call)
            if call.verb == "watch" and call.target.resource is not None:
                watch = Watch(self._store, call, call.target.resource, self._rng, self._history)
                return await self._stream(request, call, watch)
            made = await self._handlers.serve(call, user)
        except StatusError as error:
            made = refusal(error)
        late = await _apply_faults(faults, after=True)
        if late is not None:
            return self._finish(call, late)
        if any(fault.garble for fault in faults):
            made = HttpAnswer(made.status, _GARBLED, made.content_type, made.headers)
        if any(fault.cut for fault in faults):
            self._remember(call, made.status)
            return await _cut(request, made)
        return self._finish(call, made)

    def _administer(self, call: ApiCall) -> HttpAnswer:
        try:
            return self._admin.serve(call)
        except StatusError as error:
            return refusal(error)

    def _finish(self, call: ApiCall, made: HttpAnswer) -> web.Response:
        self._remember(call, made.status)
        return _response(made)

    def _remember(self, call: ApiCall, status: int) -> None:
        template = call.target.template
        self._log.add(Request(call.method, call.path, template, call.verb, status))

    async def _stream(
        self, request: web.BaseRequest, call: ApiCall, watch: Watch
    ) -> web.StreamResponse:
        self._remember(call, 200)
        response = web.StreamResponse(headers=_STREAM_HEADERS)
        self._watches.add(watch)
        try:
            await response.prepare(request)
            async with aclosing(watch.chunks()) as chunks:
                async for chunk in chunks:
                    await response.write(chunk)
        finally:
            self._watches.discard(watch)
        if watch.broken and request.transport is not None:
            request.transport.abort()
        return response


async def _apply_faults(faults: list[ApiFault], *, after: bool) -> HttpAnswer | None:
    """Delay, hang or refuse as the faults require; None if the request goes on."""
    for fault in faults:
        if fault.after != after:
            continue
        if fault.latency_s:
            await asyncio.sleep(fault.latency_s)
        if fault.hang:
            await asyncio.Event().wait()  # until the client gives up or the server stops
        if fault.status:
            return refusal(fault.error())
    return None


def _response(made: HttpAnswer) -> web.Response:
    headers = {"Content-Type": made.content_type, **(made.headers or {})}
    return web.Response(status=made.status, body=made.body, headers=headers)


async def _cut(request: web.BaseRequest, made: HttpAnswer) -> web.StreamResponse:
    """Announce the whole answer, send half of it, and break the connection."""
    response = web.StreamResponse(status=made.status, headers={"Content-Type": made.content_type})
    response.content_length = len(made.body)
    await response.prepare(request)
    await response.write(made.body[: len(made.body) // 2])
    if request.transport is not None:
        request.transport.abort()
    return response
