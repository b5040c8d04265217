"""Random keys through every view over a fleet that lives: the engine in its thread, a real
nats-server and a simulated cluster. After each step no crash, no lost key, no write without a
question that could be read with its numbers, and the terminal as if it were drawn anew.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from agentdash.engine_operator import EngineOperator
from agentdash.operate import Preview, Request
from agentdash.tui.app import Dashboard
from agentdash.tui.tables import views
from agentdash.tui.widgets.prompt import ASK
from controller.config import load
from controller.engine.supervise import EngineThread, Hub, SystemClock
from controller.model.intents import IntentChange, Operator
from controller.model.snapshot import Snapshot
from controller.ports import Person
from controller.wiring import embedded
from fakes.cluster import SimCluster
from support.live import fleet_text, streams, until
from support.nats_server import RealNats
from tui.plain import key_event, typed
from tui.recording import Recording, cells, recorded, screen_of

NAMES: Final = ["research", "browser"]
NAMESPACE: Final = "tenant-acme"
ANN: Final = Operator(who="ann@laptop", origin="192.0.2.7")
SIZE: Final = (120, 36)
VIEWS: Final = [name for name, view in views().items() if view.listed]
KEYS: Final = [
    *"jkgGdtlyRwmi$ehfbo12345SPNTAQXWB",
    "enter", "escape", "tab", "space", "down", "up", "pagedown", "ctrl+k", "ctrl+w", "ctrl+e",
]  # fmt: skip
ASKING: Final = (
    (*"p3", "enter", *"why", "enter", "enter"),
    ("s", *"why", "enter", "enter"),
    ("z", *"why", "enter", "enter"),
    ("u",),
)


class Gate(Hub):
    """Keeps the newest snapshot back while it is closed."""

    kept: Snapshot | None = None
    is_closed = False

    def publish(self, snapshot: Snapshot) -> None:
        if self.is_closed:
            self.kept = snapshot
        else:
            super().publish(snapshot)


class Counting(EngineOperator):
    """Counts what it writes."""

    written = 0

    async def write(self, request: Request, seen: Preview) -> IntentChange:
        self.written += 1
        return await super().write(request, seen)


class Hands:
    """A person who types without looking, and what must hold whatever they type."""

    def __init__(self) -> None:
        self.hub = Gate()
        self.operator = Counting(ANN, self.hub)
        self.screen, self.stream = screen_of(SIZE)
        self.agreed = self.questions = 0
        self.held: float | None = None
        self.app: Dashboard
        self.pilot: Pilot[None]
        self.recording: Recording

    def clock(self) -> float:
        """What the dashboard takes for now."""
        return SystemClock().now() if self.held is None else self.held

    async def press(self, keys: Sequence[str]) -> None:
        """As fast as a terminal sends a line that was pasted."""
        assert self.app._driver is not None
        for key in keys:
            self.app._driver.send_message(key_event(key))
        await self.pilot.pause()
        await self.holds()

    async def holds(self) -> None:
        assert self.app._exception is None
        self.stream.feed(self.recording.read())
        assert self.operator.written <= self.agreed, "written without a question"

    async def go_to(self, view: str) -> None:
        """From anywhere: no key of the line is lost, also not those behind the enter."""
        await self.press(["escape"] * 3)
        await self.press([*typed(f":{view}"), "enter", *typed(":"), *typed("zz")])
        await until(lambda: self.app.view.prompt.input.value == "zz")
        assert view == self.app.view.VIEW
        await self.press(["escape"])

    def is_waited_for(self) -> bool:
        """Whether a dialog waits for an answer, or there is none."""
        operations = self.app.operations
        dialogs = [each for each in self.app.workers if each.group == "operate"]
        return all(each.is_finished for each in dialogs) or (
            operations._is_asking and operations._answers.empty()
        )

    async def answer(self, key: str) -> None:
        """Answer the question if there is one; with its numbers it can be read."""
        operations = self.app.operations
        prompt = self.app.view.prompt
        if prompt.mode != ASK or operations._preview is None:
            await self.press(["escape"])
            return
        await self.holds()
        seen = " ".join(" ".join(self.screen.display).split())
        words = " ".join(operations._preview.effect.words().split())
        assert "? y/N" in seen
        assert words[:40] in seen, f"{words} is not on the screen: {seen}"
        self.questions += 1
        self.agreed += key == "y"
        await self.press([key])

    async def is_as_drawn_anew(self) -> None:
        """The terminal shows what one shows that was empty before. What moves is looked at again:
        two screens drawn one after the other must be the same.
        """
        self.hub.is_closed, self.held = True, self.clock()
        self.app._redraw()
        while True:
            await self.pilot.pause()
            self.stream.feed(self.recording.read())
            before, anew = cells(self.screen), []
            for _ in range(2):
                self.app.action_redraw()
                await self.pilot.pause()
                written = self.recording.read()
                screen, stream = screen_of(SIZE)
                stream.feed(written)
                self.stream.feed(written)
                anew.append(cells(screen))
            if anew[0] == anew[1]:
                break
        assert before == anew[0], f"{self.app.view.VIEW} is not as drawn anew"
        self.hub.is_closed, self.held = False, None
        if self.hub.kept is not None:
            self.hub.publish(self.hub.kept)


@asynccontextmanager
async def living(tmp_path: Path) -> AsyncIterator[tuple[Hands, Callable[[], Awaitable[object]]]]:
    """A dashboard with its engine, and what gives one of its pools a task."""
    hands = Hands()
    with RealNats(tmp_path / "nats") as server:
        async with streams(server.url, NAMES) as client, SimCluster(speed=50) as sim:
            await sim.create_namespace(NAMESPACE)
            for name in NAMES:
                await sim.create_deployment(name, NAMESPACE)
            path, kubeconfig = tmp_path / "fleet.yaml", tmp_path / "kubeconfig"
            path.write_text(fleet_text(server.url, NAMES, interval="1s"), "utf-8")
            sim.write_kubeconfig(kubeconfig)
            settings = load(path)
            kubernetes = replace(settings.kubernetes, kubeconfig=str(kubeconfig))
            settings = replace(settings, kubernetes=kubernetes)

            async def engine(stopping: asyncio.Event) -> None:
                await embedded(
                    settings,
                    hands.hub,
                    SystemClock(),
                    name="fleet.yaml",
                    read_only=False,
                    stopping=stopping,
                    person=Person(ANN, hands.operator.at_desk),
                )

            thread = EngineThread(engine)
            hands.app = Dashboard(
                hands.hub,
                clock=hands.clock,
                on_ready=thread.start,
                engine_error=thread.problem,
                operator=hands.operator,
            )
            try:
                async with recorded(hands.app, SIZE) as (hands.pilot, hands.recording):
                    await until(lambda: hands.hub.latest() is not None)
                    await until(lambda: hands.operator.refusal() is None)
                    yield hands, lambda: client.jetstream().publish("tasks.research", b"work")
            finally:
                assert await asyncio.to_thread(thread.stop, 15.0)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [1])
async def test_whatever_is_typed_over_a_living_fleet(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # views are saved there
    dice = random.Random(seed)
    async with living(tmp_path) as (hands, give):
        for view in dice.sample(VIEWS, len(VIEWS)):
            await give()
            await hands.go_to(view)
            for _ in range(3):
                await hands.press(dice.choices(KEYS, k=dice.randint(1, 4)))
            await hands.is_as_drawn_anew()
            await hands.go_to("pools")
            await hands.press(dice.choice(ASKING))
            await until(hands.is_waited_for)
            await hands.answer(dice.choice("yn"))
        assert hands.questions > 0
        assert hands.operator.written > 0
        await hands.go_to("overview")
