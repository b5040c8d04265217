from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from agentdash.demo.cluster.objects import AUTOSCALERS, DEPLOYMENTS, SCALED_OBJECTS
from agentdash.worker.stores import ensure_worker_streams
from controller.exit_codes import ExitCode
from controller.record.journal import JournalPast
from fakes.cluster import ApiFault
from support import requests_seen
from support.live import Daemon, daemon, fleet_text, until
from support.live_world import NAMESPACE, SCALE, LiveWorld, Servers, servers

NAMES = ["research", "browser"]
LONG_TICKS = 20
"""At 200 ms, longer than the window (1 s) and the cooldown (2 s) of the pools together."""
BLOCKED = """
import time
from pathlib import Path
from controller.engine.loop import Engine
from agentdash.cli import main

tick = Engine._full_tick

async def blocked(self):
    while Path({stuck!r}).exists():
        time.sleep(0.05)
    await tick(self)

Engine._full_tick = blocked
raise SystemExit(main())
"""


class Live(LiveWorld):
    def __init__(self, folder: Path, found: Servers) -> None:
        super().__init__(folder, found)
        self.fleet.write_text(fleet_text(self.server.url, NAMES), "utf-8")


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with servers(tmp_path, *NAMES) as found:
        yield Live(tmp_path, found)


def failures(metrics: str, source: str) -> float:
    """How many of its readings or requests failed."""
    name = f'agentdash_source_failures_total{{source="{source}"}} '
    [line] = [line for line in metrics.splitlines() if line.startswith(name)]
    return float(line.removeprefix(name))


async def test_in_steady_state_nothing_is_written_and_nothing_is_logged(live: Live) -> None:
    """From a message in a real queue to a patched Deployment, and with the work back to zero."""
    async with daemon(live.fleet, live.kubeconfig) as running:
        await running.ready()
        await live.publish(3, "research")
        await until(lambda: live.replicas("research") == 3)
        await until(lambda: any(line.get("after") == 3 for line in running.lines))
        await running.pass_ticks(2)  # the queue is read before its message is counted
        live.sim.requests.clear()
        logged = len(running.lines)
        await running.pass_ticks(5)
        log = live.sim.requests
        assert [each for each in log.writes() if "/leases" not in each.path] == []
        assert requests_seen.count(log, path_regex=r"/(pods|deployments)", verb="list") == 0
        assert running.lines[logged:] == []
        assert live.replicas("browser") == 0
        _, text = await running.get("/metrics")
        await live.finish(3, "research")
        await until(lambda: live.replicas("research") == 0)
    assert running.process.returncode == ExitCode.OK
    [line] = [line for line in running.said("scaled") if line["after"] == 3]
    assert (line["pool"], line["bound"]) == ("acme/research", "demand")
    # a first replica is written at once where the wake-up comes before the message is counted
    assert re.search(r"3 (pending|messages)", str(line["why"]))
    for row in (
        'agent_scale_events_total{direction="up",pool="research",tenant="acme"',
        'nats_consumer_pending{consumer="research",stream="TASKS"} 3.0',
        'agentdash_pool_target_replicas{pool="research",tenant="acme"} 3.0',
        'agentdash_pool_bound{bound="demand",pool="research",tenant="acme"} 1.0',
        'agentdash_source_up{source="nats"} 1.0',
        "agentdash_leader 1.0",
    ):
        assert row in text


async def test_what_each_tick_saw_is_in_the_journal_and_quiet_ticks_are_short(
    live: Live, tmp_path: Path
) -> None:
    path = tmp_path / "kept" / "journal.jsonl"
    async with daemon(live.fleet, live.kubeconfig, "--journal", str(path)) as running:
        await running.ready()
        await live.publish(3, "research")
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
        await running.ready()
        await live.publish(4, "research")
        await until(lambda: running.said("would scale"))
        await running.pass_ticks(4)
        assert live.sim.requests.writes() == []
        assert "agentdash_leader" not in (await running.get("/metrics"))[1]
    names = [stream.config.name for stream in await live.client.jetstream().streams_info()]
    assert names == ["TASKS"]


async def test_one_namespace_that_refuses_stops_nobody_else(live: Live) -> None:
    live.sim.faults.add(ApiFault(verb="patch", path="/research/scale", status=403))
    async with daemon(live.fleet, live.kubeconfig) as running:
        await running.ready()
        await live.publish(4, "research")
        await live.publish(2, "browser")
        await until(lambda: live.replicas("browser") == 2)
        await until(lambda: running.said("not scaled"))
    assert live.replicas("research") == 0
    [line] = running.said("not scaled")
    assert (line["outcome"], line["status"]) == ("forbidden", 403)


async def test_a_killed_nats_server_scales_nothing_down_and_is_named(live: Live) -> None:
    async with daemon(live.fleet, live.kubeconfig) as running:
        await running.ready()
        await live.publish(4, "research")
        await until(lambda: live.replicas("research") == 4)
        live.server.kill()
        live.sim.requests.clear()
        while (await running.get("/readyz"))[0] == 200:
            await asyncio.sleep(0.05)
        await running.pass_ticks(LONG_TICKS)
        _, metrics = await running.get("/metrics")
        assert failures(metrics, "nats") > 0
        for name in NAMES:
            labels = f'pool="{name}",tenant="acme"'
            assert f"agentdash_queue_reading_blind{{{labels}}} 1.0" in metrics
        assert 'agentdash_pool_gate{gate="blind",pool="research",tenant="acme"} 1.0' in metrics
        status, text = await running.get("/readyz")
        assert (status, text.partition(":")[0]) == (503, "nats")
        assert (await running.get("/healthz"))[0] == 200
        assert requests_seen.count(live.sim.requests, path_regex=SCALE, method="PATCH") == 0
        live.server.start()
        await running.ready()
    assert live.replicas("research") == 4


async def test_refused_credentials_are_said_by_readyz_and_hold_everything(live: Live) -> None:
    async with daemon(live.fleet, live.kubeconfig) as running:
        await running.ready()
        fault = live.sim.faults.add(ApiFault(path=".*", status=401))
        # the lease, which is read on a connection of its own, may say so first
        while "kubernetes: our credentials are refused" not in (await running.get("/readyz"))[1]:
            await asyncio.sleep(0.05)
        assert (await running.get("/readyz"))[0] == 503
        assert (await running.get("/healthz"))[0] == 200
        while not failures((await running.get("/metrics"))[1], "kubernetes"):
            await asyncio.sleep(0.05)
        live.sim.faults.remove(fault)
        await running.ready()


async def test_a_pool_with_another_autoscaler_is_left_to_it_before_the_first_write(
    live: Live,
) -> None:
    rival = {
        "metadata": {"name": "research"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "research"},
            "minReplicas": 1,
            "maxReplicas": 3,
        },
    }
    live.sim.registry.create(AUTOSCALERS, NAMESPACE, rival)
    scaled_by_keda = {
        "metadata": {"name": "keda-browser"},
        "spec": {"scaleTargetRef": {"name": "browser"}},
    }
    live.sim.registry.create(SCALED_OBJECTS, NAMESPACE, scaled_by_keda)
    await live.publish(3, "research")
    await live.publish(3, "browser")
    async with daemon(live.fleet, live.kubeconfig) as running:
        await running.ready()
        await until(lambda: len(running.said("needs attention")) == 2)
        await running.pass_ticks(5)
        assert requests_seen.count(live.sim.requests, path_regex=SCALE, method="PATCH") == 0
        live.sim.registry.delete(AUTOSCALERS, NAMESPACE, "research")
        await until(lambda: live.replicas("research") == 3)
        assert live.replicas("browser") == 0
    said = {str(line["pool"]): str(line["why"]) for line in running.said("needs attention")}
    assert said["acme/research"].startswith("HorizontalPodAutoscaler research scales it too")
    assert said["acme/browser"].startswith("ScaledObject keda-browser scales it too")


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


async def test_what_a_worker_writes_ends_no_daemon_and_stops_no_pool(live: Live) -> None:
    nested = b'{"x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    async with daemon(live.fleet, live.kubeconfig) as running:
        await running.ready()
        stream = live.client.jetstream()
        await ensure_worker_streams(stream, "acme", result_ttl_s=60.0)
        await stream.publish("$KV.agentdash_workers.acme.research.odd", nested)
        await stream.publish("$KV.agentdash_orders.acme.research", nested)
        await until(
            lambda: any("research.odd cannot be understood" in line for line in running.text)
        )
        await until(lambda: any("orders acme.research cannot be" in line for line in running.text))
        await live.publish(3)
        await until(lambda: live.replicas() == 3)
    async with daemon(live.fleet, live.kubeconfig) as running:
        await running.ready()


async def lives(running: Daemon) -> bool:
    """What a kubelet's liveness probe finds; no answer is none, too."""
    limit = aiohttp.ClientTimeout(total=5.0)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.get(f"{running.url}/healthz") as answer,
        ):
            return answer.status == 200
    except (TimeoutError, aiohttp.ClientError):
        return False


async def test_a_loop_that_is_blocked_fails_the_liveness_check_and_its_late_ticks_are_counted(
    live: Live, tmp_path: Path
) -> None:
    stuck = tmp_path / "stuck"
    program = ("-c", BLOCKED.format(stuck=str(stuck)))
    async with daemon(live.fleet, live.kubeconfig, program=program) as running:
        await running.ready()
        assert await lives(running)
        stuck.touch()
        try:
            async with asyncio.timeout(60.0):
                while await lives(running):
                    await asyncio.sleep(0.1)
        finally:
            stuck.unlink()
        async with asyncio.timeout(60.0):
            while not await lives(running):
                await asyncio.sleep(0.1)
        await running.pass_ticks(2)
        _, metrics = await running.get("/metrics")
    late = [row for row in metrics.splitlines() if row.startswith("agentdash_late_ticks_total")]
    assert [float(row.split()[1]) > 0 for row in late] == [True]


async def test_a_deployment_that_vanishes_is_named_and_stops_nothing(live: Live) -> None:
    async with daemon(live.fleet, live.kubeconfig) as running:
        await running.ready()
        await live.publish(2, "research")
        await until(lambda: live.replicas("research") == 2)
        live.sim.registry.delete(DEPLOYMENTS, NAMESPACE, "research")
        await live.publish(3, "research")
        await live.publish(4, "browser")
        await until(lambda: live.replicas("browser") == 4)
        await running.pass_ticks(LONG_TICKS)
        _, metrics = await running.get("/metrics")
    finding = 'agentdash_finding{kind="deployment",severity="warning",subject="acme/research"} 1.0'
    assert finding in metrics
    assert [line for line in running.text if not line.startswith("{")] == []
    troubles = [line for line in running.lines if line["level"] != "info"]
    assert len(troubles) <= 2, troubles
