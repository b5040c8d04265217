"""The last lines of a pod, and in words why there are none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agentdash.demo.cluster.objects import PODS
from controller.engine.supervise import SystemClock
from controller.kube.cluster import MOST_LOG_BYTES, TAIL_LINES, Cluster
from controller.model.settings import KubernetesSettings
from controller.ports import PodLogError
from fakes.cluster import ColdStart, SimCluster
from integration.kube.conftest import status

NAMESPACE = "tenant-acme"


@asynccontextmanager
async def one_pod(tmp_path: Path, **spec: Any) -> AsyncIterator[tuple[SimCluster, Cluster, str]]:
    """A simulated cluster with one running pod."""
    async with SimCluster(speed=100.0, cold_start=ColdStart(median_s=1.0, sigma=0.1)) as sim:
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
        log = await cluster.logs.tail(NAMESPACE, pod)
    assert len(log.lines) == TAIL_LINES
    assert log.lines[0] == "line 41"
    assert log.lines[-1] == "\ufffd]52;c;AAAA\ufffd [@click=app.quit()]\ufffd tail"
    assert not log.is_cut


async def test_a_pod_that_wrote_nothing_has_no_lines(tmp_path: Path) -> None:
    async with one_pod(tmp_path) as (_, cluster, pod):
        assert (await cluster.logs.tail(NAMESPACE, pod)).lines == ()


async def test_of_several_containers_the_first_is_read(tmp_path: Path) -> None:
    containers = [{"name": name, "image": "a:1"} for name in ("agent", "proxy")]
    async with one_pod(tmp_path, containers=containers) as (sim, cluster, pod):
        sim.write_log(NAMESPACE, pod, "hello")
        log = await cluster.logs.tail(NAMESPACE, pod)
    assert (log.container, log.lines) == ("agent", ("hello",))


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
        with pytest.raises(PodLogError, match=words):
            await cluster.logs.tail("tenant-a", "p")


async def test_an_endless_line_is_cut_and_said_to_be(api: Any) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * int(request.query["limitBytes"]))

    api.always["log"] = answer
    async with api.cluster() as cluster:
        log = await cluster.logs.tail("tenant-a", "p")
    assert log.is_cut
    assert len(log.lines) == 1
    assert len(log.lines[0]) < MOST_LOG_BYTES / 100
