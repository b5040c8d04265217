"""One Kubernetes cluster: its ports for the engine, and the tasks that keep them up to date."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from typing import Final

import msgspec

from controller.kube.access import Access
from controller.kube.client import Client
from controller.kube.errors import KubeError
from controller.kube.pod_desk import ClusterPods
from controller.kube.workloads import ClusterWorkloads
from controller.kube.writes import WRITE_TIMEOUT_S, ClusterActuator, EventWriter, WriteGate
from controller.model.settings import KubernetesSettings
from controller.model.snapshot import Link
from controller.ports import Clock

PROBE_EVERY_S: Final = (4.0, 6.0)
PROBE_TIMEOUT_S: Final = 3.0


class Cluster:
    """`async with Cluster.connect(settings, clock) as cluster:` gives the ports of one cluster.

    `workloads` (which is the supply, too), `actuator`, `events` and `pods` are those ports;
    `client` is for any other request.
    """

    def __init__(
        self,
        client: Client,
        apart: Client,
        tasks: asyncio.TaskGroup,
        *,
        settings: KubernetesSettings,
        may_write: Callable[[], bool],
        write_timeout_s: float,
        process: str,
    ) -> None:
        """Events go through the client `apart`, which nothing else uses."""
        self.client = client
        self.workloads = ClusterWorkloads(client, tasks, settings)
        gate, marks = WriteGate(), WriteGate()
        self.actuator = ClusterActuator(
            client, gate, marks, self.workloads, may_write, timeout_s=write_timeout_s
        )
        self.pods = ClusterPods(client)
        self.events = EventWriter(apart, self.workloads, client.clock, process)
        self._running = (
            tasks.create_task(self.events.run(), name="kube event writer"),
            tasks.create_task(gate.run(), name="kube writes"),
            tasks.create_task(marks.run(), name="kube marks"),
            tasks.create_task(self.workloads.nodes.run(), name="kube nodes"),
            tasks.create_task(_probe(client), name="kube probe"),
        )

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        settings: KubernetesSettings,
        clock: Clock,
        *,
        may_write: Callable[[], bool] = lambda: True,
        write_timeout_s: float = WRITE_TIMEOUT_S,
        process: str = "",
    ) -> AsyncIterator[Cluster]:
        """Read the configuration and start the tasks. An API server that is down is not an error:
        the link shows it. `may_write` is called immediately before each write, which then takes at
        most `write_timeout_s`. `process` names this process in events.

        Raises ConfigError. As in any TaskGroup, an error of the body is raised in an
        ExceptionGroup.
        """
        client = Client(await Access.load(settings), clock)
        apart = client.apart()
        try:
            async with asyncio.TaskGroup() as tasks:
                cluster = cls(
                    client,
                    apart,
                    tasks,
                    settings=settings,
                    may_write=may_write,
                    write_timeout_s=write_timeout_s,
                    process=process,
                )
                try:
                    yield cluster
                finally:
                    cluster.set_namespaces(frozenset())
                    for task in cluster._running:
                        task.cancel()
        finally:
            await apart.close()
            await client.close()

    @property
    def context(self) -> str:
        """The context's name, or `in-cluster`."""
        return self.client.access.context

    def link(self) -> Link:
        """The connection's state, with a note if the credentials could not be read again."""
        link = self.client.link.link()
        detail = link.detail or self.client.access.reread_failure
        return msgspec.structs.replace(link, detail=detail)

    def failures(self) -> Collection[tuple[str, int]]:
        """The source's name with how many of its requests failed since the process began."""
        return ((self.client.link.link().name, self.client.link.failed),)

    def set_namespaces(self, namespaces: frozenset[str]) -> None:
        """Watch exactly these namespaces."""
        self.workloads.set_namespaces(namespaces)

    async def synced(self, timeout_s: float) -> bool:
        """Wait for the first full lists, of nodes if we may; False after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.workloads.wait_seen()
        except TimeoutError:
            return False
        return True


async def _probe(client: Client) -> None:
    """Send a small request every few seconds, because a quiet watch looks like a dead server."""
    while True:
        with suppress(KubeError):  # the client tells the link
            await client.call("GET", "/version", kind="version", timeout_s=PROBE_TIMEOUT_S)
        await client.clock.sleep(random.uniform(*PROBE_EVERY_S))
