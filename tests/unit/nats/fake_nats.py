"""A NATS connection that answers what a test tells it to, and a clock that stands still."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import nats.errors
from nats.aio.client import ServerVersion
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from controller.model.fleet import Behavior, Pool, ScalingRules
from controller.model.ids import pool_key
from controller.nats.jetstream import (
    NatsDisconnectedError,
    NatsError,
    NatsNoRespondersError,
    NatsTimeoutError,
)

Answer = bytes | NatsError | dict[str, Any]
CREATED = "2026-11-01T00:00:00Z"
NEVER = "0001-01-01T00:00:00Z"


class FrozenClock:
    def __init__(self, now: float = 1000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def follow_step(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class FakeSubscription:
    def __init__(self, nats: FakeNats, subject: str) -> None:
        self._nats = nats
        self.subject = subject

    async def end(self) -> None:
        self._nats.subscriptions.pop(self.subject, None)
        self._nats.ended.append(self.subject)


class _FakeClient:
    """As much of nats-py's client as its JetStreamContext asks with."""

    connected_server_version = ServerVersion("2.15.1")

    def __init__(self, nats: FakeNats) -> None:
        self._nats = nats

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 1.0,  # noqa: ASYNC109 - nats-py's signature
        headers: dict[str, Any] | None = None,  # noqa: ARG002 - nats-py's signature
    ) -> Msg:
        try:
            data = await self._nats.request(subject, payload, timeout)
        except NatsNoRespondersError as error:
            raise nats.errors.NoRespondersError from error
        return Msg(_client=None, data=data)  # type: ignore[arg-type]  # it is never answered


class FakeNats:
    """A session whose `answer(subject, payload)` a test gives; None is silence until the
    deadline.
    """

    api = "$JS.API"

    def __init__(self, answer: Callable[[str, dict[str, Any]], Answer | None]) -> None:
        self.answer = answer
        self.connected = True
        self.asked: list[str] = []
        self.subscriptions: dict[str, tuple[Callable[[], None], Callable[[str], None]]] = {}
        self.ended: list[str] = []
        self._on_connected: list[Callable[[], None]] = []

    async def request(self, subject: str, payload: bytes, timeout_s: float) -> bytes:
        self._check_connected()
        self.asked.append(subject)
        answer = self.answer(subject, json.loads(payload or b"{}"))
        if answer is None:
            await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=timeout_s)
            raise NatsTimeoutError(f"no answer within {timeout_s:g} s")
        if isinstance(answer, NatsError):
            raise answer
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    def jetstream(self, timeout_s: float = 1.0) -> JetStreamContext:
        self._check_connected()
        return JetStreamContext(_FakeClient(self), timeout=timeout_s)  # type: ignore[arg-type]

    async def subscribe_once(
        self, subject: str, on_message: Callable[[], None], on_refused: Callable[[str], None]
    ) -> FakeSubscription:
        self._check_connected()
        assert subject not in self.subscriptions
        self.subscriptions[subject] = (on_message, on_refused)
        return FakeSubscription(self, subject)

    def on_connected(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._on_connected.append(callback)
        return lambda: self._on_connected.remove(callback)

    def publish(self, subject: str) -> None:
        if subject in self.subscriptions:
            self.subscriptions.pop(subject)[0]()

    def refuse(self, subject: str, why: str) -> None:
        self.subscriptions.pop(subject)[1](why)

    def reconnect(self) -> None:
        self.subscriptions.clear()
        self.connected = True
        for callback in self._on_connected:
            callback()

    def _check_connected(self) -> None:
        if not self.connected:
            raise NatsDisconnectedError("the server closed the connection")


def pool(consumer: str, stream: str = "WORK", tenant: str = "acme") -> Pool:
    rules = ScalingRules(stabilization_window_s=0)
    return Pool(
        key=pool_key(tenant, consumer),
        name=consumer,
        tenant=tenant,
        namespace=tenant,
        deployment=consumer,
        stream=stream,
        consumer=consumer,
        behavior=Behavior(scale_up=rules, scale_down=rules),
    )


def info(name: str, pending: int = 0, in_flight: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "stream_name": "WORK",
        "name": name,
        "num_pending": pending,
        "num_ack_pending": in_flight,
        "num_redelivered": 0,
        "num_waiting": 0,
        "config": {"filter_subject": f"work.{name}"},
    } | more


def page(*infos: dict[str, Any], total: int | None = None, offset: int = 0) -> dict[str, Any]:
    return {
        "type": "io.nats.jetstream.api.v1.consumer_list_response",
        "total": len(infos) if total is None else total,
        "offset": offset,
        "limit": 256,
        "consumers": list(infos),
    }


def api_error(err_code: int, description: str) -> dict[str, Any]:
    return {"error": {"code": 404, "err_code": err_code, "description": description}}


def stream_answer(
    *, created: str = CREATED, state: dict[str, Any] | None = None, **config: Any
) -> Any:
    """An answer of STREAM.INFO."""
    contents = {"messages": 0, "first_seq": 1, "last_seq": 0, "first_ts": NEVER, "last_ts": NEVER}
    return {
        "type": "io.nats.jetstream.api.v1.stream_info_response",
        "created": created,
        "config": {"name": "WORK"} | config,
        "state": contents | (state or {}),
    }
