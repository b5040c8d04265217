"""The whole shape of the fleet file, planned and run on a real nats-server and a Kubernetes API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from controller.config import load
from controller.engine.supervise import Hub, SystemClock
from controller.exit_codes import ExitCode
from controller.wiring import embedded
from fakes.cluster import SimCluster
from support.forked import agentdash
from support.live import daemon, streams, until
from support.nats_server import RealNats

REFERENCE = Path(__file__).parents[1] / "unit" / "config" / "reference.yaml"
NOTICES = {
    "pools[1].signals.cases",
}
NO_PROMETHEUS = "http://127.0.0.1:9"
"""An address where no Prometheus is."""


class Live:
    def __init__(self, folder: Path) -> None:
        self.fleet, self.kubeconfig = folder / "fleet.yaml", folder / "kubeconfig"

    def write(self, nats_url: str) -> None:
        """The reference fleet with the addresses of these servers."""
        fleet: dict[str, Any] = yaml.safe_load(REFERENCE.read_text("utf-8"))
        fleet["nats"] = {"servers": [nats_url]}
        fleet["prometheus"] = {"url": NO_PROMETHEUS}
        del fleet["kubernetes"]
        self.fleet.write_text(yaml.safe_dump(fleet, sort_keys=False), "utf-8")

    async def run(self, *verb: str) -> tuple[int | None, str, list[str]]:
        name, *options = verb
        place = ("-f", self.fleet, "--kubeconfig", self.kubeconfig)
        said = await agentdash(name, *place, *options)
        return said.code, said.out, said.err.splitlines()


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    found = Live(tmp_path)
    with RealNats(tmp_path / "nats") as server:
        names = ["acme-research", "globex-browser"]
        async with streams(server.url, names) as client, SimCluster(speed=50) as sim:
            for namespace, deployment in (("tenant-acme", "research"), ("globex", "browser")):
                await sim.create_namespace(namespace)
                await sim.create_deployment(deployment, namespace, replicas=3)
            for _ in range(7):
                await client.jetstream().publish("tasks.acme-research", b"work")
            found.write(server.url)
            sim.write_kubeconfig(found.kubeconfig)
            yield found


def named(lines: list[str]) -> set[str]:
    """The keys that are named as having no effect."""
    return {key for key in NOTICES if any(f": {key} is read by " in line for line in lines)}


async def test_unknown_signals_shrink_no_pool(
    live: Live,
) -> None:
    code, out, err = await live.run("plan", "--json")
    assert code == ExitCode.OK, err
    assert named(err) == NOTICES
    pools = {each["pool"]: each for each in json.loads(out)["pools"]}
    browser = pools["globex/browser"]
    assert (browser["current"], browser["next"], browser["gate"]) == (3, 3, "blind")
    unknown = [
        one["numbers"]["metric"] for one in browser["reasons"] if one["code"] == "metric_unknown"
    ]
    assert "backlog" in unknown
    assert pools["acme/research"]["wanted"] >= 7


async def test_why_explains_a_pool_whose_signal_is_unknown(live: Live) -> None:
    code, out, err = await live.run("why", "globex/browser")
    assert code == ExitCode.OK, err
    assert "backlog is not known (disconnected" in out


async def test_a_controller_runs_it_and_logs_keys_without_effect(live: Live) -> None:
    async with daemon(live.fleet, live.kubeconfig, "--read-only") as running:
        await until(lambda: len(running.said("without effect")) == len(NOTICES))
        assert {line["key"] for line in running.said("without effect")} == NOTICES
        assert {line["level"] for line in running.said("without effect")} == {"warning"}


async def test_a_dashboard_names_keys_without_effect_and_sources_that_cannot_be_read(
    live: Live,
) -> None:
    settings = load(live.fleet)
    kubernetes = replace(settings.kubernetes, kubeconfig=str(live.kubeconfig))
    hub, stopping = Hub(), asyncio.Event()

    def kinds(subject: str) -> set[str]:
        snapshot = hub.latest()
        found = snapshot.findings if snapshot is not None else ()
        return {each.kind for each in found if each.subject == subject}

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            embedded(
                replace(settings, kubernetes=kubernetes),
                hub,
                SystemClock(),
                name="fleet.yaml",
                read_only=True,
                stopping=stopping,
            )
        )
        await until(lambda: kinds("fleet file") == NOTICES)
        await until(lambda: kinds("prometheus") == {"disconnected"})
        await until(lambda: kinds("metrics.k8s.io") == {"object_missing"})
        stopping.set()
