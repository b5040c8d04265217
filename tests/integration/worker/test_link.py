"""The connection of workers, on a real server."""

from __future__ import annotations

import asyncio

import pytest
from nats.aio.msg import Msg

from agentdash.worker import NatsLogin
from agentdash.worker.stores import NatsLink
from controller.model.settings import Secret
from tests.integration.worker.conftest import Shop
from tests.support.nats_server import RealNats


async def silent(_: Msg) -> None:
    """Answers nothing."""


async def test_a_cancellation_in_the_moment_of_the_answer_is_not_forgotten(
    server: RealNats,
) -> None:
    link = NatsLink(NatsLogin(servers=(server.url,)))
    await link.open()
    try:
        await link.client.subscribe("silent", cb=silent)
        request = asyncio.create_task(link.client.request("silent", timeout=5.0))
        while not link.client._resp_map:
            await asyncio.sleep(0)
        [answer] = link.client._resp_map.values()
        answer.set_result(Msg(link.client, subject="answer", data=b"late"))
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    finally:
        await link.close()


async def test_a_secret_is_not_sent_to_a_server_without_tls() -> None:
    heard: list[bytes] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.11.0","max_payload":1024}\r\n')
        heard.append(await reader.read(1024))
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        link = NatsLink(NatsLogin(servers=(f"tls://127.0.0.1:{port}",), token=Secret("hush")))
        opening = asyncio.create_task(link.open())
        while (
            len(heard) < 2 or link.problem != "TLS: the server offers none; nothing was sent to it"
        ):
            await asyncio.sleep(0.01)
        assert not link.opened.is_set()
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        await link.close()
    assert set(heard) == {b""}


async def test_a_worker_that_has_ended_leaves_no_subscription_on_a_shared_connection(
    shop: Shop,
) -> None:
    before = dict(shop.link.client._subs)
    async with shop.worker(shared=True):
        await shop.submit(None, "one")
        await shop.result("one")
        assert len(shop.link.client._subs) > len(before)
    assert shop.link.client._subs.keys() == before.keys()
