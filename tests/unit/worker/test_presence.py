"""Orders are obeyed as soon as they are stored, which is later than they are announced."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import msgspec
from nats.aio.msg import Msg
from nats.js.api import Header, PubAck, RawStreamMsg

from agentdash.worker.settings import WorkerSettings
from agentdash.worker.state import Presence
from agentdash.worker.stores import NatsLink
from controller.model.ids import QueueName
from controller.model.worker_messages import (
    ORDERS_BUCKET,
    PoolOrders,
    WorkerState,
    orders_key,
)

SETTINGS = WorkerSettings(
    tenant="acme", pool="research", queues=(QueueName("TASKS", "research"),), worker="one"
)
ORDERS = f"$KV.{ORDERS_BUCKET}.{orders_key('acme', 'research')}"
STORED_AFTER_S = 0.3
DRAIN = PoolOrders(drain=("one",))


class LateServer:
    """Has orders of revision 4, and new ones that it stores some time after their announcement."""

    def __init__(self) -> None:
        self.said: list[WorkerState] = []
        self.heard = asyncio.Event()
        self._orders, self._revision = PoolOrders(), 4
        self._listener: Callable[[Msg], Awaitable[None]] | None = None

    async def subscribe(self, _: str, cb: Callable[[Msg], Awaitable[None]]) -> None:
        self._listener = cb

    async def announce(self, orders: PoolOrders, revision: int, replaced: int) -> None:
        assert self._listener is not None
        asyncio.get_running_loop().call_later(STORED_AFTER_S, self._store, orders, revision)
        headers = {Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(replaced)}
        await self._listener(Msg(cast("Any", None), headers=headers))

    async def get_msg(self, _: str, **__: object) -> RawStreamMsg:
        data = msgspec.json.encode(self._orders)
        return RawStreamMsg(subject=ORDERS, data=data, seq=self._revision)

    def _store(self, orders: PoolOrders, revision: int) -> None:
        self._orders, self._revision = orders, revision

    async def publish(self, _: str, payload: bytes, **__: object) -> PubAck:
        self.said.append(msgspec.json.decode(payload, type=WorkerState))
        self.heard.set()
        return PubAck(stream="states", seq=len(self.said))


async def test_orders_that_are_stored_after_their_announcement_are_obeyed_at_once() -> None:
    server = LateServer()
    link = cast("NatsLink", SimpleNamespace(client=server, jetstream=server))
    may_pull = True

    async def obey(orders: PoolOrders) -> None:
        nonlocal may_pull
        may_pull = "one" not in orders.drain

    def state(obeyed: int) -> WorkerState:
        return WorkerState(worker="one", slots=1, busy=0, pulling=may_pull, obeyed=obeyed)

    presence = Presence(link, SETTINGS, obey=obey, state=state)
    await presence.register()
    running = asyncio.create_task(presence.run())
    async with asyncio.timeout(2.0):
        await server.announce(DRAIN, 9, replaced=4)
        while server.said[-1].obeyed != 9:
            server.heard.clear()
            await server.heard.wait()
    running.cancel()
    assert not server.said[-1].pulling
