"""A NATS connection that answers what a test tells it to, and a clock that stands still."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from controller.model.fleet import Behavior, Pool, ScalingRules
from controller.model.ids import pool_key
from controller.ports import NatsDisconnectedError, NatsError, NatsTimeoutError

Answer = bytes | NatsError | dict[str, Any]


class FrozenClock:
    def __init__(self, now: float = 1000.0) -> None:
        self.time = now

    def now(self) -> float:
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


class FakeNats:
    """`answer(subject, payload)` decides; None is silence until the deadline."""

    def __init__(self, answer: Callable[[str, dict[str, Any]], Answer | None]) -> None:
        self.answer = answer
        self.connected = True
        self.asked: list[str] = []
        self.subscriptions: dict[str, tuple[Callable[[], None], Callable[[str], None]]] = {}
        self.ended: list[str] = []
        self._reconnected: list[Callable[[], None]] = []

    async def request(self, subject: str, payload: bytes, timeout_s: float) -> bytes:
        if not self.connected:
            raise NatsDisconnectedError("the server closed the connection")
        self.asked.append(subject)
        answer = self.answer(subject, json.loads(payload or b"{}"))
        if answer is None:
            await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=timeout_s)
            raise NatsTimeoutError(f"no answer within {timeout_s:g} s")
        if isinstance(answer, NatsError):
            raise answer
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    async def subscribe_once(
        self, subject: str, on_message: Callable[[], None], on_refused: Callable[[str], None]
    ) -> FakeSubscription:
        if not self.connected:
            raise NatsDisconnectedError("the server closed the connection")
        assert subject not in self.subscriptions
        self.subscriptions[subject] = (on_message, on_refused)
        return FakeSubscription(self, subject)

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        self._reconnected.append(callback)

    def publish(self, subject: str) -> None:
        if subject in self.subscriptions:
            self.subscriptions.pop(subject)[0]()

    def refuse(self, subject: str, why: str) -> None:
        self.subscriptions.pop(subject)[1](why)

    def reconnect(self) -> None:
        self.subscriptions.clear()
        self.connected = True
        for callback in self._reconnected:
            callback()


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
