"""From a key in the dashboard to a decision: the dashboard, the engine in its own thread, a real
nats-server and a Kubernetes API.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from agentdash.engine_operator import EngineOperator
from agentdash.tui.app import Dashboard
from controller.config import load
from controller.engine.supervise import EngineThread, Hub, SystemClock
from controller.model.decision import Bound, Decision
from controller.model.intents import IntentKind, Operator, Scope
from controller.model.settings import NatsSettings
from controller.nats.bucket import Bucket
from controller.nats.desk import BucketDesk
from controller.nats.intents import read_intents
from controller.nats.session import NatsSession
from controller.ports import Person
from controller.wiring import embedded
from fakes.cluster import SimCluster
from support.asked import a_pause
from support.live import fleet_text, streams, until
from support.nats_server import RealNats

NAMES = ["research", "browser"]
NAMESPACE = "tenant-acme"
POOL = "acme/research"
ANN = Operator(who="ann@laptop", origin="192.0.2.7")


class Seat(NamedTuple):
    """A person at the dashboard beside a running engine."""

    app: Dashboard
    pilot: Pilot[None]
    hub: Hub
    url: str

    async def keys(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)

    @property
    def decision(self) -> Decision | None:
        snapshot = self.hub.latest()
        views = () if snapshot is None else snapshot.pools
        return next((view.decision for view in views if view.key == POOL), None)

    def bound(self) -> Bound | None:
        return None if self.decision is None else self.decision.bound

    def replicas(self) -> int | None:
        return None if self.decision is None else self.decision.current

    @property
    def said(self) -> str:
        return self.app._flash.text

    async def confirming(self) -> None:
        await until(lambda: self.app.view.prompt.input.one_key_since is not None)


@pytest.fixture
async def seat(tmp_path: Path) -> AsyncIterator[Seat]:
    with RealNats(tmp_path / "nats") as server:
        async with streams(server.url, NAMES) as client, SimCluster(speed=50) as sim:
            await sim.create_namespace(NAMESPACE)
            for name in NAMES:
                await sim.create_deployment(name, NAMESPACE)
            path, kubeconfig = tmp_path / "fleet.yaml", tmp_path / "kubeconfig"
            # no tick between two slots would hide that an intent wakes the engine
            path.write_text(fleet_text(server.url, NAMES, interval="5s"), "utf-8")
            sim.write_kubeconfig(kubeconfig)
            settings = load(path)
            kubernetes = replace(settings.kubernetes, kubeconfig=str(kubeconfig))
            settings = replace(settings, kubernetes=kubernetes)
            clock, hub = SystemClock(), Hub()
            operator = EngineOperator(ANN, hub)

            async def engine(stopping: asyncio.Event) -> None:
                await embedded(
                    settings,
                    hub,
                    clock,
                    name="fleet.yaml",
                    read_only=False,
                    stopping=stopping,
                    person=Person(ANN, operator.at_desk),
                )

            thread = EngineThread(engine)
            app = Dashboard(
                hub,
                clock=clock.now,
                on_ready=thread.start,
                engine_error=thread.problem,
                operator=operator,
            )
            try:
                async with app.run_test(size=(120, 36)) as pilot:
                    await until(lambda: hub.latest() is not None)
                    await pilot.pause()
                    for _ in range(3):
                        await client.jetstream().publish("tasks.research", b"work")
                    app.views.overview.pools.select(POOL)
                    yield Seat(app, pilot, hub, server.url)
            finally:
                assert await asyncio.to_thread(thread.stop, 15.0)


async def test_a_key_becomes_an_intent_and_a_decision_within_a_second_and_undo_ends_it(
    seat: Seat,
) -> None:
    await until(lambda: seat.replicas() == 3)
    await seat.keys("s", *"maintenance", "enter", "3", "0", "m", "enter")
    await seat.confirming()
    assert "1 pool, 3 replicas idle now go" in seat.app.operations._preview.effect.words()  # type: ignore[union-attr]
    began = time.monotonic()
    await seat.keys("y")
    await until(lambda: seat.bound() is Bound.PAUSE)
    assert time.monotonic() - began < 1.0
    async with NatsSession(NatsSettings(servers=(seat.url,)), SystemClock()) as session:
        await until(lambda: session.connected)
        [pause] = (await read_intents(Bucket(session, "agentdash"))).intents.of(IntentKind.PAUSE)
    assert (pause.scope, pause.who, pause.why) == (Scope(pool=POOL), ANN.who, "maintenance")
    await until(lambda: "undo: u" in seat.said)

    await seat.keys("u")
    await seat.confirming()
    await seat.keys("y")
    await until(lambda: seat.bound() is not Bound.PAUSE)


async def test_another_operator_who_was_faster_is_named_and_what_they_asked_stays(
    seat: Seat,
) -> None:
    await seat.keys("s", *"mine", "enter", "enter")
    await seat.confirming()
    async with NatsSession(NatsSettings(servers=(seat.url,)), SystemClock()) as session:
        await until(lambda: session.connected)
        desk = BucketDesk(Bucket(session, "agentdash"), Operator(who="mara@bastion"))
        await desk.put(a_pause(scope=Scope(pool=POOL), why="theirs"), replaces=None)
        await seat.keys("y")
        await until(lambda: "mara@bastion was first" in seat.app.operations._note)
        assert [each.intent.who for each in await desk.standing()] == ["mara@bastion"]
