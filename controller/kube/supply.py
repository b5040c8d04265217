"""The cluster's own limits: the room of its nodes, and the quotas of its namespaces."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from controller.kube.client import Client
from controller.kube.freshness import Freshness, Trust
from controller.kube.link import LinkTracker
from controller.kube.listing import WatchTarget
from controller.kube.nodes import NodeView, room_reading
from controller.kube.objects import RefusedObject
from controller.kube.reflector import Reflector
from controller.kube.workloads import ClusterWorkloads
from controller.model.ids import WorkloadName
from controller.model.observation import ClusterRoom
from controller.model.readings import Reading
from controller.model.scarcity import NodeClass, Resources
from controller.ports.clock import Clock


class _KeptRoom(NamedTuple):
    """A reading with its inputs: it is up to date while they are the same objects."""

    room: ClusterRoom
    refused: RefusedObject | None
    trust: Trust
    reading: Reading[ClusterRoom]


class ClusterSupply:
    """The `Supply` port. One reflector watches all nodes.

    A reading stays the same object until it changes.
    """

    def __init__(
        self,
        client: Client,
        clock: Clock,
        link: LinkTracker,
        workloads: ClusterWorkloads,
        ending_taints: Sequence[str] = (),
    ) -> None:
        """`ending_taints` are further keys of taints that say that a node ends."""
        self._workloads = workloads
        self._nodes = NodeView(ending_taints)
        self._answer = asyncio.Event()
        self._freshness = Freshness(clock, link, on_answer=self._answer.set)
        self._kept: _KeptRoom | None = None
        self._reflector = Reflector(
            client,
            WatchTarget(kind="nodes", path="/api/v1/nodes"),
            self._nodes,
            self._freshness,
            clock,
        )

    def quota(self, namespace: str, workloads: frozenset[WorkloadName]) -> Reading[Resources]:
        """What the namespace's quotas leave for these workloads together."""
        return self._workloads.quota(namespace, workloads)

    def room(self, classes: Sequence[NodeClass]) -> Reading[ClusterRoom]:
        """What all nodes can hold, and those of each class; Absent(REFUSED) without the right to
        list nodes.
        """
        room, refused = self._nodes.room(tuple(classes)), self._nodes.refused
        trust, kept = self._freshness.trust(), self._kept
        if (
            kept is None
            or kept.room is not room
            or kept.refused is not refused
            or kept.trust is not trust
        ):
            judged = self._freshness.judge(room)
            reading = room_reading(judged, refused, known=self._nodes.is_known)
            kept = self._kept = _KeptRoom(room, refused, trust, reading)
        return kept.reading

    async def run(self) -> None:
        """Watch the nodes until cancelled."""
        await self._reflector.run()

    async def wait_seen(self) -> None:
        """Return when the nodes were listed, or it is known why they cannot be."""
        await self._answer.wait()
