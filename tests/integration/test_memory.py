"""A controller that is killed and one that takes over: as if there had been one all along."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from agentdash.demo.kubesim import KubeSim
from agentdash.demo.kubesim.resources import DEPLOYMENTS
from controller.bus.intent_desk import IntentDesk
from controller.bus.kv import KeyValue
from controller.bus.session import NatsSession
from controller.engine.clock import SystemClock
from controller.exit_codes import ExitCode
from controller.model.intents import Freeze, Pin, Scope
from controller.model.settings import NatsSettings
from support.live import PATIENCE_S, Daemon, daemon, streams, until
from support.nats_server import RealNats

NAMESPACE = "tenant-acme"
NAMES = ["research", "browser"]
WINDOW_S = 10
"""Long enough to be killed in the middle of, and to tell whose window it is."""

FLEET = """\
version: 1
nats: {{servers: ['{url}']}}
controller: {{interval: 200ms}}
tenants:
  acme: {{tier: growth, namespace: tenant-acme}}
pools:
  - name: research
    tenant: acme
    queue: {{stream: TASKS, consumer: research}}
    replicas: {{min: 1, max: 10}}
    behavior: {{scaleDown: {{stabilizationWindowSeconds: {window}}}}}
  - name: browser
    tenant: acme
    queue: {{stream: TASKS, consumer: browser}}
    replicas: {{min: 0, max: 10}}
    cooldown: {window}s
    behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}
"""


class Live:
    def __init__(self, folder: Path, server: RealNats, sim: KubeSim, client: Client) -> None:
        self.fleet = folder / "fleet.yaml"
        self.kubeconfig = folder / "kubeconfig"
        self.server = server
        self.sim = sim
        self.client = client
        self.fleet.write_text(FLEET.format(url=server.url, window=WINDOW_S), "utf-8")
        sim.write_kubeconfig(self.kubeconfig)

    def replicas(self, name: str) -> int:
        stored = self.sim.cluster.store.get(DEPLOYMENTS, NAMESPACE, name)
        assert stored is not None
        return int(stored.object["spec"]["replicas"])

    async def publish(self, name: str, count: int) -> None:
        for _ in range(count):
            await self.client.jetstream().publish(f"tasks.{name}", b"work")

    async def finish(self, name: str, count: int) -> None:
        pull = await self.client.jetstream().pull_subscribe_bind(name, "TASKS")
        for message in await pull.fetch(count):
            await message.ack_sync()

    async def started(self, running: Daemon) -> None:
        await until(lambda: running.said("started"))

    async def plan(self, *options: str) -> tuple[dict[str, Any], str]:
        """The answer for each pool, and the first note."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "agentdash", "plan", "-f", self.fleet, "--kubeconfig", self.kubeconfig),
            *("--json", *options),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        assert process.returncode == ExitCode.OK, err.decode()
        pools = {each["pool"]: each for each in json.loads(out)["pools"]}
        return pools, err.decode().partition("\n")[0]


NO_RIGHT_TO_WRITE = """
authorization {users: [{user: u, password: p, permissions: {publish: {deny: ["$KV.>"]}}}]}
no_auth_user: u
"""


@pytest.fixture
async def live(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Live]:
    with RealNats(tmp_path / "nats", getattr(request, "param", "")) as server:
        async with streams(server.url, NAMES) as client, KubeSim(speed=50) as sim:
            await sim.create_namespace(NAMESPACE)
            await sim.create_deployment("research", NAMESPACE, replicas=1)
            await sim.create_deployment("browser", NAMESPACE)
            yield Live(tmp_path, server, sim, client)


@pytest.fixture
async def desk(live: Live) -> AsyncIterator[IntentDesk]:
    settings = NatsSettings(servers=(live.server.url,))
    async with NatsSession(settings, SystemClock()) as session:
        await until(lambda: session.connected)
        yield IntentDesk(KeyValue(session, "agentdash"))


def codes(answer: dict[str, Any]) -> set[str]:
    return {reason["code"] for reason in answer["reasons"]}


async def test_killed_in_a_window_and_a_cooldown_the_next_decides_as_the_first_would_have(
    live: Live,
) -> None:
    async with daemon(live.fleet, live.kubeconfig) as first:
        await live.started(first)
        await live.publish("research", 5)
        await live.publish("browser", 2)
        await until(lambda: (live.replicas("research"), live.replicas("browser")) == (5, 2))
        warm = time.monotonic() + WINDOW_S
        await until(lambda: time.monotonic() > warm)
        await live.finish("research", 5)
        await live.finish("browser", 2)
        ended = time.monotonic()
        await until(lambda: live.replicas("browser") == 1)
        planned, note = await live.plan()
        first.process.kill()
        await first.process.wait()
    assert "planned with the controller's memory of " in note
    # the window holds research at five, and the cooldown holds the last browser
    assert (planned["acme/research"]["next"], planned["acme/browser"]["next"]) == (5, 1)
    assert "stabilized_down" in codes(planned["acme/research"])
    assert "cooldown" in codes(planned["acme/browser"])
    async with daemon(live.fleet, live.kubeconfig) as second:
        await until(lambda: second.said("memory loaded"))
        began = time.monotonic()
        await until(lambda: (live.replicas("research"), live.replicas("browser")) == (1, 0))
        # both lasted as long as without the kill: neither was cut short, neither began anew
        assert time.monotonic() - ended > WINDOW_S - 1
        assert time.monotonic() - began < WINDOW_S - 1


async def test_a_plan_beside_no_controller_says_so_and_takes_nothing_away(live: Live) -> None:
    planned, note = await live.plan()
    assert "no controller has left a memory" in note
    names = [stream.config.name for stream in await live.client.jetstream().streams_info()]
    assert names == ["TASKS"]
    assert live.sim.requests.writes() == []
    assert planned["acme/research"]["next"] == 1


async def test_fresh_plans_without_the_memory_there_is(live: Live) -> None:
    async with daemon(live.fleet, live.kubeconfig) as running:
        await live.started(running)
        await live.publish("research", 4)
        await until(lambda: live.replicas("research") == 4)
        await live.finish("research", 4)
    _, note = await live.plan("--fresh")
    assert "--fresh: planned without memory" in note
    _, note = await live.plan()
    assert "planned with the controller's memory of " in note


async def test_an_operators_freeze_stops_the_daemon_and_shows_in_a_plan_beside_it(
    live: Live, desk: IntentDesk
) -> None:
    async with daemon(live.fleet, live.kubeconfig) as running:
        await live.started(running)
        await desk.put(Pin(pool="acme/browser", replicas=2, who="ann"), replaces=None)
        await until(lambda: live.replicas("browser") == 2)
        await desk.put(Freeze(scope=Scope(), who="eve", why="incident"), replaces=None)
        await live.publish("research", 5)
        planned, _ = await live.plan()
        assert "frozen" in codes(planned["acme/research"])
        await running.pass_ticks(5)
        assert live.replicas("research") == 1


async def test_a_read_only_daemon_leaves_nothing(live: Live) -> None:
    async with daemon(live.fleet, live.kubeconfig, "--read-only") as running:
        await live.started(running)
        await live.publish("research", 3)
        await until(lambda: running.said("would scale"))
    names = [stream.config.name for stream in await live.client.jetstream().streams_info()]
    assert names == ["TASKS"]


@pytest.mark.parametrize("live", [NO_RIGHT_TO_WRITE], indirect=True)
async def test_without_the_right_to_write_the_bucket_the_daemon_says_so_and_scales_on(
    live: Live,
) -> None:
    async with daemon(live.fleet, live.kubeconfig) as running:
        await live.started(running)
        await live.publish("research", 3)
        await until(lambda: live.replicas("research") == 3)
        said = "memory cannot be saved: our NATS user may not publish to $kv.agentdash.memory"
        await until(lambda: any(str(line["message"]).startswith(said) for line in running.lines))
    assert running.process.returncode == ExitCode.OK


async def test_a_plan_names_what_nobody_can_read(live: Live) -> None:
    bucket = await live.client.jetstream().create_key_value(bucket="agentdash")
    await bucket.put("memory.head", b'{"version": 99}')
    await bucket.put("intent.freeze.acme", b"?")
    planned, note = await live.plan()
    assert "the controller's memory cannot be read (it has format 99" in note
    assert "frozen" in codes(planned["acme/research"])
