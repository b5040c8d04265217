"""What the cluster itself allows: the room of its nodes, and the quotas of its namespaces."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from controller.kube.client import Client
from controller.kube.freshness import Freshness
from controller.kube.link import LinkTracker
from controller.kube.nodes import NodeView
from controller.kube.reflector import Reflector, WatchTarget
from controller.kube.workloads import ClusterWorkloads
from controller.model.observation import ClusterRoom
from controller.model.readings import Reading
from controller.model.scarcity import NodeClass, Resources
from controller.ports import Clock


class ClusterSupply:
    """The `Supply` port. Nodes belong to no namespace: one reflector watches them all."""

    def __init__(
        self, client: Client, clock: Clock, link: LinkTracker, workloads: ClusterWorkloads
    ) -> None:
        self._workloads = workloads
        self._nodes = NodeView()
        self._answer = asyncio.Event()
        self._reflector = Reflector(
            client,
            WatchTarget(kind="nodes", path="/api/v1/nodes"),
            self._nodes,
            Freshness(clock, link, on_answer=self._answer.set),
            clock,
        )

    def quota(self, namespace: str, deployments: frozenset[str]) -> Reading[Resources]:
        """What the namespace's quotas leave to these Deployments together."""
        return self._workloads.quota(namespace, deployments)

    def room(self, classes: Sequence[NodeClass]) -> Reading[ClusterRoom]:
        """What the nodes hold, and those of each class. Absent(REFUSED) without the right to list
        nodes.
        """
        return self._reflector.freshness.judge(self._nodes.room(tuple(classes)))

    async def run(self) -> None:
        """Watch the nodes until cancelled."""
        await self._reflector.run()

    async def wait_seen(self) -> None:
        """Return when the nodes were listed, or it is known why they cannot be."""
        await self._answer.wait()
