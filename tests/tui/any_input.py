"""Whatever a person, a terminal or the fleet may do to a dashboard, and what holds after it.

The rules are those of the screen: a confirmation counts only while it can be read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final, TypeAlias

from hypothesis import strategies as st
from textual.command import CommandPalette
from textual.events import MouseDown, MouseMove, MouseScrollDown, MouseScrollUp, MouseUp, Paste
from textual.pilot import Pilot

from agentdash.tui.actions import ACTIONS
from agentdash.tui.app import Dashboard
from agentdash.tui.widgets.prompt import ASK, COMMAND
from controller.model.snapshot import Snapshot
from tui import fleet_scenarios, operators, scenarios
from tui.dashboards import dashboard
from tui.plain import key_event, screen_lines, typed

SCENARIOS: Final[dict[str, Callable[[], Snapshot | None]]] = {
    "burst": fleet_scenarios.burst,
    "over budget": fleet_scenarios.over_budget,
    "stale": fleet_scenarios.stale,
    "hostile": fleet_scenarios.hostile,
    "empty": scenarios.empty_fleet,
    "lost": scenarios.nats_lost,
    "read-only": scenarios.read_only,
    "many": lambda: scenarios.many_pools(120),
    "nothing yet": lambda: None,
}
EFFECTS: Final = {"pool": operators.POOL, "tenant": operators.TENANT, "fleet": operators.FLEET}
LEAVES: Final = frozenset({"q", "ctrl+q", "ctrl+c"})
QUITS: Final = frozenset({"quit", "q", "q!"})
# what a question that can be read on the screen says, and the answers that agree to it
AGREES: Final = {"the whole fleet: type": {"agents"}}


@dataclass(frozen=True, slots=True)
class Press:
    """A key."""

    key: str


@dataclass(frozen=True, slots=True)
class Pasted:
    """A text from the clipboard."""

    text: str


@dataclass(frozen=True, slots=True)
class Mouse:
    """A click, a double click, a turn of the wheel or a move, at shares of the screen."""

    kind: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Resized:
    """Another size of the terminal."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Published:
    """A snapshot comes, some seconds later."""

    scenario: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Engine:
    """What the engine does to people: it refuses, falls silent, answers again, or stops."""

    state: str


Step: TypeAlias = Press | Pasted | Mouse | Resized | Published | Engine


def presses(*texts: str) -> tuple[Press, ...]:
    """Texts are typed; a name in brackets is one key: `[enter]`."""
    names = (
        [text[1:-1]] if text.startswith("[") and text.endswith("]") else typed(text)
        for text in texts
    )
    return tuple(Press(name) for name in chain.from_iterable(names))


KEYS: Final = sorted(
    {key for action in ACTIONS for each in action.keys for key in each.split(",")}
    | {
        "enter",
        "backspace",
        "delete",
        "left",
        "right",
        "space",
        "f5",
        "ctrl+a",
        "ctrl+w",
        "é",
        "界",
    }
    | set("0123456789yYnaelo-*[]()\\")
)
PHRASES: Final = (
    presses("p", "3", "[enter]", "why", "[enter]", "[enter]", "y", "[enter]"),
    presses("p", "3", "[enter]", "why", "[enter]", "[enter]"),
    presses("s", "why", "[enter]", "[enter]", "y", "[enter]"),
    presses("s", "why", "[enter]", "[enter]", "[enter]"),
    presses("z", "why", "[enter]", "-", "[enter]", "yes", "[enter]"),
    presses("x", "2", "[enter]", "-", "[enter]", "1h", "[enter]", "n", "[enter]"),
    presses("y", "[enter]"),
    presses("yy", "[enter]", "[enter]"),
    presses("u", "y", "[enter]"),
    presses(":pause --all until - why night", "[enter]", "agents", "[enter]"),
    presses(":pause --all until - why night", "[enter]", "[enter]"),
    presses(":freeze --all until 1h why x", "[enter]", "y", "[enter]"),
    presses(":pause acme why x", "[enter]"),
    *(
        presses(f":{command}", "[enter]")
        for command in ("pl", "qu", "tn", "po", "no", "mo", "ev", "au", "ov", "theme paper")
    ),
    presses(":at 12:00", "[enter]"),
    presses(":why re", "[tab]", "[enter]"),
    presses(":nothing", "[enter]"),
    presses("/a(", "[enter]"),
    presses("/!acme|[", "[escape]"),
    presses("/zzz", "[enter]", "d"),
    presses("[ctrl+p]", "p", "[enter]"),
    presses("[ctrl+p]", "pau", "[enter]"),
    presses("[ctrl+p]", "[escape]"),
    presses("[ctrl+s]", "[enter]"),
    presses("[ctrl+s]", "[enter]", "[ctrl+s]", "[enter]"),
    presses("q", "q"),
    presses("q", "c", "q"),
    (*presses("s", "why", "[enter]", "[enter]"), Resized(20, 5), *presses("y", "[enter]")),
    (Resized(50, 12), *presses("p", "3", "[enter]", "why", "[enter]", "[enter]", "y", "[enter]")),
    presses(":q", "[enter]"),
    presses("?", "?", "[escape]"),
    presses("d", "[enter]", "d"),
    presses("[enter]", "[enter]", "[enter]"),
)
_SHARE: Final = st.floats(0.0, 1.0, exclude_max=True)
_FEW_KEYS: Final = st.lists(st.sampled_from(KEYS).map(Press), min_size=1, max_size=4).map(tuple)
_STEPS: Final = st.one_of(
    _FEW_KEYS,
    *(st.sampled_from(PHRASES) for _ in range(4)),  # most of what happens are whole requests
    st.builds(
        Mouse,
        st.sampled_from(["click", "double", "wheel up", "wheel down", "move"]),
        _SHARE,
        _SHARE,
    ).map(lambda each: (each,)),
    st.builds(
        Resized,
        st.sampled_from([20, 59, 60, 80, 120, 160]),
        st.sampled_from([5, 14, 15, 24, 36, 45]),
    ).map(lambda each: (each,)),
    st.builds(Published, st.sampled_from(sorted(SCENARIOS)), st.sampled_from([0.2, 1.0, 50.0])).map(
        lambda each: (each,)
    ),
    st.sampled_from(["refuses", "allows", "is silent", "answers", "stops", "runs", "fails"]).map(
        lambda state: (Engine(state),)
    ),
    st.sampled_from(["y\n", "agents", "\x1b[31m", "[@click=app.quit()]x", "y" * 5000]).map(
        lambda text: (Pasted(text),)
    ),
)
HISTORIES: Final = st.lists(_STEPS, min_size=6, max_size=16).map(
    lambda steps: tuple(chain.from_iterable(steps))
)


class Unsuspended(Dashboard):
    """Its process is the test's, which must not be stopped."""

    def does(self) -> Mapping[str, Callable[..., object]]:
        return {**super().does(), "suspend": lambda: self.flash("suspended")}


class Watched:
    """A dashboard to which things happen, and a count of what a person has agreed to."""

    def __init__(self, scenario: str, effect: str) -> None:
        self.feed = scenarios.FakeFeed(SCENARIOS[scenario]())
        self.clock = scenarios.FixedClock()
        self.operator = operators.FakeOperator()
        self.operator.effect = EFFECTS[effect]
        self.engine_error: str | None = None
        self.agreed = 0
        self.app = dashboard(
            self.feed,
            self.clock,
            kind=Unsuspended,
            operator=self.operator,
            engine_error=lambda: self.engine_error,
        )
        self.pilot: Pilot[None]

    @property
    def has_ended(self) -> bool:
        return self.app._exit

    @property
    def _seen(self) -> str:
        return "\n".join(screen_lines(self.app))

    async def do(self, step: Step) -> None:
        """Let it happen, and see that nothing was written or ended that nobody agreed to."""
        may_leave = self._may_leave(step)
        self.agreed += self._agrees(step)
        await self._happen(step)
        assert self.app._exception is None
        assert len(self.operator.written) <= self.agreed, f"{step} wrote without a confirmation"
        assert not self.has_ended or may_leave, f"{step} ended the session"

    def _agrees(self, step: Step) -> bool:
        """Whether this is the key that accepts a question which can be read on the screen."""
        prompt = self.app.view.prompt
        if self.app.size.width < 60 or self.app.size.height < 15:  # nothing can be read there
            return False
        seen = self._seen
        if isinstance(step, Press) and prompt.mode == ASK and "? y/N" in seen:
            return step.key in ("y", "Y")
        if step != Press("enter") or prompt.mode != ASK:
            return False
        return any(
            prompt.input.value in answers for words, answers in AGREES.items() if words in seen
        )

    def _may_leave(self, step: Step) -> bool:
        """Whether this step may end the session: a second press while the question is seen, any
        press where nothing would stop, or a command.
        """
        prompt = self.app.view.prompt
        stops = self.app._stops_with_us()
        if stops is None or not stops.role.writes:
            return True
        if step == Press("enter") and prompt.mode == COMMAND:
            return prompt.input.value.strip() in QUITS
        if isinstance(step, Mouse) and step.kind == "double":  # on the hint of q: two presses
            return True
        is_in_palette = isinstance(self.app.screen, CommandPalette)
        is_key = isinstance(step, Press) and (step.key in LEAVES or is_in_palette)
        is_click = isinstance(step, Mouse) and step.kind == "click"
        return (is_key or is_click) and "leaving stops the controller" in self._seen

    async def _happen(self, step: Step) -> None:
        pilot = self.pilot
        match step:
            case Press(key):
                self.app.post_message(key_event(key))
            case Pasted(text):
                self.app.screen._forward_event(Paste(text))
            case Mouse():
                await self._move_mouse(step)
            case Resized(width, height):
                await pilot.resize_terminal(width, height)
            case Published(name, seconds):
                self.clock.now += seconds
                snapshot = SCENARIOS[name]()
                if snapshot is not None:
                    self.feed.publish(snapshot)
                self.app._redraw()
            case Engine(state):
                self._engine(state)
        await self._settle()

    async def _settle(self) -> None:
        """Let every message be answered, without waiting for an idle process as Textual does."""
        for _ in range(3):
            await self.pilot._wait_for_screen()
            if not self._is_busy():
                break
        if self.operator.gate.is_set():
            dialogs = [each for each in self.app.workers if each.group == "operate"]
            others = [each for each in self.app.workers if each not in dialogs]
            if others:
                await self.app.workers.wait_for_complete(others)
            while not (self._is_asking() or all(each.is_finished for each in dialogs)):
                await asyncio.sleep(0)
        self.app.screen._on_timer_update()  # paint now, not at the next frame
        await self.pilot._wait_for_screen()

    def _is_asking(self) -> bool:
        """Whether a dialog waits for an answer."""
        operations = self.app.operations
        return operations._is_asking and operations._answers.empty()

    def _is_busy(self) -> bool:
        """Whether a message or a callback waits for the app, its screen or a widget of it."""
        app = self.app
        return any(
            not each._message_queue.empty() or each._next_callbacks
            for each in (app, app.screen, *app.screen.walk_children(with_self=False))
        )

    async def _press(self, *keys: str) -> None:
        for key in keys:
            self.app.post_message(key_event(key))
            await self._settle()

    async def _move_mouse(self, mouse: Mouse) -> None:
        width, height = self.app.size
        offset = int(mouse.x * width), int(mouse.y * height)
        match mouse.kind:
            case "click":
                await self.pilot.click(offset=offset)
            case "double":
                await self.pilot.click(offset=offset, times=2)
            case "wheel up":
                await self.pilot._post_mouse_events([MouseScrollUp], offset=offset)
            case "wheel down":
                await self.pilot._post_mouse_events([MouseScrollDown], offset=offset)
            case _:
                await self.pilot._post_mouse_events([MouseDown, MouseMove, MouseUp], offset=offset)

    def _engine(self, state: str) -> None:
        operator = self.operator
        match state:
            case "refuses":
                operator.off = "NATS is away"
            case "allows":
                operator.off = None
            case "is silent":
                operator.gate.clear()
            case "answers":
                operator.gate.set()
            case "fails":
                operator.failure = operators.refused("the bucket is gone")
            case "stops":
                self.engine_error = "no fleet file"
            case _:
                self.engine_error = None

    async def is_alive(self) -> None:
        """Esc leads out of everything, and from there the keys work."""
        self.operator.gate.set()
        await self.pilot.resize_terminal(100, 30)
        await self._settle()
        await self._leave_everything()
        await self._press("question_mark")
        assert self.app.view is self.app.views.view("help")
        await self._press("escape")
        assert self.app.view is self.app.views.overview
        await self._press("colon", "e")
        assert (self.app.view.prompt.mode, self.app.view.prompt.input.value) == (COMMAND, "e")
        assert len(self.operator.written) <= self.agreed
        assert not self.has_ended

    async def _leave_everything(self) -> None:
        for _ in range(12):
            view = self.app.view
            tables = view.query("LiveTable")
            is_first = self.app.screen is self.app.views.overview and not view.prompt.mode
            if is_first and not any(getattr(each, "filter", False) for each in tables):
                return
            await self._press("escape")
        raise AssertionError(f"esc does not lead to the overview: {self._seen}")
