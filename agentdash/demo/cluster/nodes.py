"""Nodes, the scheduler that puts pods on them, and the kubelets: they start pods phase by phase,
run a worker in each, and stop them in time.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from agentdash.demo.cluster.objects import (
    NODES,
    PODS,
    Amounts,
    Object,
    Timers,
    WorkQueue,
    added,
    condition,
    is_terminating,
    milli,
    stamp,
    used_of_node,
)
from agentdash.demo.cluster.registry import Change, EventRecorder, Key, Registry, StoredObject

_log = logging.getLogger(__name__)
_SCHEDULER: Final = "default-scheduler"
_RETRY_ALL: Final[Key] = ("", "")  # not a pod: "try every pod that waits again"
_CREATING: Final = {"waiting": {"reason": "ContainerCreating"}}
_STARTED: Final = ("Initialized", "PodReadyToStartContainers", "ContainersReady", "Ready")


def new_node(registry: Registry, name: str, cpu: str) -> StoredObject:
    """Add a Ready node with so much CPU."""
    now, amounts = stamp(), {"cpu": cpu, "memory": "13Gi", "pods": "110"}
    labels = {"kubernetes.io/hostname": name, "node.kubernetes.io/instance-type": "e2-standard-4"}
    node = registry.create(NODES, "", {"metadata": {"name": name, "labels": labels}, "spec": {}})
    ready = {
        "type": "Ready",
        "status": "True",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
        "reason": "KubeletReady",
        "message": "kubelet is posting ready status",
    }
    return registry.set_status(
        node, {"capacity": amounts, "allocatable": amounts, "conditions": [ready]}
    )


class Scheduler:
    """Binds pending pods: each to the node with the fewest pods among those that fit by requests,
    taints and cordon. It never preempts. A pod that fits nowhere waits until a node changes or a
    pod leaves its node.
    """

    def __init__(self, registry: Registry, recorder: EventRecorder) -> None:
        self._registry, self._store, self._recorder = registry, registry.store, recorder
        self._waiting: dict[Key, None] = {}
        self.queue: WorkQueue[Key] = WorkQueue(self._sync)
        registry.store.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        kind, pod = change.new.kind, change.new.object
        leaves = kind is PODS and change.type == "DELETED"
        if kind is PODS and change.type == "ADDED" and not pod["spec"].get("nodeName"):
            self.queue.add(change.new.key)
        elif self._waiting and (leaves or kind is NODES):
            self.queue.add(_RETRY_ALL)

    def _sync(self, key: Key) -> None:
        if key != _RETRY_ALL:
            self._schedule(key)
            return
        hopeless: set[str] = set()
        for waiting in list(self._waiting):
            pod = self._store.get(PODS, *waiting)
            spec = pod.object["spec"] if pod is not None else {}
            # where one pod fits nowhere, no pod with the same requests does
            alike = str(used_of_node(spec))
            if alike not in hopeless and not self._schedule(waiting):
                hopeless.add(alike)

    def _schedule(self, key: Key) -> bool:
        """Bind one pod; False if it fits nowhere."""
        pod = self._store.get(PODS, *key)
        if pod is None or pod.object["spec"].get("nodeName") or is_terminating(pod.object):
            self._waiting.pop(key, None)
            return True
        asked, reasons = used_of_node(pod.object["spec"]), Counter[str]()
        fitting: dict[str, int] = {}
        used = self._used()
        for node in self._store.each(NODES):
            holds = _allocatable(node)
            on_node = used.get(node.key[1], {})
            if why := _unfit(node.object) or _lacking(asked, on_node, holds):
                reasons.update(why)
            else:
                fitting[node.key[1]] = on_node.get("pods", 0)
        if fitting:
            self._bind(pod, min(fitting, key=lambda name: (fitting[name], name)))
            return True
        self._waiting.setdefault(key)
        self._explain(pod, reasons)
        return False

    def _used(self) -> dict[str, Amounts]:
        """What the pods of each node use."""
        on: dict[str, list[Amounts]] = {}
        for pod in self._store.each(PODS):
            node = pod.object["spec"].get("nodeName")
            if node:
                on.setdefault(node, []).append(used_of_node(pod.object["spec"]))
        return {node: added(amounts) for node, amounts in on.items()}

    def _bind(self, pod: StoredObject, node: str) -> None:
        self._waiting.pop(pod.key, None)
        status = pod.object["status"] | {"conditions": [_condition("PodScheduled", value=True)]}
        spec = pod.object["spec"] | {"nodeName": node}
        bound = self._store.update(pod, pod.object | {"spec": spec, "status": status})
        words = f"Successfully assigned {pod.key[0]}/{pod.key[1]} to {node}"
        self._recorder.say(bound, "Scheduled", words, _SCHEDULER, action="Binding")

    def _explain(self, pod: StoredObject, reasons: Counter[str]) -> None:
        nodes = len(list(self._store.each(NODES)))
        words = "no nodes available to schedule pods"
        if nodes:
            shown = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
            available = f"0/{nodes} nodes are available:"
            words = f"{available} {shown}. no new claims to deallocate, preemption: {available} "
            words += f"{nodes} Preemption is not helpful for scheduling."
        if (condition(pod.object, "PodScheduled") or {}).get("message") == words:
            return
        why = {"reason": "Unschedulable", "message": words}
        fresh = _condition("PodScheduled", value=False) | why
        told = self._registry.set_status(pod, pod.object["status"] | {"conditions": [fresh]})
        self._recorder.say(
            told, "FailedScheduling", words, _SCHEDULER, is_warning=True, action="Scheduling"
        )


def _allocatable(node: StoredObject) -> Amounts:
    amounts = (node.object.get("status") or {}).get("allocatable") or {}
    return {name: milli(amount) for name, amount in amounts.items()}


def _unfit(node: Object) -> list[str]:
    """Why no pod may begin on the node, however much room it has. No pod here tolerates a taint."""
    spec = node.get("spec") or {}
    if spec.get("unschedulable"):
        return ["node(s) were unschedulable"]
    for taint in spec.get("taints") or ():
        return [f"node(s) had untolerated taint(s) {{{taint['key']}: {taint.get('value', '')}}}"]
    return []


def _lacking(asked: Amounts, used: Amounts, holds: Amounts) -> list[str]:
    short = (
        name
        for name, amount in asked.items()
        if amount and amount + used.get(name, 0) > holds.get(name, 0)
    )
    return ["Too many pods" if name == "pods" else f"Insufficient {name}" for name in short]


class PodRunner(Protocol):
    """What runs in a Ready pod. A pod in which it has ended is deleted."""

    async def run(self, pod: Object, stopping: asyncio.Event) -> None:
        """Work as this pod until `stopping` is set."""


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Times in simulated seconds: from scheduled to Ready (log-normal), and for a stop.

    The default has the tail of measured cold starts: the 95th percentile is twice the median, the
    99th three times.
    """

    median_s: float = 9.0
    sigma: float = 0.45
    pull_share: float = 0.5  # of that time, until the container runs
    stop_s: float = 1.0  # where no worker runs; never longer than the grace period

    def draw(self, rng: random.Random) -> float:
        """The time to Ready of one pod."""
        return self.median_s * math.exp(rng.gauss(0.0, self.sigma))


_BACK_OFF_S: Final = 10.0
"""Of a container that has ended with an error (the first one of kubelet/kuberuntime)."""


@dataclass(slots=True)
class _Life:
    """One pod on its node. `works`: a worker runs in it."""

    key: Key
    uid: str
    address: str
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Future[None] | None = None
    works: bool = False


class Kubelets:
    """Every node's kubelet: the life of each pod is an asyncio task."""

    def __init__(
        self,
        registry: Registry,
        recorder: EventRecorder,
        timers: Timers,
        *,
        rng: random.Random,
        cold_start: ColdStart,
        start: Callable[[Coroutine[Any, Any, None]], asyncio.Future[None]],
        runner: Callable[[], PodRunner | None],
    ) -> None:
        """`start` runs a part of the cluster as a task, `runner` says what runs in a Ready pod."""
        self._registry, self._recorder, self._timers = registry, recorder, timers
        self._rng, self._cold_start, self._start = rng, cold_start, start
        self._lives: dict[str, _Life] = {}
        self._addresses, self._runner = 0, runner
        registry.store.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        pod = change.new
        if pod.kind is not PODS:
            return
        life = self._lives.get(pod.uid)
        if change.type == "DELETED":
            if life is not None:
                del self._lives[pod.uid]
                life.stopping.set()
                if life.task is not None:
                    life.task.cancel()
        elif life is None:
            if pod.object["spec"].get("nodeName"):
                self._begin(pod)
        elif is_terminating(pod.object) and not life.stopping.is_set():
            self._stop(pod, life)

    def _begin(self, pod: StoredObject) -> None:
        self._addresses += 1
        number = self._addresses
        address = f"10.{64 + number // 65536 % 64}.{number // 256 % 256}.{number % 256}"
        life = self._lives[pod.uid] = _Life(pod.key, pod.uid, address)
        life.task = self._start(self._live(life))

    async def _live(self, life: _Life) -> None:
        """From its creation to Ready; then what runs in it, to its end."""
        # a turn later, so that a watch shows the pod scheduled before it is being created
        await asyncio.sleep(0)
        pod = self._set(life, lambda pod: _status(pod, "Pending", _CREATING))
        for container in pod.object["spec"]["containers"]:
            self._say(pod, "Pulling", f'Pulling image "{container["image"]}"')
        whole = self._cold_start.draw(self._rng)
        await self._timers.sleep(whole * self._cold_start.pull_share)
        pod = self._set(life, lambda pod: _running(pod, life, ready=False))
        for container in pod.object["spec"]["containers"]:
            name, image = container["name"], container["image"]
            self._say(pod, "Pulled", f'Successfully pulled image "{image}"')
            self._say(pod, "Created", f"Container created: {name}")
            self._say(pod, "Started", f"Container started: {name}")
        await self._timers.sleep(whole * (1 - self._cold_start.pull_share))
        pod = self._set(life, lambda pod: _running(pod, life, ready=True))
        runner = self._runner()
        if runner is None:
            return
        life.works = True
        while not life.stopping.is_set():
            try:
                await runner.run({"kind": "Pod", "apiVersion": "v1", **pod.object}, life.stopping)
                break
            except Exception:  # noqa: BLE001 - one worker that fails must not end the cluster
                _log.exception("the worker of pod %s failed", "/".join(life.key))
            pod = self._set(life, lambda pod: _crashed(pod, life))
            self._say(pod, "BackOff", "Back-off restarting failed container", is_warning=True)
            await self._timers.sleep(_BACK_OFF_S)
            pod = self._set(life, lambda pod: _running(pod, life, ready=True, starts=1))
        life.works = False
        self._registry.delete(PODS, *life.key, grace_s=0)

    def _set(self, life: _Life, status: Callable[[Object], Object]) -> StoredObject:
        """Report a status."""
        pod = self._registry.read(PODS, *life.key)
        return self._registry.set_status(pod, status(pod.object))

    def _say(self, pod: StoredObject, reason: str, words: str, *, is_warning: bool = False) -> None:
        host = pod.object["spec"]["nodeName"]
        self._recorder.say(pod, reason, words, "kubelet", is_warning=is_warning, host=host)

    def _stop(self, pod: StoredObject, life: _Life) -> None:
        """Tell its worker; it is removed when that has ended, or its time is over."""
        life.stopping.set()
        for container in pod.object["spec"]["containers"]:
            self._say(pod, "Killing", f"Stopping container {container['name']}")
        grace = float(pod.object["metadata"]["deletionGracePeriodSeconds"])
        if not life.works:
            grace = min(grace, self._cold_start.stop_s)
            if life.task is not None:
                life.task.cancel()

        def over() -> None:
            if life.uid in self._lives:
                self._registry.delete(PODS, *life.key, grace_s=0)

        self._timers.after(grace, over)


def _crashed(pod: Object, life: _Life) -> Object:
    """The containers have ended with an error and wait to be started again."""
    words = "back-off 10s restarting failed container"
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": words}}
    ended = {"exitCode": 1, "reason": "Error", "finishedAt": stamp()}
    status = _status(pod, "Running", waiting, address=life.address)
    for each in status["containerStatuses"]:
        each["lastState"] = {"terminated": ended}
    return status


def _running(pod: Object, life: _Life, *, ready: bool, starts: int = 0) -> Object:
    """The containers run; they began when they were first seen so."""
    statuses = pod["status"].get("containerStatuses") or ()
    began = (each["state"].get("running", {}).get("startedAt") for each in statuses)
    running = {"running": {"startedAt": next(filter(None, began), stamp())}}
    status = _status(pod, "Running", running, address=life.address, ready=ready)
    for each in status["containerStatuses"]:
        each["restartCount"] += starts
    return status


def _status(
    pod: Object, phase: str, state: Object, *, address: str = "", ready: bool = False
) -> Object:
    """A pod's status as its kubelet reports it; with an address its containers have started."""
    before = pod["status"]
    known = {each["name"]: each for each in before.get("containerStatuses") or ()}
    status: Object = {
        "phase": phase,
        "conditions": _conditions(pod, started=bool(address), ready=ready),
        "startTime": before.get("startTime") or stamp(),
    }
    if address:
        status |= {"podIP": address, "podIPs": [{"ip": address}]}
    status["containerStatuses"] = [
        {
            "name": container["name"],
            "state": dict(state),
            "lastState": known.get(container["name"], {}).get("lastState", {}),
            "ready": ready,
            "restartCount": known.get(container["name"], {}).get("restartCount", 0),
            "image": container["image"],
            "imageID": "",
        }
        for container in pod["spec"]["containers"]
    ]
    return status


def _conditions(pod: Object, *, started: bool, ready: bool) -> list[Object]:
    names = ", ".join(container["name"] for container in pod["spec"]["containers"])
    words = f"containers with unready status: [{names}]"
    why = {"reason": "ContainersNotReady", "message": words}
    found = []
    for kind, value in zip(_STARTED, (True, started, ready, ready), strict=True):
        fresh = _condition(kind, value=value)
        known = condition(pod, kind)
        if known and known["status"] == fresh["status"]:
            fresh["lastTransitionTime"] = known["lastTransitionTime"]
        found.append(fresh if value or kind in _STARTED[:2] else fresh | why)
    others = (each for each in pod["status"].get("conditions") or ())
    return [*found, *(each for each in others if each["type"] not in _STARTED)]


def _condition(kind: str, *, value: bool) -> Object:
    return {
        "type": kind,
        "status": "True" if value else "False",
        "lastProbeTime": None,
        "lastTransitionTime": stamp(),
    }
