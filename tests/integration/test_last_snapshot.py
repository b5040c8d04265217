"""A controller is killed, and who looks afterwards sees what it saw last, as the past."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from agentdash.engine_operator import EngineOperator
from agentdash.tui.app import Dashboard
from agentdash.tui.widgets.lines_widget import LinesWidget
from controller.attach import Attachment, find_last_snapshot
from controller.engine.supervise import EngineThread, Hub, SystemClock
from controller.exit_codes import ExitCode
from controller.model.intents import Operator
from controller.model.settings import NatsSettings
from controller.model.snapshot import Snapshot
from controller.ports import Person
from fakes.cluster import SimCluster
from integration.test_once import Printed, agentdash
from support.live import Daemon, daemon, fleet_text, streams, until
from support.nats_server import RealNats

POOL = "acme/research"
ANN = Operator(who="ann@laptop", origin="192.0.2.7")
NOWHERE = """\
apiVersion: v1
kind: Config
current-context: gone
contexts: [{name: gone, context: {cluster: gone, user: gone}}]
clusters: [{name: gone, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: gone, user: {}}]
"""


class Place:
    def __init__(self, folder: Path, server: RealNats, sim: SimCluster, client: Client) -> None:
        self.folder = folder
        self.fleet = folder / "fleet.yaml"
        self.kubeconfig = folder / "kubeconfig"
        self.server = server
        self.sim = sim
        self.client = client
        self.settings = NatsSettings(servers=(server.url,))
        self.fleet.write_text(fleet_text(server.url, ["research"], maximum=4), "utf-8")
        sim.write_kubeconfig(self.kubeconfig)

    async def kept(self) -> Snapshot | None:
        return await find_last_snapshot(self.settings, SystemClock())

    async def scale_to_three(self, running: Daemon) -> None:
        for _ in range(3):
            await self.client.jetstream().publish("tasks.research", b"work")
        await until(lambda: any(line["after"] == 3 for line in running.said("scaled")))

    async def without_cluster(self, *arguments: object) -> Printed:
        """The verb on a machine that reaches NATS and no Kubernetes."""
        path = self.folder / "nowhere"
        path.write_text(NOWHERE, "utf-8")
        return await agentdash("-f", self.fleet, "--kubeconfig", path, *arguments)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    with RealNats(tmp_path / "nats") as server:
        async with streams(server.url, ["research"]) as client, SimCluster(speed=50) as sim:
            await sim.create_namespace("tenant-acme")
            await sim.create_deployment("research", "tenant-acme")
            yield Place(tmp_path, server, sim, client)


async def killed(place: Place) -> Snapshot:
    """A daemon has run and was killed; what it has kept."""
    async with daemon(place.fleet, place.kubeconfig) as running:
        await running.ready()
        while (kept := await place.kept()) is None:
            await asyncio.sleep(0.05)
        running.process.kill()
        await running.process.wait()
    assert kept.process.endswith(f"/{running.process.pid}")
    return kept


async def test_who_attaches_after_a_kill_sees_what_the_controller_saw_and_that_it_is_past(
    place: Place,
) -> None:
    kept = await killed(place)
    hub, clock = Hub(), SystemClock()
    operator = EngineOperator(ANN, hub)
    attachment = Attachment(place.settings, hub, clock, Person(ANN, operator.at_desk))
    thread = EngineThread(attachment.run)
    app = Dashboard(
        hub,
        clock=clock.now,
        on_ready=thread.start,
        engine_error=lambda: None,
        feed_problem=attachment.problem,
        operator=operator,
    )

    def shown() -> str:
        widgets = app.view.query(LinesWidget)
        return "\n".join(
            "".join(segment.text for segment in widget.render_line(y))
            for widget in widgets
            for y in range(widget.size.height)
        )

    try:
        async with app.run_test(size=(120, 36)) as pilot:
            await until(lambda: app.frame.snapshot is not None)
            await pilot.pause()
            text = shown()
            assert f"PAST  no controller runs; this is what {kept.process} saw at " in text
            assert "[past]" in text
            assert "STALE" in text
            assert app.frame.stale
            assert [row.key for row in app.frame.rows] == [POOL]
            # the keys that change something are as with any controller that went away
            await until(lambda: operator.refusal() is None)
            # the next controller is shown as soon as it publishes
            async with daemon(place.fleet, place.kubeconfig) as running:
                await until(
                    lambda: app.frame.snapshot is not None and not app.frame.snapshot.recalled
                )
                await pilot.pause()
                assert f"/{running.process.pid}" in shown()
                await until(lambda: "PAST" not in shown())
    finally:
        await asyncio.to_thread(thread.stop, 10.0)


async def test_a_graceful_stop_keeps_the_last_write_for_a_look_and_for_the_next_process(
    place: Place,
) -> None:
    events = ("-f", place.fleet, "--kubeconfig", place.kubeconfig, "--once", "events", "--json")
    async with daemon(place.fleet, place.kubeconfig) as running:
        await running.ready()
        await place.scale_to_three(running)
    kept = await place.kept()
    assert kept is not None
    assert (kept.events[0].pool, kept.events[0].after) == (POOL, 3)
    # with the cluster a look is of now, and has the events that were kept
    looked = await agentdash(*events)
    assert looked.code == ExitCode.OK, looked.err
    assert "this is one look, without rates; events are those that" in looked.err
    async with daemon(place.fleet, place.kubeconfig) as running:
        await running.ready()
        printed = await agentdash(*events)
    assert printed.err == ""
    for each in (looked, printed):
        shown = [(event["pool"], event["after"]) for event in json.loads(each.out)["events"]]
        assert (POOL, 3) in shown


async def test_a_verb_without_the_cluster_prints_the_past_and_says_so(place: Place) -> None:
    kept = await killed(place)
    words = f"no controller runs; this is what {kept.process} saw at "
    once = await place.without_cluster("--once", "pools", "--json")
    assert words in once.err
    assert once.code == ExitCode.UNREACHABLE
    assert [each["pool"] for each in json.loads(once.out)["pools"]] == [POOL]
    text = await place.without_cluster("--once", "pools")
    assert "~" in text.out, "what is not of now has the mark of a stale number"
    # without any cluster the rules are those that the last controller has kept
    why = ("why", "-f", place.fleet, "--kubeconfig", place.folder / "no-such-kubeconfig", POOL)
    printed = await agentdash(*why)
    assert words in printed.err
    assert printed.code == ExitCode.UNREACHABLE
    assert printed.out.startswith(f"{POOL}  at ")
    assert "decided" in printed.out
    answer = json.loads((await agentdash(*why, "--json")).out)
    assert answer["at"] == kept.at
    assert [each["pool"] for each in answer["pools"]] == [POOL]
