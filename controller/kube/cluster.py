"""One Kubernetes cluster: its ports for the engine, and the tasks that keep them up to date."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from typing import Final

import msgspec

from controller.kube.access import Access
from controller.kube.client import Client
from controller.kube.errors import ApiError, KubeError
from controller.kube.workloads import ClusterWorkloads
from controller.kube.writes import WRITE_TIMEOUT_S, ClusterActuator, EventWriter, WriteGate
from controller.model.settings import KubernetesSettings
from controller.model.snapshot import Link, PodLog
from controller.model.text import clean
from controller.ports import Clock, PodLogError

TAIL_LINES: Final = 200
MOST_LOG_BYTES: Final = 2**20
DEADLINE_S: Final = 4.0
LINE_LIMIT: Final = 2_000
# kubernetes/pkg/registry/core/pod/strategy.go, validateContainer
_CHOOSE: Final = re.compile(r"choose one of: \[(?P<first>[a-z0-9][a-z0-9-]*)")


class ClusterPodLogs:
    """Reads logs through the client of a cluster. It keeps nothing."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def tail(self, namespace: str, pod: str) -> PodLog:
        """The last lines of the pod; of its first container, where it has several. Raises
        PodLogError, whose text says why there are none and what to do.
        """
        try:
            try:
                return await self._read(namespace, pod)
            except ApiError as refusal:
                several = _CHOOSE.search(refusal.message)
                if several is None:
                    raise
                return await self._read(namespace, pod, several["first"])
        except KubeError as error:
            raise PodLogError(_words(error, namespace)) from error

    async def _read(self, namespace: str, pod: str, container: str = "") -> PodLog:
        query = {"tailLines": str(TAIL_LINES), "limitBytes": str(MOST_LOG_BYTES)}
        if container:
            query["container"] = container
        body = await self._client.call(
            "GET",
            f"/api/v1/namespaces/{namespace}/pods/{pod}/log",
            kind="pods/log",
            query=query,
            timeout_s=DEADLINE_S,
        )
        text = body.decode("utf-8", "replace").removesuffix("\n")
        lines = text.split("\n")[-TAIL_LINES:] if text else []
        return PodLog(
            container=container,
            lines=tuple(clean(each.rstrip("\r"), LINE_LIMIT) for each in lines),
            is_cut=len(body) >= MOST_LOG_BYTES,
        )


def _words(error: KubeError, namespace: str) -> str:
    if not isinstance(error, ApiError):
        return f"the API server cannot be asked: {error.detail}"
    match error.status:
        case 401 | 403:
            return f"our user may not read logs in {namespace}: allow it `get` on `pods/log`"
        case 404:
            return "the pod is not there any longer"
        case 400:
            return f"it has written nothing yet: {error.detail}"
        case 500 | 502 | 503 | 504:
            return f"the kubelet of its node does not answer: {error.detail}"
    return error.detail


PROBE_EVERY_S: Final = (4.0, 6.0)
PROBE_TIMEOUT_S: Final = 3.0


class Cluster:
    """`async with Cluster.connect(settings, clock) as cluster:` gives the ports of one cluster.

    `workloads` (which is the supply, too), `actuator`, `events` and `logs` are those ports;
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
        self.logs = ClusterPodLogs(client)
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
        """Wait until each namespace is listed in full, and the nodes if we may list them. False if
        that takes longer than `timeout_s`.
        """
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
