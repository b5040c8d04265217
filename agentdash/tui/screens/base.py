"""What every view has in common: header, banners, body, prompt, hints and crumbs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input

from agentdash.tui.actions import Action, Scope, live
from agentdash.tui.bindings import bindings_for
from agentdash.tui.header import (
    banner_lines,
    crumb_line,
    header_lines,
    hint_line,
    rule_line,
)
from agentdash.tui.lines import Line, Span, Tone, line
from agentdash.tui.view import Scene
from agentdash.tui.widgets.lined import Lined
from agentdash.tui.widgets.live_table import LiveTable
from agentdash.tui.widgets.panel import Panel
from agentdash.tui.widgets.prompt import COMMAND, FILTER, Complete, Prompt

SMALLEST: Final = (60, 15)


SILENT: Final = Span("")


@dataclass(frozen=True, slots=True)
class Chrome:
    """What the frame of a view shows beside the scene."""

    actions: tuple[Action, ...]
    crumbs: tuple[str, ...] = ()
    flash: Span = SILENT
    folded: bool = False


class ViewScreen(Screen[None]):
    """One view. It is told what to show and keeps only where its cursors are."""

    BINDINGS: ClassVar[list[BindingType]] = bindings_for(Scope.GLOBAL, target="app")
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - Textual declares it without ClassVar
        (0, "-narrowest"),
        (SMALLEST[0], "-w60"),
        (100, "-w100"),
        (140, "-w140"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012 - Textual declares it without ClassVar
        (0, "-lowest"),
        (SMALLEST[1], "-h15"),
        (36, "-h36"),
    ]
    AUTO_FOCUS = "Panel"
    VIEW: ClassVar[str] = ""
    SCOPE: ClassVar[Scope] = Scope.OVERVIEW

    class Ordered(Message):
        """A command was entered; who obeys closes the prompt, or says in it what is wrong."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self) -> None:
        super().__init__()
        self._header = Lined(id="header")
        self._hints_above = Lined(id="hints-above")
        self._rule = Lined(id="rule")
        self._banner = Lined(id="banner")
        self.prompt = Prompt(id="prompt")
        self._hints = Lined(id="hints")
        self._crumbs = Lined(id="crumbs")
        self._too_small = Lined(id="too-small")
        self._came_from: Panel | None = None
        self._history: list[str] = []
        self._filter_before = ""

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield self._header
        yield self._hints_above
        yield self._rule
        yield self._banner
        with Container(id="body"):
            yield from self.compose_body()
        yield self.prompt
        yield self._hints
        yield self._crumbs
        yield self._too_small

    def compose_body(self) -> ComposeResult:
        """The view's own panels."""
        raise NotImplementedError

    def draw(self, scene: Scene, chrome: Chrome) -> None:
        """Show the scene: the view's panels first, then what stands around them."""
        self.draw_body(scene)
        self.draw_chrome(scene, chrome)

    def draw_body(self, scene: Scene) -> None:
        """Fill the view's panels."""
        raise NotImplementedError

    def draw_chrome(self, scene: Scene, chrome: Chrome) -> None:
        """The two header lines, the banners, the hints and the crumbs."""
        self.set_class(chrome.folded, "-folded")
        here = live(chrome.actions, (Scope.GLOBAL, Scope.TABLE, self.SCOPE))
        self._header.show(lambda width, height: header_lines(scene, width, height))
        self._hints_above.show(lambda width, _: [hint_line(here, width)])
        self._hints.show(lambda width, _: [hint_line(here, width)])
        self._rule.show(lambda width, _: [rule_line(scene, width)])
        self._crumbs.show(
            lambda width, _: [crumb_line(chrome.crumbs, self.subject, chrome.flash, scene, width)]
        )
        self._too_small.show(_too_small_lines)
        banners = len(banner_lines(scene, 80))
        self._banner.display = bool(banners)
        self._banner.styles.height = banners
        self._banner.show(lambda width, _: banner_lines(scene, width))

    @property
    def subject(self) -> str | None:
        """The pool that `why` would be about."""
        return None

    @property
    def filtered(self) -> LiveTable[object] | None:
        """The table that `/` filters: the one with the focus, else the view's first."""
        focused = self.focused or self._came_from
        tables = [each for each in self.query(LiveTable) if each.display]
        if isinstance(focused, LiveTable) and focused in tables:
            return focused
        return tables[0] if tables else None

    def open_commands(self, complete: Complete, history: list[str]) -> None:
        """Give the keys to the command line."""
        self._open_prompt(COMMAND, "", complete, history)
        self.prompt.note("tab completes, enter goes, esc leaves")

    def open_filter(self, history: list[str]) -> bool:
        """Give the keys to the filter; False where there is no table."""
        table = self.filtered
        if table is None:
            return False
        self._filter_before = table.filter.text
        self._open_prompt(FILTER, table.filter.text, lambda _: (), history)
        self.prompt.note("text or regex, ! for the opposite")
        return True

    def _open_prompt(self, mode: str, text: str, complete: Complete, history: list[str]) -> None:
        if isinstance(self.focused, Panel):
            self._came_from = self.focused
        self._history = history
        self.add_class("-prompting")
        self.prompt.open(mode, text, complete, history)

    def close_prompt(self) -> None:
        """Give the keys back to the panel that had them."""
        self.remove_class("-prompting")
        self.prompt.close()
        if self._came_from is not None:
            self._came_from.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """A filter works as it is typed; a command shows what it may become."""
        table = self.filtered
        if self.prompt.mode == COMMAND:
            found = self.prompt.completions(event.value)
            self.prompt.note("  ".join(each.rpartition(" ")[2] for each in found[:4]))
        elif self.prompt.mode == FILTER and table is not None:
            table.set_filter(event.value)
            self.prompt.note(table.filter.note or f"{len(table.visible_keys)} match")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter keeps the filter, or gives the order."""
        text, mode = event.value.strip(), self.prompt.mode
        if text and self._history[-1:] != [text]:
            self._history.append(text)
        if mode == COMMAND and text:
            self.post_message(self.Ordered(text))
        else:
            self.close_prompt()

    def on_prompt_input_cancelled(self) -> None:
        """Leave the prompt; a filter goes back to what it was."""
        table = self.filtered
        if self.prompt.mode == FILTER and table is not None:
            table.set_filter(self._filter_before)
        self.close_prompt()


def _too_small_lines(width: int, height: int) -> list[Line]:
    needed = f"{SMALLEST[0]}x{SMALLEST[1]}"
    return [
        line(Span(" too small", Tone.WARN)),
        line(f" needs {needed}"),
        line(f" has {width}x{height}"),
    ]
