"""What the dashboard draws by itself beside Textual's own widgets: bytes on the wire and processor
time at 160x45, all of them behind the same difference writer, and all in true colour.

    .venv/bin/pytest -m benchmark -n 0 -s tests/benchmarks/bench_widgets.py
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, NamedTuple

import pytest
from rich.color import ColorSystem
from rich.console import RenderableType
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import DataTable, Footer, Header, Sparkline, Static

from agentdash.tui.actions import ACTIONS
from agentdash.tui.app import stylesheet
from agentdash.tui.charts import sparkline
from agentdash.tui.figures import UNICODE
from agentdash.tui.header import header_lines, hint_line
from agentdash.tui.help_text import help_lines
from agentdash.tui.lines import Line, Span, Tone, line
from agentdash.tui.tables.pools import POOLS
from agentdash.tui.terminal_diff import TerminalApp
from agentdash.tui.theme import THEMES
from agentdash.tui.view import Frame
from agentdash.tui.view_state import ViewState
from agentdash.tui.widgets.lines_widget import LinesWidget, Panel
from agentdash.tui.widgets.live_table import LiveTable
from support.measure import report
from tui import scenarios
from tui.recording import recorded

SIZE = (160, 45)
STEPS = 8
CSS = """
DataTable, #framed { border: solid $border-line; height: 1fr; }
DataTable:focus, #framed:focus { border: solid $primary; }
#two { height: 2; }
Sparkline { height: 1; width: 20; }
"""
_THEME = THEMES[0]
_STYLES = {
    Tone.DIM: _THEME.variables["quiet"],
    Tone.HEADING: str(_THEME.primary),
    Tone.BUSY: str(_THEME.primary),
    Tone.SORTED: f"bold underline {_THEME.primary}",
    Tone.OK: str(_THEME.success),
    Tone.WARN: str(_THEME.warning),
    Tone.CRIT: f"bold {_THEME.error}",
    Tone.TITLE: "bold",
}
"""The same colours for both."""
Step = Callable[[int], None]


class Stage(TerminalApp):
    """An app with one widget on it. Without `differs` all is written, as Textual does."""

    CSS: ClassVar[str] = stylesheet() + CSS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(each.keys[0], f"none_{number}", each.title)
        for number, each in enumerate(ACTIONS)
        if each.hint
    ][:12]

    def __init__(self, *widgets: Widget, differs: bool = True) -> None:
        super().__init__(on_painted=lambda: None, ascii_only=False, erases_in_color=True)
        self.register_theme(_THEME)
        self.theme = _THEME.name
        self.console._color_system = ColorSystem.TRUECOLOR
        self.animation_level = "none"
        self._widgets = widgets
        self._differs = differs

    def compose(self) -> ComposeResult:
        yield from self._widgets

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        if self._differs:
            super()._display(screen, renderable)
        else:
            App._display(self, screen, renderable)


class Cost(NamedTuple):
    """Bytes of the first picture and of a step, and the processor's ms of a step."""

    first: int
    step: float
    step_ms: float

    def __str__(self) -> str:
        return f"{self.first:,} B at first, {self.step:,.0f} B and {self.step_ms:.1f} ms a step"


async def cost(
    make: Callable[[], tuple[Sequence[Widget], Step]], *, differs: bool = True, steps: int = STEPS
) -> Cost:
    widgets, step = make()
    app = Stage(*widgets, differs=differs)
    async with recorded(app, SIZE) as (pilot, recording):
        await _run(pilot, step, 0)
        first = len(recording.read().encode())
        idle_s = await _run(pilot, lambda _: None, 0)
        took_s, written = 0.0, 0
        for number in range(1, steps + 1):
            took_s += await _run(pilot, step, number)
            written += len(recording.read().encode())
    return Cost(first, written / steps, max(took_s / steps - idle_s, 0.0) * 1000)


async def _run(pilot: Pilot[None], step: Step, number: int) -> float:
    began = time.process_time()
    with pilot.app._context():
        step(number)
        await pilot.pause()
    return time.process_time() - began


async def compare(
    what: str,
    ours: Callable[[], tuple[Sequence[Widget], Step]],
    own: Callable[[], tuple[Sequence[Widget], Step]],
) -> None:
    report(f"{what}, drawn by hand", str(await cost(ours)), "behind the difference writer")
    report(f"{what}, Textual's own", str(await cost(own)), "behind the difference writer")
    without = await cost(own, differs=False)
    report(f"{what}, Textual's own", str(without), "as Textual writes")


def frame_of(sequence: int, *, pools: int = 50, changed: int = 10) -> Frame:
    state = ViewState(scenarios.NOW, UNICODE)
    at = scenarios.NOW + sequence
    state.accept(scenarios.many_pools(pools, sequence, changed=changed, at=at - 0.4))
    return state.refresh(at, None)


def texts(frame: Frame) -> list[list[Text]]:
    return [
        [Text(span.text, _STYLES.get(span.tone, "")) for span in cells]
        for cells in ([each.span(row, frame) for each in POOLS.columns] for row in frame.rows)
    ]


# -- tables ---------------------------------------------------------------------------------------


def our_table(pools: int = 50) -> tuple[Sequence[Widget], Step]:
    table = LiveTable(POOLS, id="pools")
    frames = [frame_of(number + 1, pools=pools) for number in range(STEPS + 1)]

    def step(number: int) -> None:
        frame = frames[number]
        table.set_rows(frame.rows, frame)

    return [table], step


def own_table(pools: int = 50) -> tuple[Sequence[Widget], Step]:
    table: DataTable[Text] = DataTable(cursor_type="row", id="pools")
    table.border_title = "pools"
    shown: list[list[Text]] = []
    rows = [texts(frame_of(number + 1, pools=pools)) for number in range(STEPS + 1)]

    def step(number: int) -> None:
        found = rows[number]
        if not table.columns:
            for column in POOLS.columns:
                table.add_column(column.title, width=column.width, key=column.title)
            for place, cells in enumerate(found):
                table.add_row(*cells, key=str(place))
        for place, (before, after) in enumerate(zip(shown, found, strict=False)):
            for column, old, new in zip(POOLS.columns, before, after, strict=True):
                if old != new:
                    table.update_cell(str(place), column.title, new)
        shown[:] = found

    return [table], step


@pytest.mark.benchmark
@pytest.mark.parametrize("pools", [50, 1_000])
async def test_a_table_in_which_10_cells_change(pools: int) -> None:
    await compare(f"table of {pools} rows", lambda: our_table(pools), lambda: own_table(pools))


@pytest.mark.benchmark
async def test_a_cursor_that_moves() -> None:
    def ours() -> tuple[Sequence[Widget], Step]:
        [table], fill = our_table()
        assert isinstance(table, LiveTable)
        return [table], lambda number: table.action_do("down") if number else fill(0)

    def own() -> tuple[Sequence[Widget], Step]:
        [table], fill = own_table()
        assert isinstance(table, DataTable)
        return [table], lambda number: table.action_cursor_down() if number else fill(0)

    await compare("cursor of a table", ours, own)


# -- lines ----------------------------------------------------------------------------------------


def text_of(lines: Sequence[Line]) -> Text:
    return Text("\n").join(
        Text.assemble(*((span.text, _STYLES.get(span.tone, "")) for span in each.spans))
        for each in lines
    )


@pytest.mark.benchmark
async def test_two_lines_in_which_the_time_changes() -> None:
    def ours() -> tuple[Sequence[Widget], Step]:
        widget = LinesWidget(id="two")

        def step(number: int) -> None:
            frame = frame_of(number)
            widget.show(partial(header_lines, frame))

        return [widget], step

    def own() -> tuple[Sequence[Widget], Step]:
        widget = Static(id="two")
        return [widget], lambda number: widget.update(
            text_of(header_lines(frame_of(number), SIZE[0], 2))
        )

    await compare("two lines of a header", ours, own)


@pytest.mark.benchmark
async def test_a_title_in_which_the_time_changes() -> None:
    def ours() -> tuple[Sequence[Widget], Step]:
        widget = LinesWidget(id="one")

        def step(number: int) -> None:
            title = line("agentdash", Span(f" 12:04:{number:02d}Z", Tone.DIM))
            widget.show(lambda *_: [title])

        return [widget], step

    def own() -> tuple[Sequence[Widget], Step]:
        widget = Header()

        def step(number: int) -> None:
            widget.app.title = f"agentdash 12:04:{number:02d}Z"

        return [widget], step

    await compare("a title", ours, own)


@pytest.mark.benchmark
async def test_hints_under_a_view() -> None:
    hints = [each for each in ACTIONS if each.hint][:12]

    def ours() -> tuple[Sequence[Widget], Step]:
        widget = LinesWidget(id="hints")

        def step(_: int) -> None:
            widget.show(lambda width, _: [hint_line(hints, width)])

        return [widget], step

    def own() -> tuple[Sequence[Widget], Step]:
        widget = Footer(show_command_palette=False)
        return [widget], lambda _: widget.app.refresh_bindings()

    await compare("key hints", ours, own)


# -- frames ---------------------------------------------------------------------------------------


def body(number: int) -> list[Line]:
    return [*help_lines(ACTIONS, SIZE[0] - 2)[:38], line(f" line that changes {number}")]


def our_panel() -> tuple[Panel, Step]:
    panel = Panel(id="panel")

    def step(number: int) -> None:
        lines = body(number)
        panel.show_titled(lambda *_: lines, title=("help",), note=("sort PRESS",))

    return panel, step


def own_panel() -> tuple[Static, Step]:
    panel = Static(id="framed")
    panel.can_focus = True
    panel.border_title, panel.border_subtitle = "help", "sort PRESS"
    return panel, lambda number: panel.update(text_of(body(number)))


@pytest.mark.benchmark
async def test_a_frame_around_lines_of_which_one_changes() -> None:
    def ours() -> tuple[Sequence[Widget], Step]:
        panel, step = our_panel()
        return [panel], step

    def own() -> tuple[Sequence[Widget], Step]:
        panel, step = own_panel()
        return [panel], step

    await compare("a frame, one line in it changes", ours, own)


@pytest.mark.benchmark
async def test_a_frame_that_gets_and_loses_the_focus() -> None:
    def on(panel: Widget, fill: Step) -> tuple[Sequence[Widget], Step]:
        def step(number: int) -> None:
            if not number:
                fill(0)
            panel.app.set_focus(panel if number % 2 else None)

        return [panel], step

    await compare("a frame, focus", lambda: on(*our_panel()), lambda: on(*own_panel()))


@pytest.mark.benchmark
async def test_a_text_that_is_scrolled_by_a_line() -> None:
    def ours() -> tuple[Sequence[Widget], Step]:
        panel = Panel(id="panel")
        lines = help_lines(ACTIONS, 80) * 3

        def step(number: int) -> None:
            if number:
                panel.scroll_by(1)
            else:
                panel.show_titled(lambda *_: lines, title=("help",))

        return [panel], step

    def own() -> tuple[Sequence[Widget], Step]:
        lines = help_lines(ACTIONS, 80) * 3
        scroll = VerticalScroll(Static(text_of(lines)), id="framed")
        return [scroll], lambda number: scroll.scroll_to(y=number, animate=False)

    await compare("a text, scrolled by a line", ours, own)


# -- bars -----------------------------------------------------------------------------------------


@pytest.mark.benchmark
async def test_20_rows_of_bars() -> None:
    def values(number: int, row: int) -> list[int]:
        return [(number + row + place) ** 2 % 97 for place in range(20)]

    def ours() -> tuple[Sequence[Widget], Step]:
        widget = Panel(id="panel")

        def step(number: int) -> None:
            lines = [line(sparkline(values(number, row), 20, UNICODE)) for row in range(20)]
            widget.show_titled(lambda *_: lines, title=("bars",))

        return [widget], step

    def own() -> tuple[Sequence[Widget], Step]:
        widgets = [Sparkline() for _ in range(20)]

        def step(number: int) -> None:
            for row, each in enumerate(widgets):
                each.data = values(number, row)

        return widgets, step

    await compare("20 rows of bars", ours, own)
