"""What the printed objects say of agentdash's port, beside a real daemon that serves it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from prometheus_client import generate_latest

from agentdash.worker.state import WorkerMetrics
from controller.config import parse
from controller.manifests.monitoring import ALERTS, PANELS
from controller.manifests.objects import Installation, stream
from controller.manifests.workload import manifests
from controller.notation.quantity import exact_amount
from support.live import Daemon, daemon, fleet_text
from support.live_world import LiveWorld, Servers, servers

METRIC = re.compile(r"\b(?:agentdash|agent|nats)_[a-z_]+")


on_one_daemon = pytest.mark.asyncio(loop_scope="module")


class Live(LiveWorld):
    def __init__(self, folder: Path, found: Servers) -> None:
        super().__init__(folder, found)
        self.fleet.write_text(fleet_text(self.server.url, ["research"]), "utf-8")


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[Live, Daemon]]:
    async with servers(folder, "research") as found:
        live = Live(folder, found)
        async with daemon(live.fleet, live.kubeconfig) as running:
            await running.ready()
            await running.pass_ticks(1)
            yield live, running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Daemon]:
    async with opened(tmp_path_factory.mktemp("daemon")) as (_, found):
        yield found


@pytest.fixture
def printed() -> dict[str, Any]:
    """The objects of agentdash itself by kind."""
    text = fleet_text("nats://127.0.0.1:4222", ["research"])
    options = Installation(image="agentdash:1", service_monitor=True)
    found = yaml.safe_load_all(stream(manifests(parse(text, "fleet.yaml"), text, options)))
    return {each["kind"]: each for each in found if each["metadata"]["name"] == "agentdash"}


@on_one_daemon
async def test_each_probe_asks_for_what_a_ready_daemon_answers(
    running: Daemon, printed: dict[str, Any]
) -> None:
    pod = printed["Deployment"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    [port] = container["ports"]
    assert container["args"][-2:] == ["--listen", f"0.0.0.0:{port['containerPort']}"]
    probes = {name: each for name, each in container.items() if name.endswith("Probe")}
    assert {name: each["httpGet"]["path"] for name, each in probes.items()} == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }
    for probe in probes.values():
        assert probe["httpGet"]["port"] == port["name"]
        assert (await running.get(probe["httpGet"]["path"]))[0] == 200


async def test_a_lost_nats_makes_the_pod_unready_and_does_not_restart_it(
    tmp_path: Path, printed: dict[str, Any]
) -> None:
    [container] = printed["Deployment"]["spec"]["template"]["spec"]["containers"]
    alive, ready = (
        container[name]["httpGet"]["path"] for name in ("livenessProbe", "readinessProbe")
    )
    async with opened(tmp_path) as (live, running):
        live.server.kill()
        while (await running.get(ready))[0] == 200:
            await running.pass_ticks(1)
        assert (await running.get(alive))[0] == 200


@on_one_daemon
async def test_the_pod_has_the_memory_that_a_small_fleets_daemon_takes(
    running: Daemon, printed: dict[str, Any]
) -> None:
    [container] = printed["Deployment"]["spec"]["template"]["spec"]["containers"]
    resources = container["resources"]
    asked, limit = (exact_amount(resources[name]["memory"]) for name in ("requests", "limits"))
    status = Path(f"/proc/{running.process.pid}/status")
    if not status.exists():
        pytest.skip("this system has no /proc")
    [peak] = [line for line in status.read_text("utf-8").splitlines() if line.startswith("VmHWM")]
    assert int(peak.split()[1]) * 1024 < asked < limit
    assert "cpu" in resources["requests"], "without a request the scheduler knows nothing of it"
    assert "cpu" not in resources["limits"], "a throttled controller wakes pools late"


@on_one_daemon
async def test_the_service_monitor_finds_the_metrics(
    running: Daemon, printed: dict[str, Any]
) -> None:
    [endpoint] = printed["ServiceMonitor"]["spec"]["endpoints"]
    status, text = await running.get(endpoint["path"])
    assert (status, "agentdash_ticks_total" in text) == (200, True)
    service = printed["Service"]
    assert printed["ServiceMonitor"]["metadata"]["namespace"] == service["metadata"]["namespace"]
    wanted = printed["ServiceMonitor"]["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= service["metadata"]["labels"].items()
    [served] = [each for each in service["spec"]["ports"] if each["name"] == endpoint["port"]]
    template = printed["Deployment"]["spec"]["template"]
    [port] = template["spec"]["containers"][0]["ports"]
    assert served.get("targetPort", served["port"]) in {port["name"], port["containerPort"]}
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    [ingress] = printed["NetworkPolicy"]["spec"]["ingress"]
    assert [each["port"] for each in ingress["ports"]] == [port["containerPort"]]


@on_one_daemon
@pytest.mark.parametrize(
    "queries",
    [
        [alert.expr for alert in ALERTS],
        [query.expr for panel in PANELS for query in panel.queries],
    ],
    ids=["alerts", "dashboard"],
)
async def test_each_metric_that_is_asked_for_is_one_that_daemon_and_workers_have(
    running: Daemon, queries: list[str]
) -> None:
    _, text = await running.get("/metrics")
    known = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    of_workers = generate_latest(WorkerMetrics("acme", "research").registry).decode()
    known |= {line.split()[2] for line in of_workers.splitlines() if line.startswith("# TYPE")}
    of_times = re.compile("_(bucket|count)$")
    used = {of_times.sub("", name) for each in queries for name in METRIC.findall(each)}
    assert len(used) > 8
    assert used <= known
