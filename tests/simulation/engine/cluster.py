"""The cluster as it truly is: Deployments, a ReplicaSet's controller, pods, and the lease. What
processes know of it comes late (eyes.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from controller.kube.errors import ApiError
from controller.model.fleet import Pool
from controller.model.ids import PoolKey
from controller.model.observation import Pod, PodPhase, Pods, Workload
from simulation.engine.kernel import Kernel, Machine
from support.world import START

PERSON: Final = "a person"


class TruePod(msgspec.Struct):
    """A pod. `marks`: the deletion costs it has had and since when, because the ReplicaSet's
    controller sees them late too.
    """

    name: str
    phase: PodPhase
    created_at: float
    ready_at: float | None = None
    marks: tuple[tuple[float, int], ...] = ()

    @property
    def cost(self) -> int:
        return self.marks[-1][1] if self.marks else 0

    def cost_seen(self, at: float) -> int:
        return next((cost for since, cost in reversed(self.marks) if since <= at), 0)

    def rank(self, seen_until: float) -> tuple[bool, int, float]:
        """ActivePodsWithRanks.Less: not ready first, then the lowest cost, then the youngest."""
        return self.phase is PodPhase.READY, self.cost_seen(seen_until), -(self.ready_at or 0.0)

    def shown(self) -> Pod:
        return Pod(
            name=self.name,
            phase=self.phase,
            created_at=START + self.created_at,
            ready_at=None if self.ready_at is None else START + self.ready_at,
            deletion_cost=self.cost,
        )


class Sight(NamedTuple):
    """What a watch reports of one pool."""

    workload: Workload
    pods: Pods


class Deployment:
    """One pool's Deployment and its pods. `lowered_by` are the writers that have lowered it since
    it last had the pods that it asks for, and when each first did.
    """

    def __init__(self, kernel: Kernel, pool: Pool, version: Callable[[], int]) -> None:
        self.pool = pool
        self._chance = kernel.chance(f"pods of {pool.key}")
        self.replicas = pool.min + self._chance.randrange(3)
        self.generation = self.observed = 1
        self.pods: dict[str, TruePod] = {}
        self.lowered_by: dict[str, float] = {}
        self.last_reign = 0
        self._kernel = kernel
        self._new_version = version
        self.version = version()
        self._born = 0
        self._is_reconciling = False
        self.on_change: Callable[[], None] = lambda: None
        self.on_ready: Callable[[str], None] = lambda _: None
        self.on_gone: Callable[[str], None] = lambda _: None

    def live(self) -> list[TruePod]:
        """The pods that a ReplicaSet counts."""
        return [pod for pod in self.pods.values() if pod.phase is not PodPhase.TERMINATING]

    def sight(self) -> Sight:
        live = self.live()
        ready = sum(pod.phase is PodPhase.READY for pod in live)
        workload = Workload(
            replicas=self.replicas,
            current=len(live),
            ready=ready,
            updated=len(live),
            available=ready,
            uid=f"uid-{self.pool.name}",
            resource_version=str(self.version),
            generation=self.generation,
            observed_generation=self.observed,
        )
        items = tuple(self.pods[name].shown() for name in sorted(self.pods))
        pods = Pods(
            ready=ready,
            starting=len(live) - ready,
            terminating=len(items) - len(live),
            items=items,
        )
        return Sight(workload, pods)

    def scale(self, replicas: int, writer: str) -> None:
        """Somebody sets the size."""
        if replicas != self.replicas:
            if replicas < self.replicas:
                self.lowered_by.setdefault(writer, self._kernel.now)
            self.replicas = replicas
            self.generation += 1
        self._changed()
        self.reconcile_soon()

    def mark(self, name: str, cost: int) -> bool:
        pod = self.pods.get(name)
        if pod is None:
            return False
        pod.marks = (*pod.marks[-3:], (self._kernel.now, cost))
        self._changed()
        return True

    def reconcile_soon(self) -> None:
        if not self._is_reconciling:
            self._is_reconciling = True
            self._kernel.after(self._chance.uniform(0.02, 0.6), self._reconcile)

    def _reconcile(self) -> None:
        self._is_reconciling = False
        self.observed = self.generation
        live = self.live()
        for _ in range(self.replicas - len(live)):
            self._create()
        seen_until = self._kernel.now - self._chance.uniform(0.0, 0.9)
        victims = sorted(live, key=lambda pod: pod.rank(seen_until))
        for pod in victims[: max(len(live) - self.replicas, 0)]:
            self.on_gone(pod.name)
            pod.phase = PodPhase.TERMINATING
            self._kernel.note("kubelet", f"stop {pod.name}")
            name = pod.name
            self._kernel.after(self._chance.uniform(0.1, 2.0), lambda name=name: self._bury(name))
        self.lowered_by.clear()
        self._changed()

    def _create(self) -> None:
        self._born += 1
        name = f"{self.pool.name}-{self._born:03}"
        self.pods[name] = TruePod(name, PodPhase.STARTING, self._kernel.now)
        self._kernel.after(self._chance.uniform(0.5, 3.0), lambda: self._ready(name))

    def _ready(self, name: str) -> None:
        pod = self.pods.get(name)
        if pod is not None and pod.phase is PodPhase.STARTING:
            pod.phase, pod.ready_at = PodPhase.READY, self._kernel.now
            self.on_ready(name)
            self._changed()

    def _bury(self, name: str) -> None:
        self.pods.pop(name, None)
        self._changed()

    def _changed(self) -> None:
        self.version = self._new_version()
        self.on_change()


class LeaseTruth:
    """The Lease object, and who has held it: each change of the holder begins a new reign."""

    def __init__(self, kernel: Kernel, version: Callable[[], int]) -> None:
        self._kernel = kernel
        self._new_version = version
        self.spec: dict[str, object] | None = None
        self.version = 0
        self.reign = 0
        self.holder = ""
        self.damaged_at = float("-inf")
        self.watchers: list[tuple[Machine, Callable[[], None]]] = []

    def get(self) -> bytes:
        if self.spec is None:
            raise ApiError(404, "NotFound", "no lease")
        return self._shown()

    def write(self, spec: dict[str, object], replaces: str | None) -> bytes:
        if replaces is None and self.spec is not None:
            raise ApiError(409, "AlreadyExists", "there is one")
        if replaces is not None and self.spec is None:
            raise ApiError(404, "NotFound", "no lease")
        if replaces is not None and replaces != str(self.version):
            raise ApiError(409, "Conflict", "changed")
        self._store(spec)
        return self._shown()

    def damage(self, amount: float) -> None:
        """A person deletes it, or writes nonsense into it."""
        self.damaged_at = self._kernel.now
        if amount < 0.5 or self.spec is None:
            self.spec = None
            self._tell()
        else:
            self._store({**self.spec, "holderIdentity": "" if amount < 0.75 else "somebody else"})

    def _store(self, spec: dict[str, object]) -> None:
        holder = str(spec.get("holderIdentity", ""))
        if holder and holder != self.holder:
            self.reign += 1
            self._kernel.note("lease", f"reign {self.reign} of {holder}")
        self.spec, self.holder, self.version = spec, holder, self._new_version()
        self._tell()

    def _tell(self) -> None:
        for machine, changed in self.watchers:
            if not machine.has_ended:
                self._kernel.after(0.02, lambda m=machine, c=changed: m.post(c))

    def _shown(self) -> bytes:
        metadata = {"name": "agentdash", "resourceVersion": str(self.version)}
        return msgspec.json.encode({"metadata": metadata, "spec": self.spec})


def find(deployments: dict[PoolKey, Deployment], path: str) -> Deployment:
    """The Deployment of a request's path."""
    parts = path.split("/")
    namespace, name = parts[parts.index("namespaces") + 1], parts[-2]
    for each in deployments.values():
        if (each.pool.namespace, each.pool.deployment) == (namespace, name):
            return each
    raise ApiError(404, "NotFound", f"no {path}")
