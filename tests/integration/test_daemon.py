from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from agentdash.demo.kubesim import ApiFault, KubeSim
from agentdash.demo.kubesim.resources import DEPLOYMENTS
from controller.exit_codes import ExitCode
from controller.record.journal_past import JournalPast
from support import requests_seen
from support.live import Daemon, daemon, fleet_text, streams, until
from support.nats_server import RealNats

NAMES = ["research", "browser"]
NAMESPACE = "tenant-acme"
SCALE = r"/deployments/\w+/scale"


class Live:
    def __init__(self, folder: Path, server: RealNats, sim: KubeSim, client: Client) -> None:
        self.fleet = folder / "fleet.yaml"
        self.kubeconfig = folder / "kubeconfig"
        self.server = server
        self.sim = sim
        self.client = client
        self.fleet.write_text(fleet_text(server.url, NAMES), "utf-8")
        sim.write_kubeconfig(self.kubeconfig)

    def replicas(self, name: str) -> int:
        stored = self.sim.cluster.store.get(DEPLOYMENTS, NAMESPACE, name)
        assert stored is not None
        return int(stored.object["spec"]["replicas"])

    async def publish(self, name: str, count: int = 1) -> None:
        for _ in range(count):
            await self.client.jetstream().publish(f"tasks.{name}", b"work")

    async def ready(self, running: Daemon) -> None:
        await until(lambda: running.said("started"))
        while (await running.get("/readyz"))[0] != 200:
            await asyncio.sleep(0.05)


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    with RealNats(tmp_path / "nats") as server:
        async with streams(server.url, NAMES) as client, KubeSim(speed=50) as sim:
            await sim.create_namespace(NAMESPACE)
            for name in NAMES:
                await sim.create_deployment(name, NAMESPACE)
            yield Live(tmp_path, server, sim, client)


async def test_a_message_in_a_real_queue_becomes_a_patched_deployment(live: Live) -> None:
    async with daemon(live.fleet, live.kubeconfig) as running:
        await live.ready(running)
        await live.publish("research", 5)
        await until(lambda: live.replicas("research") == 5)
        await until(lambda: running.said("scaled"))
        assert live.replicas("browser") == 0
    [*_, line] = running.said("scaled")
    assert (line["pool"], line["after"], line["bound"]) == ("acme/research", 5, "demand")
    assert "5 pending" in str(line["why"])
    assert running.process.returncode == ExitCode.OK


async def test_work_that_is_done_brings_the_pool_back_to_zero(live: Live) -> None:
    async with daemon(live.fleet, live.kubeconfig) as running:
        await live.ready(running)
        await live.publish("research", 2)
        await until(lambda: live.replicas("research") > 0)
        pull = await live.client.jetstream().pull_subscribe_bind("research", "TASKS")
        for message in await pull.fetch(2):
            await message.ack_sync()
        await until(lambda: live.replicas("research") == 0)


async def test_in_steady_state_nothing_is_written_and_nothing_is_logged(live: Live) -> None:
    async with daemon(live.fleet, live.kubeconfig) as running:
        await live.ready(running)
        await live.publish("research", 3)
        await until(lambda: live.replicas("research") == 3)
        await running.pass_ticks(1)
        live.sim.requests.clear()
        logged = len(running.lines)
        await running.pass_ticks(5)
        log = live.sim.requests
        assert log.writes() == []
        assert requests_seen.count(log, path_regex=r"/(pods|deployments)", verb="list") == 0
        assert running.lines[logged:] == []


async def test_what_each_tick_saw_is_in_the_journal_and_quiet_ticks_are_short(
    live: Live, tmp_path: Path
) -> None:
    path = tmp_path / "kept" / "journal.jsonl"
    async with daemon(live.fleet, live.kubeconfig, "--journal", str(path)) as running:
        await live.ready(running)
        await live.publish("research", 3)
        await until(lambda: live.replicas("research") == 3)
        await running.pass_ticks(8)
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert lines[0]["kind"] == "whole"
    assert "tick" in [line["kind"] for line in lines]
    past = JournalPast(path)
    last = past.last()
    assert last is not None
    assert not past.notes()
    assert last.snapshot.loop.writes >= 1
    [event, *_] = last.snapshot.events
    assert event.pool == "acme/research"
    before = past.at(event.at - 0.5)
    assert before is not None
    assert event not in before.snapshot.events


async def test_read_only_says_what_it_would_do_and_writes_nothing(live: Live) -> None:
    async with daemon(live.fleet, live.kubeconfig, "--read-only") as running:
        await live.ready(running)
        await live.publish("research", 4)
        await until(lambda: running.said("would scale"))
        await running.pass_ticks(4)
        assert live.sim.requests.writes() == []
        assert "agentdash_leader" not in (await running.get("/metrics"))[1]


async def test_one_namespace_that_refuses_stops_nobody_else(live: Live) -> None:
    live.sim.faults.add(ApiFault(verb="patch", path="/research/scale", status=403))
    async with daemon(live.fleet, live.kubeconfig) as running:
        await live.ready(running)
        await live.publish("research", 4)
        await live.publish("browser", 2)
        await until(lambda: live.replicas("browser") == 2)
        await until(lambda: running.said("not scaled"))
    assert live.replicas("research") == 0
    [line] = running.said("not scaled")
    assert (line["outcome"], line["status"]) == ("forbidden", 403)


async def test_a_killed_nats_server_scales_nothing_down_and_is_named(live: Live) -> None:
    async with daemon(live.fleet, live.kubeconfig) as running:
        await live.ready(running)
        await live.publish("research", 4)
        await until(lambda: live.replicas("research") == 4)
        live.server.kill()
        live.sim.requests.clear()
        while (await running.get("/readyz"))[0] == 200:
            await asyncio.sleep(0.05)
        await running.pass_ticks(4)
        status, text = await running.get("/readyz")
        assert (status, text.partition(":")[0]) == (503, "nats")
        assert (await running.get("/healthz"))[0] == 200
        assert requests_seen.count(live.sim.requests, path_regex=SCALE, method="PATCH") == 0
        live.server.start()
        await live.ready(running)
    assert live.replicas("research") == 4


async def test_metrics_name_each_pool_and_queue(live: Live) -> None:
    async with daemon(live.fleet, live.kubeconfig) as running:
        await live.ready(running)
        await live.publish("research", 3)
        await until(lambda: running.said("scaled"))
        await running.pass_ticks(2)  # the queue is read before its message is counted
        _, text = await running.get("/metrics")
    assert 'agent_scale_events_total{direction="up",pool="research",tenant="acme"' in text
    assert 'nats_consumer_pending{consumer="research",stream="TASKS"} 3.0' in text
    assert 'agentdash_pool_target_replicas{pool="research",tenant="acme"} 3.0' in text
    assert 'agentdash_pool_bound{bound="demand",pool="research",tenant="acme"} 1.0' in text
    assert 'agentdash_source_up{source="nats"} 1.0' in text
    assert "agentdash_leader" not in text


async def test_a_wrong_fleet_file_ends_with_its_errors_and_code_2(live: Live) -> None:
    live.fleet.write_text("version: 1\npols: []\nnats: {servers: [http://x]}\n", "utf-8")
    async with daemon(live.fleet, live.kubeconfig) as running:
        assert await running.process.wait() == ExitCode.USAGE
    said = "".join(running.text)
    assert "fleet.yaml:2:1: pols: " in said
    assert "pools" in said
    assert "fleet.yaml:3:18: nats.servers[0]" in said


async def test_a_missing_kubeconfig_ends_in_words_and_code_3(live: Live) -> None:
    async with daemon(live.fleet, live.kubeconfig.with_name("nowhere")) as running:
        assert await running.process.wait() == ExitCode.UNREACHABLE
    assert "nowhere" in running.text[-1]
    assert "Traceback" not in "".join(running.text)


async def test_a_taken_address_ends_in_words_and_code_3(live: Live) -> None:
    holder = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = holder.sockets[0].getsockname()[1]
    async with (
        holder,
        daemon(live.fleet, live.kubeconfig, "--listen", f"127.0.0.1:{port}") as running,
    ):
        assert await running.process.wait() == ExitCode.UNREACHABLE
    assert f"127.0.0.1:{port}" in running.text[-1]


async def test_an_old_nats_server_is_refused_in_words_and_code_4(live: Live) -> None:
    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {"server_id": "x", "version": "2.9.10", "max_payload": 1048576, "jetstream": True}
        writer.write(f"INFO {json.dumps(info)}\r\n".encode())
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    async with await asyncio.start_server(old, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        live.fleet.write_text(fleet_text(f"nats://127.0.0.1:{port}", NAMES), "utf-8")
        async with daemon(live.fleet, live.kubeconfig) as running:
            assert await running.process.wait() == ExitCode.UNSUPPORTED
    assert "2.9.10" in running.text[-1]
    assert "2.10" in running.text[-1]
