"""A dashboard on another machine operates: what it asks for goes over NATS into the bucket, and the
controller beside the cluster acts. Real nats-server, real users, a Kubernetes API.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from agentdash.engine_operator import EngineOperator
from agentdash.operate import VERBS, End, NotDoneError, Request
from agentdash.tui.app import Dashboard
from agentdash.tui.widgets.lines_widget import LinesWidget
from controller.attach import Attachment
from controller.config import load
from controller.engine.supervise import EngineThread, Hub, SystemClock
from controller.model.decision import Bound
from controller.model.intents import Estimate, IntentKind, Operator, Scope
from controller.model.settings import NatsCredentials, NatsSettings, SecretRef
from controller.nats.bucket import Bucket
from controller.nats.desk import EffectAnswers
from controller.nats.intents import read_intents
from controller.nats.session import NatsSession
from controller.planning.whatif import Effect
from controller.ports import Person
from controller.wiring import embedded
from fakes.cluster import SimCluster
from support.live import PATIENCE_S, fleet_text, streams, until
from support.nats_server import RealNats

POOL = "acme/research"
ANN = Operator(who="ann@laptop", origin="192.0.2.7")
LOOKS = ["agentdash.watchers"]
OPERATES = [
    *LOOKS,
    "agentdash.effects",
    "$JS.API.STREAM.INFO.*",
    "$JS.API.STREAM.MSG.GET.KV_agentdash",
    "$KV.agentdash.intent.>",
]


def users(allowed: list[str]) -> str:
    return f"""accounts {{ A {{ jetstream: enabled, users: [
      {{ user: controller, password: controller }}
      {{ user: laptop, password: laptop, permissions: {{
          publish: {{ allow: {json.dumps(allowed)} }}
          subscribe: {{ allow: ["agentdash.snapshots", "_INBOX.>"] }} }} }} ] }} }}
no_auth_user: controller
"""


class Laptop:
    """A person at an attached dashboard; `url` is that of the server, whose other user runs the
    controller.
    """

    def __init__(self, server: RealNats, directory: Path) -> None:
        secret = directory / "laptop"
        secret.write_text("laptop", "utf-8")
        credentials = NatsCredentials(user="laptop", password=SecretRef(file=str(secret)))
        settings = NatsSettings(servers=(server.url,), credentials=credentials)
        self.server, self.hub, clock = server, Hub(), SystemClock()
        self.operator = EngineOperator(ANN, self.hub)
        self.attachment = Attachment(settings, self.hub, clock, Person(ANN, self.operator.at_desk))
        self.thread = EngineThread(self.attachment.run)
        self.app = Dashboard(
            self.hub,
            clock=clock.now,
            on_ready=self.thread.start,
            engine_error=self.thread.problem,
            feed_problem=self.attachment.problem,
            operator=self.operator,
        )
        self.pilot: Pilot[None]

    async def keys(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)

    async def confirming(self) -> None:
        await until(lambda: self.app.view.prompt.input.one_key_since is not None)

    @property
    def effect(self) -> Effect | Estimate:
        assert self.app.operations._preview is not None
        return self.app.operations._preview.effect

    def shown(self, selector: str) -> str:
        widget = self.app.view.query_one(selector, LinesWidget)
        return "\n".join(
            "".join(segment.text for segment in widget.render_line(y))
            for y in range(widget.size.height)
        )

    def bound(self) -> Bound | None:
        snapshot = self.hub.latest()
        views = () if snapshot is None else snapshot.pools
        [decision] = [view.decision for view in views if view.key == POOL]
        return None if decision is None else decision.bound


@pytest.fixture
async def laptop(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Laptop]:
    with RealNats(tmp_path / "nats", users(request.param)) as server:
        async with streams(server.url, ["research"]) as client, SimCluster(speed=50) as sim:
            await sim.create_namespace("tenant-acme")
            await sim.create_deployment("research", "tenant-acme")
            path, kubeconfig = tmp_path / "fleet.yaml", tmp_path / "kubeconfig"
            path.write_text(fleet_text(server.url, ["research"], interval="500ms"), "utf-8")
            sim.write_kubeconfig(kubeconfig)
            settings = load(path)
            kubernetes = replace(settings.kubernetes, kubeconfig=str(kubeconfig))
            settings = replace(settings, kubernetes=kubernetes)
            hub, stopping = Hub(), asyncio.Event()
            controller = asyncio.create_task(
                embedded(
                    settings,
                    hub,
                    SystemClock(),
                    name="fleet.yaml",
                    read_only=False,
                    stopping=stopping,
                )
            )
            for _ in range(3):
                await client.jetstream().publish("tasks.research", b"work")
            person = Laptop(server, tmp_path)
            try:
                async with person.app.run_test(size=(120, 36)) as pilot:
                    person.pilot = pilot
                    await until(lambda: person.hub.latest() is not None)
                    await pilot.pause()
                    person.app.views.overview.pools.select(POOL)
                    yield person
            finally:
                assert await asyncio.to_thread(person.thread.stop, 15.0)
                stopping.set()
                await controller


@pytest.mark.parametrize("laptop", [OPERATES], indirect=True)
async def test_an_attached_dashboard_pauses_a_pool_is_told_what_that_changes_and_loses_nats(
    laptop: Laptop,
) -> None:
    await until(lambda: laptop.operator.refusal() is None)
    await until(lambda: laptop.app.frame.rows[0].current == 3)
    await laptop.keys("s", *"maintenance", "enter", "3", "0", "m", "enter")
    await laptop.confirming()
    assert isinstance(laptop.effect, Effect)
    assert laptop.effect.words() == "1 pool, 3 replicas idle now go"
    await laptop.keys("y")
    await until(lambda: laptop.bound() is Bound.PAUSE)
    async with NatsSession(NatsSettings(servers=(laptop.server.url,)), SystemClock()) as session:
        await until(lambda: session.connected)
        [pause] = (await read_intents(Bucket(session, "agentdash"))).intents.of(IntentKind.PAUSE)
    assert (pause.scope, pause.who, pause.why) == (Scope(pool=POOL), ANN.who, "maintenance")

    await laptop.keys("u")
    await laptop.confirming()
    await laptop.keys("y")
    await until(lambda: laptop.bound() is not Bound.PAUSE)

    await laptop.keys("colon", *"pause", "space", *"globex", "enter")
    await laptop.pilot.pause()
    assert "globex" in laptop.shown("#prompt-note")
    assert laptop.app.operations._preview is None

    laptop.server.kill()
    await until(lambda: "FEED LOST  no news of " in laptop.shown("#banner"))
    assert "it may well go on: NATS is away" in laptop.shown("#banner")
    assert "ENGINE STOPPED" not in laptop.shown("#banner")
    await laptop.keys("escape", "escape", "p")
    assert "pin is off" in laptop.app._flash.text


@pytest.mark.parametrize("laptop", [OPERATES], indirect=True)
async def test_the_controller_elsewhere_says_what_a_pool_would_have_and_will_have(
    laptop: Laptop,
) -> None:
    await until(lambda: laptop.app.frame.rows[0].current == 3)
    until_then = End(SystemClock().now() + 600)
    pin = Request(VERBS["pin"], Scope(pool=POOL), number=2, why="launch", until=until_then)
    await laptop.operator.write(pin, await laptop.operator.preview(pin))
    await until(lambda: laptop.app.frame.rows[0].current == 5)
    async with asyncio.timeout(PATIENCE_S):  # a moment ago it had five, which a window remembers
        while (await laptop.operator.look_ahead(POOL)).without != ("without the pin: 3",):
            await asyncio.sleep(0.05)
    with pytest.raises(NotDoneError, match="the controller does not decide acme/gone"):
        await laptop.operator.look_ahead("acme/gone")


@pytest.mark.parametrize("laptop", [[*OPERATES[:1], *OPERATES[2:]]], indirect=True)
async def test_where_the_controller_may_not_be_asked_the_numbers_are_those_on_screen(
    laptop: Laptop,
) -> None:
    await until(lambda: laptop.operator.refusal() is None)
    await until(lambda: laptop.app.frame.rows[0].ready == 3)
    await laptop.keys("s", *"why", "enter", "enter")
    await laptop.confirming()
    words = laptop.effect.words()
    assert words.startswith("1 pool, 3 replicas ready, 0 of them busy; an estimate")


@pytest.mark.parametrize("laptop", [LOOKS], indirect=True)
async def test_without_the_right_to_write_every_key_is_off_before_it_is_pressed(
    laptop: Laptop,
) -> None:
    await until(lambda: "may not write intents" in (laptop.operator.refusal() or ""))
    for key in "pszxhu":
        await laptop.keys(key)
        assert "may not write intents" in laptop.app._flash.text
        assert laptop.app.view.prompt.mode == ""


async def test_questions_that_nobody_can_read_are_answered_in_words(tmp_path: Path) -> None:
    with RealNats(tmp_path / "nats") as server:
        async with NatsSession(NatsSettings(servers=(server.url,)), SystemClock()) as session:
            await until(lambda: session.connected)
            path = tmp_path / "fleet.yaml"
            path.write_text(fleet_text(server.url, ["research"]), "utf-8")
            fleet = load(path).fleet
            answers = EffectAnswers(session, "agentdash", lambda: fleet, lambda: None)
            for question in (b"", b"{", b"[" * 5000, b'{"version":1,"key":"intent.nothing"}'):
                assert (await answers._answer(question)).problem
            asked = b'{"version":1,"key":"intent.freeze"}'
            assert "not seen the fleet yet" in (await answers._answer(asked)).problem
