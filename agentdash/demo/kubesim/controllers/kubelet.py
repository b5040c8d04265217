"""The kubelets of all nodes: they start pods phase by phase, run a worker in each, and stop them in
time.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from agentdash.demo.kubesim.clock import Timers
from agentdash.demo.kubesim.controllers import pod_status
from agentdash.demo.kubesim.controllers.events import EventRecorder
from agentdash.demo.kubesim.controllers.pods import is_terminating
from agentdash.demo.kubesim.objects import Object
from agentdash.demo.kubesim.registry import DeleteOptions, Registry
from agentdash.demo.kubesim.resources import PODS
from agentdash.demo.kubesim.store import Change, Key, StoredObject
from agentdash.demo.kubesim.usage import is_terminal

_log = logging.getLogger(__name__)
# how long a real kubelet waits before it restarts a crashed container (CrashLoopBackOff)
CRASH_LOOP_FIRST_S, CRASH_LOOP_MOST_S = 10.0, 300.0


class PodRunner(Protocol):
    """What runs in a Ready pod. It returns when it is done, or soon after `stopping` is set."""

    async def run(self, pod: Object, stopping: asyncio.Event) -> None:
        """Work as this pod until `stopping` is set; an exception crashes the container."""


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


@dataclass(frozen=True, slots=True)
class PodTrouble:
    """What goes wrong with some pods: those whose namespace and name match from the beginning."""

    kind: Literal["waiting", "never-ready", "crash-loop"]
    namespace: str = ".*"
    name: str = ".*"
    reason: str = "ImagePullBackOff"
    message: str = ""
    exit_code: int = 1

    def concerns(self, key: Key) -> bool:
        """Whether it concerns the pod with this key."""
        return bool(re.match(self.namespace, key[0]) and re.match(self.name, key[1]))


@dataclass(slots=True)
class PodLife:
    """One pod on its node."""

    key: Key
    uid: str
    address: str
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    restarts: int = 0


class Kubelets:
    """Every node's kubelet. Its steps are timer calls; only workers are tasks."""

    def __init__(
        self,
        registry: Registry,
        recorder: EventRecorder,
        timers: Timers,
        rng: random.Random,
        cold_start: ColdStart,
    ) -> None:
        self._registry, self._recorder, self._timers = registry, recorder, timers
        self._rng, self.cold_start = rng, cold_start
        self._lives: dict[str, PodLife] = {}
        self._addresses = 0
        self._troubles: list[PodTrouble] = []
        self.runner: PodRunner | None = None
        registry.store.subscribe(self._on_change)

    def add_trouble(self, trouble: PodTrouble) -> None:
        """Let pods go wrong from now on, those that exist already included."""
        self._troubles.append(trouble)
        self._restart_all(trouble.concerns)

    def end_troubles(self) -> None:
        """End every trouble; the pods concerned start again."""
        troubled, self._troubles = self._troubles, []
        self._restart_all(lambda key: any(trouble.concerns(key) for trouble in troubled))

    async def aclose(self) -> None:
        """Cancel the workers and wait for them."""
        tasks = [life.task for life in self._lives.values() if life.task is not None]
        self._lives.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _restart_all(self, concerns: Callable[[Key], bool]) -> None:
        for uid, life in list(self._lives.items()):
            pod = self._present(uid)
            if pod is not None and concerns(life.key) and not is_terminating(pod.object):
                self._abandon(life)
                self._begin(pod)

    def _on_change(self, change: Change) -> None:
        pod = change.new
        if pod.resource is not PODS:
            return
        life = self._lives.get(pod.uid)
        if change.type == "DELETED":
            if life is not None:
                self._abandon(life)
        elif life is None:
            if pod.object["spec"].get("nodeName") and not is_terminal(pod.object):
                self._begin(pod)
        elif is_terminating(pod.object) and not life.stopping.is_set():
            self._stop(pod, life)

    def _abandon(self, life: PodLife) -> None:
        self._lives.pop(life.uid, None)
        life.stopping.set()
        if life.task is not None:
            life.task.cancel()

    def _begin(self, pod: StoredObject) -> None:
        self._addresses += 1
        number = self._addresses
        address = f"10.{64 + number // 65536 % 64}.{number // 256 % 256}.{number % 256}"
        life = self._lives[pod.uid] = PodLife(pod.key, pod.uid, address)
        # a step of its own, so that a watch shows the pod scheduled before it is being created
        self._later(0.0, life, self._create_containers)

    def _later(
        self, delay_s: float, life: PodLife, step: Callable[[StoredObject, PodLife], None]
    ) -> None:
        def due() -> None:
            pod = self._present(life.uid)
            if pod is not None and self._lives.get(life.uid) is life:
                step(pod, life)

        self._timers.after(delay_s, due)

    def _present(self, uid: str) -> StoredObject | None:
        life = self._lives.get(uid)
        pod = self._registry.store.get(PODS, *life.key) if life is not None else None
        return pod if pod is not None and pod.uid == uid else None

    def _troubled(self, life: PodLife, kind: str) -> PodTrouble | None:
        found = (each for each in self._troubles if each.kind == kind and each.concerns(life.key))
        return next(found, None)

    def _say(self, pod: StoredObject, reason: str, message: str, type_: str = "Normal") -> None:
        source = {"component": "kubelet", "host": pod.object["spec"]["nodeName"]}
        self._recorder.legacy(pod, reason, message, source=source, type_=type_)

    def _create_containers(self, pod: StoredObject, life: PodLife) -> None:
        if life.stopping.is_set():
            return
        images = [container["image"] for container in pod.object["spec"]["containers"]]
        waiting = self._troubled(life, "waiting")
        if waiting is not None:
            status = pod_status.creating(pod.object, waiting.reason, waiting.message)
            pod = self._registry.set_status(pod, status)
            self._say(pod, "Failed", waiting.message or f"Error: {waiting.reason}", "Warning")
            return
        pod = self._registry.set_status(pod, pod_status.creating(pod.object))
        for image in images:
            self._say(pod, "Pulling", f'Pulling image "{image}"')
        whole = self.cold_start.draw(self._rng)
        pull = whole * self.cold_start.pull_share
        self._later(pull, life, self._start_containers)
        self._later(whole, life, self._become_ready)

    def _start_containers(self, pod: StoredObject, life: PodLife) -> None:
        if life.stopping.is_set():
            return
        status = pod_status.running(pod.object, life.address, ready=False)
        pod = self._registry.set_status(pod, status)
        for container in pod.object["spec"]["containers"]:
            image = container["image"]
            self._say(pod, "Pulled", f'Successfully pulled image "{image}"')
            self._say(pod, "Created", f"Container created: {container['name']}")
            self._say(pod, "Started", f"Container started: {container['name']}")

    def _become_ready(self, pod: StoredObject, life: PodLife) -> None:
        crash = self._troubled(life, "crash-loop")
        if crash is not None and not life.stopping.is_set():
            self._crash(pod, life, crash.exit_code)
        elif not life.stopping.is_set() and self._troubled(life, "never-ready") is None:
            status = pod_status.running(pod.object, life.address, ready=True)
            ready = self._registry.set_status(pod, status)
            if self.runner is not None:
                self._run(ready, life, self.runner)

    def _run(self, pod: StoredObject, life: PodLife, runner: PodRunner) -> None:
        item = {"kind": "Pod", "apiVersion": "v1", **pod.object}
        task = asyncio.get_running_loop().create_task(
            _as_coroutine(runner, item, life.stopping), name=f"pod {pod.key[0]}/{pod.key[1]}"
        )
        life.task = task
        task.add_done_callback(lambda done: self._on_runner_done(done, life))

    def _on_runner_done(self, task: asyncio.Task[None], life: PodLife) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            _log.error("the worker of pod %s failed", "/".join(life.key), exc_info=error)
        pod = self._present(life.uid)
        if pod is None or self._lives.get(life.uid) is not life:
            return
        life.task = None
        if life.stopping.is_set():
            self._finish(pod, life)
        else:
            self._crash(pod, life, 1 if error is not None else 0)

    def _crash(self, pod: StoredObject, life: PodLife, exit_code: int) -> None:
        life.restarts += 1
        status = pod_status.crashed(pod.object, exit_code, life.restarts)
        pod = self._registry.set_status(pod, status)
        first = pod.object["spec"]["containers"][0]["name"]
        words = f"Back-off restarting failed container {first} in pod {pod.key[1]}"
        self._say(pod, "BackOff", words, "Warning")
        delay = min(CRASH_LOOP_MOST_S, CRASH_LOOP_FIRST_S * 2.0 ** (life.restarts - 1))
        self._later(delay, life, self._restart)

    def _restart(self, pod: StoredObject, life: PodLife) -> None:
        if life.stopping.is_set():
            return
        status = pod_status.running(pod.object, life.address, ready=False)
        self._registry.set_status(pod, status)
        self._later(1.0, life, self._become_ready)

    def _stop(self, pod: StoredObject, life: PodLife) -> None:
        life.stopping.set()
        for container in pod.object["spec"]["containers"]:
            self._say(pod, "Killing", f"Stopping container {container['name']}")
        grace = float(pod.object["metadata"].get("deletionGracePeriodSeconds", 0))
        if life.task is None:
            grace = min(grace, self.cold_start.stop_s)
        self._later(grace, life, self._finish)

    def _finish(self, pod: StoredObject, life: PodLife) -> None:
        """Remove the pod: its containers have stopped, or their time is over."""
        self._registry.delete(PODS, *life.key, DeleteOptions(grace_s=0, uid=pod.uid))


async def _as_coroutine(runner: PodRunner, pod: Object, stopping: asyncio.Event) -> None:
    await runner.run(pod, stopping)
