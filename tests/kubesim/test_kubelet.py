"""Pods start phase by phase, run a worker, and stop within their grace period."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest

from agentdash.demo.kubesim import ColdStart, PodTrouble
from agentdash.demo.kubesim.controllers.pods import condition, is_ready
from agentdash.demo.kubesim.store import Change
from agentdash.demo.kubesim.tables import pod_phrase
from tests.kubesim.conftest import CORE, World

Start = Callable[..., Awaitable[World]]


def _phrases(world: World) -> list[str]:
    return [pod_phrase(pod.object) for pod in world.pods()]


async def test_a_pod_is_pending_then_creating_then_running_then_ready(world: World) -> None:
    seen: list[tuple[str, bool, bool]] = []

    def note(change: Change) -> None:
        if change.new.resource.kind == "Pod":
            pod = change.new.object
            phase = (pod_phrase(pod), "nodeName" in pod["spec"], is_ready(pod))
            if not seen or seen[-1] != phase:
                seen.append(phase)

    world.store.subscribe(note)
    await world.scale(1)
    await world.until(lambda: world.ready() == 1)
    assert seen == [
        ("Pending", False, False),
        ("Pending", True, False),
        ("ContainerCreating", True, False),
        ("Running", True, False),
        ("Running", True, True),
    ]


def test_cold_starts_have_the_measured_median_and_tail() -> None:
    rng, cold_start = Random(1), ColdStart()
    drawn = statistics.quantiles((cold_start.draw(rng) for _ in range(4000)), n=100)
    assert drawn[49] == pytest.approx(9.0, rel=0.05)
    assert 1.9 < drawn[94] / drawn[49] < 2.3
    assert 2.5 < drawn[98] / drawn[49] < 3.2


class Worker:
    """A worker that notes its calls and stops when it is told, or never."""

    def __init__(self, *, obedient: bool = True) -> None:
        self.started: list[str] = []
        self.told: list[str] = []
        self.cancelled: list[str] = []
        self._obedient = obedient

    async def run(self, pod: dict[str, Any], stopping: asyncio.Event) -> None:
        name = pod["metadata"]["name"]
        self.started.append(name)
        try:
            await stopping.wait()
            self.told.append(name)
            if not self._obedient:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise


async def test_a_ready_pod_runs_a_worker_until_it_is_told_to_stop(world: World) -> None:
    worker = world.sim.pod_runner = Worker()
    await world.scale(2)
    await world.until(lambda: world.ready() == 2 and len(worker.started) == 2)
    await world.scale(0)
    await world.until(lambda: not world.pods())
    assert sorted(worker.told) == sorted(worker.started)
    assert worker.cancelled == []


async def test_a_worker_that_does_not_stop_is_ended_with_its_grace_period(world: World) -> None:
    worker = world.sim.pod_runner = Worker(obedient=False)
    await world.scale(1)
    await world.until(lambda: world.ready() == 1 and bool(worker.started))
    await world.scale(0)
    await world.until(lambda: not world.pods())
    assert worker.told == worker.started
    await world.until(lambda: worker.cancelled == worker.told)


class Crashing:
    """A worker that fails at once."""

    async def run(self, _pod: dict[str, Any], _stopping: asyncio.Event) -> None:
        raise RuntimeError("no model")


async def test_a_worker_that_fails_is_a_crashing_container(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.sim.pod_runner = Crashing()
    await world.scale(1)
    await world.until(lambda: _phrases(world) == ["CrashLoopBackOff"])
    status = world.pods()[0].object["status"]["containerStatuses"][0]
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert not is_ready(world.pods()[0].object)
    await world.until(
        lambda: world.pods()[0].object["status"]["containerStatuses"][0]["restartCount"] == 2
    )
    assert "the worker of pod" in caplog.text


async def test_an_image_that_cannot_be_pulled_is_shown_until_it_can(world: World) -> None:
    kubelets = world.sim.cluster.kubelets
    kubelets.add_trouble(PodTrouble("waiting", name="research-", message="no such image"))
    await world.scale(1)
    await world.until(lambda: _phrases(world) == ["ImagePullBackOff"])
    assert world.ready() == 0
    kubelets.end_troubles()
    await world.until(lambda: world.ready() == 1)


async def test_a_trouble_concerns_running_pods_too(world: World) -> None:
    await world.scale(1)
    await world.until(lambda: world.ready() == 1)
    world.sim.cluster.kubelets.add_trouble(PodTrouble("never-ready"))
    await world.until(lambda: world.ready() == 0 and _phrases(world) == ["Running"])
    why = condition(world.pods()[0].object, "Ready")
    assert why is not None
    assert why["reason"] == "ContainersNotReady"


async def test_a_crash_loop_counts_restarts(world: World) -> None:
    world.sim.cluster.kubelets.add_trouble(PodTrouble("crash-loop", exit_code=137))
    await world.scale(1)
    await world.until(lambda: _phrases(world) == ["CrashLoopBackOff"])
    status = world.pods()[0].object["status"]["containerStatuses"][0]
    assert status["lastState"]["terminated"]["exitCode"] == 137
    assert status["restartCount"] == 1


async def test_a_forced_deletion_does_not_wait(start: Start) -> None:
    world = await start(speed=1.0, cold_start=ColdStart(median_s=0.02, sigma=0.0))
    await world.sim.create_deployment("research", "tenant-a", replicas=1, grace_s=3600)
    world.sim.pod_runner = Worker(obedient=False)
    await world.until(lambda: world.ready() == 1)
    name = world.pods()[0].key[1]
    status, _ = await world.call("DELETE", f"{CORE}/pods/{name}?gracePeriodSeconds=0")
    assert status == 200
    assert name not in {pod.key[1] for pod in world.pods()}


async def test_nothing_is_left_running_after_the_simulator_ends(start: Start) -> None:
    before = asyncio.all_tasks()
    world = await start()
    world.sim.pod_runner = Worker()
    await world.sim.create_deployment("research", "tenant-a", replicas=2)
    await world.until(lambda: world.ready() == 2)
    await world.session.close()
    await world.sim.__aexit__(None, None, None)
    assert asyncio.all_tasks() == before
