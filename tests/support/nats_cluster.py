"""A cluster of three real nats-servers on free loopback ports, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

import nats
import nats.errors
from nats.aio.client import Client
from nats.js.api import ConsumerConfig, StreamConfig
from nats.js.errors import Error as JetStreamError

from support.nats_server import RealNats
from support.ports import free_port

NAMES: Final = ("one", "two", "three")
READY_S: Final = 30.0


class NatsCluster:
    """Three servers by name, with JetStream in each. Use it as a context manager."""

    def __init__(self, directory: Path) -> None:
        ports = {name: free_port() for name in NAMES}
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports.values())
        self.servers = {
            name: RealNats(
                directory / name,
                f'cluster {{name: three, listen: "127.0.0.1:{port}", routes: [{routes}]}}',
                name=name,
            )
            for name, port in ports.items()
        }
        self._running = ExitStack()

    def __enter__(self) -> Self:
        for server in self.servers.values():
            self._running.enter_context(server)
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.servers.values()]

    async def connect(self) -> Client:
        """A client of all three, which goes on with the others when one is lost."""

        async def quiet(_: Exception) -> None:
            """The tests look at what the product says, not at what this client does."""

        return await nats.connect(
            servers=self.urls, error_cb=quiet, max_reconnect_attempts=-1, reconnect_time_wait=0.1
        )


async def make_queues(client: Client, stream: str, names: list[str]) -> None:
    """A stream kept by all three with a consumer on `<stream>.<name>` for each name; it is tried
    until the servers have found each other.
    """
    jetstream = client.jetstream()
    async with asyncio.timeout(READY_S):
        while True:
            with contextlib.suppress(nats.errors.Error, JetStreamError):
                await jetstream.add_stream(
                    StreamConfig(name=stream, subjects=[f"{stream.lower()}.>"], num_replicas=3)
                )
                break
            await asyncio.sleep(0.05)
        for name in names:
            await jetstream.add_consumer(
                stream,
                ConsumerConfig(
                    durable_name=name, filter_subject=f"{stream.lower()}.{name}", ack_wait=300
                ),
            )


async def lead_consumer(client: Client, stream: str, consumer: str, server: str) -> None:
    """Make this server, by its name, the leader of the consumer."""
    payload = json.dumps({"placement": {"preferred": server}}).encode()
    async with asyncio.timeout(READY_S):
        while await leader_of(client, stream, consumer) != server:
            subject = f"$JS.API.CONSUMER.LEADER.STEPDOWN.{stream}.{consumer}"
            with contextlib.suppress(nats.errors.Error):
                await client.request(subject, payload, timeout=2.0)


async def leader_of(client: Client, stream: str, consumer: str) -> str | None:
    """The name of the server that answers for this consumer; None between two leaders."""
    try:
        info = await client.jetstream().consumer_info(stream, consumer)
    except (nats.errors.Error, JetStreamError):
        return None
    return info.cluster.leader if info.cluster else None
