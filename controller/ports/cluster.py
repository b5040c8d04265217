"""The cluster: what is read of it, and its only writer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from controller.model.announcement import Announcement
from controller.model.fleet import Pool
from controller.model.ids import WorkloadName
from controller.model.metrics import MeasuredPod
from controller.model.observation import ClusterEvent, ClusterRoom, Pods, Workload
from controller.model.outcome import Outcome
from controller.model.readings import Reading
from controller.model.scarcity import NodeClass, Resources


class Workloads(Protocol):
    """The pools' workloads and pods, kept up to date by watches."""

    def workload(self, pool: Pool) -> Reading[Workload]:
        """The pool's workload."""
        ...

    def pods(self, pool: Pool) -> Reading[Pods]:
        """The pool's pods."""
        ...

    def measured_pods(self, pool: Pool) -> tuple[MeasuredPod, ...]:
        """The pool's pods as the HPA sees them; empty while their list is not complete, and for
        pools without a metric that needs pods.
        """
        ...

    def shift(self, seconds: float) -> None:
        """Add a step of the clock to the times that are not the server's: of marks on pods."""
        ...

    def unmarkable(self, pool: Pool) -> str:
        """Why the pool's pods cannot be given a deletion cost; empty as far as is known."""
        ...

    def unfreezable(self, pool: Pool) -> str:
        """Why it is not known whether an annotation freezes the pool's namespace; empty if it is,
        as far as is known.
        """
        ...

    def warnings(self, pool: Pool) -> tuple[ClusterEvent, ...]:
        """The recent Kubernetes warning events about the pool's objects."""
        ...

    async def reread(self, pool: Pool) -> None:
        """Read the pool's workload by itself, beside its watch. A failure changes nothing."""
        ...

    def on_change(self, callback: Callable[[str, WorkloadName], None]) -> None:
        """Call back with (namespace, workload) when a workload or its pods change."""
        ...


class Supply(Protocol):
    """The cluster's own limits, kept up to date by watches."""

    def quota(self, namespace: str, workloads: frozenset[WorkloadName]) -> Reading[Resources]:
        """What the namespace's ResourceQuotas leave for these workloads together."""
        ...

    def room(self, classes: Sequence[NodeClass]) -> Reading[ClusterRoom]:
        """What all nodes can hold, and the nodes of each of these classes."""
        ...


class Actuator(Protocol):
    """Writes to the cluster; nothing else does."""

    async def scale(
        self, pool: Pool, replicas: int, resource_version: str, *, urgent: bool
    ) -> Outcome:
        """Set spec.replicas if the workload still has `resource_version`. An `urgent` write goes
        before others. Every answer is an outcome; a failure does not raise.
        """
        ...

    async def mark(self, pool: Pool, pod: str, cost: int | None) -> Outcome:
        """Give one of the pool's pods this deletion cost, or none. Every answer is an outcome."""
        ...


class Announcer(Protocol):
    """Announces what happened to a pool where people look at its workload."""

    def announce(self, pool: Pool, news: Announcement) -> None:
        """Have it announced; never waits, and a failure changes nothing."""
        ...

    def refusal(self) -> str:
        """Why nothing is announced, in words; empty if it is, as far as is known."""
        ...
