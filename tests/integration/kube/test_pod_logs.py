"""The last lines of a pod, and in words why there are none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agentdash.demo.cluster.objects import PODS
from controller.engine.supervise import SystemClock
from controller.kube.cluster import Cluster
from controller.kube.pod_desk import MOST_LINES, MOST_LOG_BYTES, TAIL_LINES
from controller.model.settings import KubernetesSettings
from controller.model.snapshot import PodLog
from controller.ports import PodUnknownError
from fakes.cluster import ColdStart, SimCluster
from integration.kube.conftest import status

NAMESPACE = "tenant-acme"


class Crashing:
    """Its first run ends with an error when it is told so."""

    def __init__(self) -> None:
        self.fails, self.runs = asyncio.Event(), 0
        self.write: Callable[[str, str], None]

    async def run(self, pod: dict[str, Any], stopping: asyncio.Event) -> None:
        self.runs += 1
        self.write(pod["metadata"]["name"], f"begins {self.runs}")
        if self.runs == 1:
            await self.fails.wait()
            self.write(pod["metadata"]["name"], "out of luck")
            raise RuntimeError("it is told to")
        await stopping.wait()


@asynccontextmanager
async def one_pod(
    tmp_path: Path, runner: Crashing | None = None, **spec: Any
) -> AsyncIterator[tuple[SimCluster, Cluster, str]]:
    """A simulated cluster with one running pod."""
    async with SimCluster(speed=100.0, cold_start=ColdStart(median_s=1.0, sigma=0.1)) as sim:
        if runner is not None:
            sim.pod_runner, runner.write = runner, partial(sim.write_log, NAMESPACE)
        await sim.create_namespace(NAMESPACE)
        running = asyncio.Event()
        sim.store.subscribe(lambda _: running.set() if ready(sim) else None)
        made = await sim.create_deployment("research", NAMESPACE)
        sim.registry.patch(made, {"spec": {"replicas": 1, "template": {"spec": spec}}})
        await asyncio.wait_for(running.wait(), 15)
        sim.write_kubeconfig(tmp_path / "config")
        settings = KubernetesSettings(kubeconfig=str(tmp_path / "config"))
        async with Cluster.connect(settings, SystemClock()) as cluster:
            yield sim, cluster, ready(sim)[0]


def listed(*items: dict[str, Any]) -> Any:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"metadata": {"resourceVersion": "7"}, "items": items})

    return answer


def said(reason: str, at: str, **parts: Any) -> dict[str, Any]:
    message = "probe: HTTP 503" if reason == "Unhealthy" else reason
    found = {"reason": reason, "message": message, "lastTimestamp": at, **parts}
    return {"metadata": {"name": reason}, **found}


def ready(sim: SimCluster) -> list[str]:
    return [
        pod.object["metadata"]["name"]
        for pod in sim.store.each(PODS, NAMESPACE)
        if pod.object["status"].get("phase") == "Running"
    ]


async def test_the_last_lines_are_clean_and_in_order(tmp_path: Path) -> None:
    async with one_pod(tmp_path) as (sim, cluster, pod):
        for number in range(TAIL_LINES + 40):
            sim.write_log(NAMESPACE, pod, f"line {number}")
        sim.write_log(NAMESPACE, pod, "\x1b]52;c;AAAA\x07 [@click=app.quit()]\u202e\ttail\r")
        log = await cluster.pods.tail(NAMESPACE, pod)
    assert len(log.lines) == TAIL_LINES
    assert log.lines[0] == "line 41"
    assert log.lines[-1] == "\ufffd]52;c;AAAA\ufffd [@click=app.quit()]\ufffd tail"
    assert not log.is_cut


async def test_a_pod_that_wrote_nothing_has_no_lines(tmp_path: Path) -> None:
    async with one_pod(tmp_path) as (_, cluster, pod):
        assert (await cluster.pods.tail(NAMESPACE, pod)).lines == ()


async def test_of_several_containers_the_first_is_read(tmp_path: Path) -> None:
    containers = [{"name": name, "image": "a:1"} for name in ("agent", "proxy")]
    async with one_pod(tmp_path, containers=containers) as (sim, cluster, pod):
        sim.write_log(NAMESPACE, pod, "hello")
        log = await cluster.pods.tail(NAMESPACE, pod)
    assert (log.container, log.lines) == ("agent", ("hello",))


async def test_another_container_is_read_by_its_name_and_no_run_before_is_said(
    tmp_path: Path,
) -> None:
    containers = [{"name": name, "image": "a:1"} for name in ("agent", "proxy")]
    async with one_pod(tmp_path, containers=containers) as (sim, cluster, pod):
        sim.write_log(NAMESPACE, pod, "hello")
        first = await cluster.pods.tail(NAMESPACE, pod)
        other = await cluster.pods.tail(NAMESPACE, pod, PodLog(container="proxy"))
        with pytest.raises(PodUnknownError, match="no log of a run before this one: previous term"):
            await cluster.pods.tail(NAMESPACE, pod, PodLog(container="proxy"), previous=True)
        with pytest.raises(PodUnknownError, match="not there any longer"):
            await cluster.pods.tail(NAMESPACE, "gone")
    assert (first.container, first.containers) == ("agent", ("agent", "proxy"))
    assert (other.container, other.lines) == ("proxy", ("hello",))


async def test_what_the_cluster_said_last_of_a_pod_stands_first(api: Any) -> None:
    beside = {"name": "mesh", "image": "mesh:1", "restartPolicy": "Always"}
    spec = {"containers": [{"name": "agent", "image": "a:1"}], "initContainers": [beside]}
    api.always["list pods"] = listed({"metadata": {"name": "p"}, "spec": spec, "status": {}})
    same = "2026-03-02T12:00:00Z"
    api.always["list events"] = listed(
        said("Pulled", same),
        said("Unhealthy", "2026-03-02T12:04:00Z", type="Warning", count=7),
        said("Started", same),
    )
    async with api.cluster() as cluster:
        found = await cluster.pods.look("tenant-a", "p")
    assert [(each.name, each.image, each.is_init) for each in found.containers] == [
        ("mesh", "mesh:1", False),
        ("agent", "a:1", False),
    ]
    assert not isinstance(found.events, str)
    assert [(each.reason, each.count, each.is_warning) for each in found.events] == [
        ("Unhealthy", 7, True),
        ("Started", 1, False),
        ("Pulled", 1, False),
    ]


async def test_a_pod_is_known_without_the_right_to_read_events(api: Any) -> None:
    api.always["list pods"] = listed({"metadata": {"name": "p"}, "status": {}})
    api.always["list events"] = status(403, "", "forbidden")
    async with api.cluster() as cluster:
        found = await cluster.pods.look("tenant-a", "p")
    assert found.events == "our user may not read events in tenant-a: allow it `list` on `events`"


REFUSALS = {
    403: ("pods is forbidden", "may not read logs in tenant-a: allow it `get` on `pods/log`"),
    404: ('pods "p" not found', "the pod is not there any longer"),
    400: ('container "a" in pod "p" is waiting to start', "nothing yet: container"),
    500: ("dial tcp 10.0.0.7:10250: refused", "the kubelet of its node does not answer: dial"),
}


@pytest.mark.parametrize("code", REFUSALS)
async def test_a_refusal_is_said_in_words(api: Any, code: int) -> None:
    message, words = REFUSALS[code]
    api.always["log"] = status(code, "", message)
    async with api.cluster() as cluster:
        with pytest.raises(PodUnknownError, match=words):
            await cluster.pods.tail("tenant-a", "p", PodLog(container="agent"))


async def test_an_endless_line_is_cut_and_said_to_be(api: Any) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * int(request.query["limitBytes"]))

    api.always["log"] = answer
    async with api.cluster() as cluster:
        log = await cluster.pods.tail("tenant-a", "p", PodLog(container="agent"))
    assert log.is_cut
    assert len(log.lines) == 1
    assert len(log.lines[0]) < MOST_LOG_BYTES / 100


async def test_a_log_is_gone_on_with_by_its_times_and_nothing_comes_twice(tmp_path: Path) -> None:
    async with one_pod(tmp_path) as (sim, cluster, pod):
        for text in ("same", "same", "end"):
            sim.write_log(NAMESPACE, pod, text)
        log = await cluster.pods.tail(NAMESPACE, pod)
        assert (await cluster.pods.tail(NAMESPACE, pod, log)) == log
        for text in ("end", "end", "more"):
            sim.write_log(NAMESPACE, pod, text)
        log = await cluster.pods.tail(NAMESPACE, pod, log)
        assert log.lines == ("same", "same", "end", "end", "end", "more")
        for number in range(MOST_LINES):
            sim.write_log(NAMESPACE, pod, f"line {number}")
            if number % 500 == 499:
                log = await cluster.pods.tail(NAMESPACE, pod, log)
    assert log.lines == tuple(f"line {number}" for number in range(MOST_LINES))
    assert log.first == 7, "a number stays that of its line"


async def test_lines_of_one_time_are_told_apart(api: Any) -> None:
    async def answer(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        return web.Response(text="".join(f"{at} {text}\n" for at, text in written))

    at, asked = "2026-03-02T12:04:00.000000001Z", list[dict[str, str]]()
    written = [(at, "one"), (at, "two")]
    api.always["log"] = answer
    async with api.cluster() as cluster:
        log = await cluster.pods.tail("tenant-a", "p", PodLog(container="agent"))
        written += [(at, "three"), ("2026-03-02T12:04:00.25Z", "four")]
        log = await cluster.pods.tail("tenant-a", "p", log)
        assert log.lines == ("one", "two", "three", "four")
        assert asked[-1]["sinceTime"] == "2026-03-02T12:04:00+00:00"
        written[:] = [("2026-03-02T12:04:09Z", "nine")]
        api.always["list pods"] = listed({"metadata": {"name": "p"}, "status": {}})
        log = await cluster.pods.tail("tenant-a", "p", log)
    assert log.lines[-2:] == ("[lines between these were not read]", "nine")


async def test_a_restart_is_marked_between_the_last_line_of_a_run_and_the_next_run(
    tmp_path: Path,
) -> None:
    worker = Crashing()
    async with one_pod(tmp_path, worker) as (_, cluster, name):
        log = PodLog()
        while log.lines != ("begins 1",):
            log = await cluster.pods.tail(NAMESPACE, name, log)
        worker.fails.set()
        while log.lines[-1] != "begins 2":
            log = await cluster.pods.tail(NAMESPACE, name, log)
        mark = "[it ended with exit 1 (Error), and was started again]"
        assert log.lines == ("begins 1", "out of luck", mark, "begins 2")
        assert (await cluster.pods.tail(NAMESPACE, name, log)).lines == log.lines
        before = await cluster.pods.tail(NAMESPACE, name, previous=True)
        assert before.lines == ("begins 1", "out of luck")
        found = await cluster.pods.look(NAMESPACE, name)
        assert found.containers[0].restarts == 1
        assert "BackOff" in {each.reason for each in found.events if not isinstance(each, str)}
