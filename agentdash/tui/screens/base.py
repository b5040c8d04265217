"""What every view has: header, banners, body, prompt, key hints and the last line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.events import DescendantFocus
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input

from agentdash.tui.actions import KeyContext, KeyScope, UserAction, actions_in, scopes_of
from agentdash.tui.exports import SAVE_NOTE
from agentdash.tui.header import (
    WIDE,
    banner_lines,
    crumb_at,
    crumb_line,
    header_lines,
    hint_at,
    hint_line,
    rule_line,
    tab_at,
    tab_line,
)
from agentdash.tui.keymap import DEFAULT_KEYS, Keymap, bindings_for
from agentdash.tui.lines import Line, Span, Tone, line
from agentdash.tui.table import PodRef
from agentdash.tui.view import Frame
from agentdash.tui.widgets.lines_widget import TONE_CLASSES, ClickedLine, LinesBuilder, LinesWidget
from agentdash.tui.widgets.live_table import LiveTable
from agentdash.tui.widgets.panel import Panel
from agentdash.tui.widgets.prompt import ASK, COMMAND, FILTER, SAVE, Completer, Prompt, PromptInput
from controller.model.intents import Scope

SMALLEST_SIZE: Final = (60, 15)
HIGH: Final = 36
NO_FLASH: Final = Span("")
# header, hints and last line of a view; on a wide screen also the hints and a rule under the header
_OTHER_LINES: Final = 4
_MORE_LINES: Final = 2
# what only rows and only several panels have
_OF_ROWS: Final = frozenset({"open", "copy_row"})
_COPIES_A_NAME: Final = "copy the name of the row"
_OF_PANELS: Final = frozenset({"next_panel", "previous_panel"})


@dataclass(frozen=True, slots=True)
class Chrome:
    """What is drawn around the panels of a view and does not come from the frame.

    `crumbs` is the path of views, `flash` a message that is shown for a few seconds. `folded` is
    True if the header has only one line. `operating_is_off`: the keys that change something.
    """

    crumbs: tuple[str, ...] = ()
    flash: Span = NO_FLASH
    folded: bool = False
    operating_is_off: bool = False


class ViewScreen(Screen[None]):
    """One view, or one `tab` of the page of a `pool`, by its key. It is told what to draw; it keeps
    only the cursors, sorts and filters.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings_for(
        KeyScope.GLOBAL,
        KeyScope.ABOVE,
        KeyScope.PAGE,
        KeyScope.INTENTS,
        KeyScope.TASKS,
        target="app",
    )
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - Textual declares it without ClassVar
        (0, "-narrowest"),
        (SMALLEST_SIZE[0], "-w60"),
        (100, "-w100"),
        (WIDE, "-w140"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012 - Textual declares it without ClassVar
        (0, "-lowest"),
        (SMALLEST_SIZE[1], "-h15"),
        (HIGH, "-h36"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {*TONE_CLASSES}
    AUTO_FOCUS = "Panel"
    SCOPE: ClassVar[KeyScope] = KeyScope.ABOVE
    COUNTS_SECONDS: ClassVar[bool] = False
    """Whether its text counts seconds, so that it is drawn each second."""

    class Entered(Message):
        """A person entered a line in the prompt, or pressed the one key that answers `by_one_key`.
        `mode` says what it is: a COMMAND, a FILTER, a file to SAVE the view in, or what was asked
        (ASK). The app closes the prompt, or says in it what is wrong.
        """

        def __init__(self, mode: str, text: str, *, by_one_key: bool = False) -> None:
            super().__init__()
            self.mode, self.text, self.by_one_key = mode, text, by_one_key

    class AnswerRefused(Message):
        """A person left a question of `ask` without an answer; `back`: for the one before it."""

        def __init__(self, *, back: bool) -> None:
            super().__init__()
            self.back = back

    class HintClicked(Message):
        """A person clicked on the hint of a key."""

        def __init__(self, action: UserAction) -> None:
            super().__init__()
            self.action = action

    class CrumbClicked(Message):
        """A person clicked on a view of the path; `index` counts from the overview."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, view: str, *, tab: str = "") -> None:
        super().__init__()
        self.VIEW = "pool" if tab else view
        self.tab = tab
        self.pool = ""
        self._tabs = ClickedLine(id="tabs")
        self._crumb_names: tuple[str, ...] = ()
        self._header = LinesWidget(id="header")
        self._hints_above = ClickedLine(id="hints-above")
        self._rule = LinesWidget(id="rule")
        self._banner = LinesWidget(id="banner")
        self.operates = False
        self._operating_is_off = False
        self._asking = LinesWidget(id="asking")
        self.prompt = Prompt(id="prompt")
        self._hints = ClickedLine(id="hints")
        self._crumbs = ClickedLine(id="crumbs")
        self._too_small = LinesWidget(id="too-small")
        self._panel: Panel | None = None
        self._history: list[str] = []
        self._filter_before = ""
        self._keys = DEFAULT_KEYS

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield self._header
        yield self._hints_above
        yield self._rule
        yield self._banner
        with Container(id="body"):
            if self.tab:
                yield self._tabs
            yield from self.compose_body()
        yield self._asking
        yield self.prompt
        yield self._hints
        yield self._crumbs
        yield self._too_small

    def use_keys(self, keys: Keymap) -> None:
        """Show the keys that a person chose. What they do, the app sees to."""
        self._keys = keys

    def on_mount(self) -> None:
        """Know the size before the first layout. Textual sets the classes of a size only after it,
        and the first frame would be written in another form than the next one.
        """
        size = self.app.size
        sides = (
            (size.width, self.HORIZONTAL_BREAKPOINTS),
            (size.height, self.VERTICAL_BREAKPOINTS),
        )
        # in one call: each goes through the style of every widget
        self.add_class(
            *(max(each for each in points if each[0] <= cells)[1] for cells, points in sides)
        )

    @property
    def is_wide(self) -> bool:
        """Whether there is room for panels beside each other, also before the first layout."""
        return self.app.size.width >= WIDE and self.app.size.height >= HIGH

    @property
    def body_lines(self) -> int:
        """How many lines the body of a view has, also before it has been laid out."""
        banners = self._banner.styles.height
        is_folded = self.has_class("-folded")
        others = (
            bool(self.tab)
            + _OTHER_LINES
            - is_folded
            + (_MORE_LINES if self.is_wide and not is_folded else 0)
        )
        return max(self.app.size.height - others - int(banners.value if banners else 0), 0)

    def compose_body(self) -> ComposeResult:
        """The view's own panels."""
        raise NotImplementedError

    def draw(self, frame: Frame, chrome: Chrome) -> None:
        """Draw the view's panels and everything around them."""
        self.set_class(chrome.folded, "-folded")
        self._show_banners(frame)
        self.draw_body(frame)
        self.draw_chrome(frame, chrome)

    def draw_body(self, frame: Frame) -> None:
        """Fill the view's panels."""
        raise NotImplementedError

    def draw_chrome(self, frame: Frame, chrome: Chrome) -> None:
        """Draw the header, the banners, the key hints and the last line."""
        self._header.show(lambda width, height: header_lines(frame, width, height))
        off = self._operating_is_off = chrome.operating_is_off
        for hints in (self._hints_above, self._hints):
            hints.show(lambda width, _: [hint_line(self.actions, width, operating_is_off=off)])
        self._rule.show(lambda width, _: [rule_line(frame, width)])
        self._crumbs.show(
            lambda width, _: [crumb_line(chrome.crumbs, self.subject, chrome.flash, frame, width)]
        )
        self._crumb_names = chrome.crumbs
        pool = self.pool
        self._tabs.show(lambda width, _: [tab_line(self.tab, pool, frame, width)])
        self._too_small.show(lambda *_: _too_small_lines(*self.size))
        self._show_banners(frame)

    def _show_banners(self, frame: Frame) -> None:
        """Before the body: it has the lines that these leave."""
        banners = len(banner_lines(frame, 80))
        self._banner.display = bool(banners)
        self._banner.styles.height = banners
        self._banner.show(lambda width, _: banner_lines(frame, width))

    @property
    def actions(self) -> tuple[UserAction, ...]:
        """The actions whose keys do something in this view with what is under its cursor now. While
        nothing can be asked for at all, those that ask for something are among them.
        """
        context = self.key_context(None)
        # once, and not for each action: a query walks over all widgets of the view
        tables = list(self.query(LiveTable))
        panels = [each for each in self.query(Panel) if each.display]
        table, subject = self.filtered, self.subject
        row = self.row_under_cursor
        titles = {} if table is None else table.sort_letters
        scopes = (*scopes_of(KeyScope.PAGE if self.tab else self.SCOPE), self.SCOPE)
        found = (_named(each, subject, titles) for each in self._keys.applied(actions_in(scopes)))
        return tuple(
            action
            for action in found
            if (table is not None or action.id != "filter")
            and (action.id not in _OF_ROWS or row is not None)
            and (action.id != "open" or (table is not None and table.spec.can_open))
            and (action.id != "copy_row" or (table is not None and table.spec.copies))
            and (action.id != "sort_by" or action.argument in titles)
            and (action.id != "copy" or row is not None or subject)
            and (action.id != "why" or self.tab != "why")
            and (action.id != "zoom" or self.SCOPE is KeyScope.OVERVIEW)
            and (any(each.sort is not None for each in tables) or action.group != "sort")
            and (len(panels) > 1 or action.id not in _OF_PANELS)
            and (not action.changes or self.operates)
            and (action.enabled(context) is None or (self._operating_is_off and action.changes))
        )

    def has_key(self, action: str) -> bool:
        """Whether this action that belongs to some views alone is one of this view."""
        own = {
            "zoom": KeyScope.OVERVIEW,
            "end": KeyScope.INTENTS,
            "cancel_task": KeyScope.TASKS,
            "retry_task": KeyScope.TASKS,
        }.get(action, self.SCOPE)
        return bool(self.tab) if action in {"tab", "turn"} else own is self.SCOPE

    def key_context(self, refusal: str | None) -> KeyContext:
        """What decides here whether a key is on; `refusal`: why nothing can be asked for now."""
        return KeyContext(
            refusal,
            self.scope_under_cursor,
            pool=self.subject,
            has_pod=self.pod_under_cursor is not None,
            has_row=self.filtered is not None and self.filtered.cursor_row is not None,
        )

    @property
    def is_too_small(self) -> bool:
        """Whether the terminal has no room for the view, nor for a question above the prompt."""
        width, height = self.size
        return width < SMALLEST_SIZE[0] or height < SMALLEST_SIZE[1]

    @property
    def columns(self) -> dict[str, str]:
        """The titles of all columns of its tables, each with what it means."""
        columns = (each for table in self.query(LiveTable) for each in table.spec.columns)
        return {each.title: each.legend for each in columns}

    @property
    def subject(self) -> str | None:
        """The key of the pool that `why` would explain; None without a pool."""
        scope = self.scope_under_cursor
        return self.pool or (None if scope is None else scope.pool)

    @property
    def pod_under_cursor(self) -> PodRef | None:
        """The pod whose last lines can be shown; None without one."""
        table, row = self.filtered, self.row_under_cursor
        return None if table is None or row is None else table.spec.pod(row)

    @property
    def row_under_cursor(self) -> object:
        """The row that a key is about: of the table that has the focus or had it last."""
        table = self.filtered
        return None if table is None else table.cursor_row

    @property
    def scope_under_cursor(self) -> Scope | None:
        """What a key that changes something is about; None if nothing can be."""
        if self.pool:
            return Scope(pool=self.pool)
        table, row = self.filtered, self.row_under_cursor
        return None if table is None or row is None else table.spec.about(row)

    @property
    def about(self) -> Scope:
        """The tenant that it is about, else the fleet, where it is about no pool."""
        return self.scope_under_cursor or Scope()

    @property
    def filtered(self) -> LiveTable[object] | None:
        """The table that `/` filters: the one that has the focus or had it last, else the first."""
        tables = [each for each in self.query(LiveTable) if each.display]
        # the focus moves before its message comes
        for panel in (self.focused, self._panel):
            if isinstance(panel, LiveTable) and panel in tables:
                return panel
        return tables[0] if tables else None

    def clear_filter(self) -> bool:
        """Clear the filter of the table with the focus, else that of another; False without one."""
        tables = [each for each in self.query(LiveTable) if each.filter]
        if not tables:
            return False
        table = self._panel if self._panel in tables else tables[0]
        if isinstance(table, LiveTable):
            table.set_filter("")
        return True

    def open_commands(self, completer: Completer, history: list[str]) -> None:
        """Open the prompt for a command."""
        self._open_prompt(COMMAND, "", completer, history)
        self.prompt.note("tab completes, enter goes, esc leaves")

    def open_filter(self, history: list[str]) -> bool:
        """Open the prompt for a filter; False if the view has no table."""
        table = self.filtered
        if table is None:
            return False
        self._filter_before = table.filter.text
        self._open_prompt(FILTER, table.filter.text, lambda _: (), history)
        self.prompt.note(f"in {table.title}: text or regex, ! for the opposite")
        return True

    def open_saving(self, name: str, history: list[str]) -> None:
        """Open the prompt for the name of a file, which begins with this one."""
        self._open_prompt(SAVE, name, lambda _: (), history)
        self.prompt.note(SAVE_NOTE)

    def _open_prompt(self, mode: str, text: str, completer: Completer, history: list[str]) -> None:
        self._history = history
        self.add_class("-prompting")
        self.prompt.open(mode, text, completer, history)

    def ask(
        self, builder: LinesBuilder, height: int, label: str, *, clear: bool, one_key: bool
    ) -> None:
        """Ask a person something: these lines above the prompt, and the question in it. `clear`:
        what is typed already is no answer to it. `one_key`: the next key is, once it can be read.
        """
        self._asking.display = True
        self._asking.styles.height = height
        self._asking.show(builder)
        if self.prompt.mode != ASK:
            self._open_prompt(ASK, "", lambda _: (), [])
        elif clear:
            self.prompt.input.value = ""
        self.prompt.label(label)
        if one_key:
            self.call_after_refresh(self.prompt.input.take_one_key)
        else:
            self.prompt.input.take_lines()

    def close_prompt(self) -> None:
        """Close the prompt and give the focus back to the panel that had it."""
        self._asking.display = False
        self.remove_class("-prompting")
        self.prompt.close()
        self.focus_panel()

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Remember the panel that the keys go to. While the prompt is open, they go to the prompt:
        a click on a panel takes nothing away from it.
        """
        if isinstance(event.widget, Panel):
            self._panel = event.widget
            if self.prompt.mode:
                self.set_focus(self.prompt.input)

    def on_resize(self) -> None:
        """A view that was hidden because it was too small has lost the focus."""
        self.call_after_refresh(self.focus_panel)

    def on_screen_resume(self) -> None:
        """A view that comes back has the focus where it had it."""
        self.call_after_refresh(self.focus_panel)

    def focus_panel(self) -> None:
        """Let the keys go to the panel that had them last, else to the first panel, at once:
        `Widget.focus` would take the focus later, away from a prompt that is open by then.
        """
        if self.prompt.mode or (isinstance(self.focused, Panel) and _is_seen(self.focused)):
            return
        panels = [each for each in self.query(Panel) if _is_seen(each)]
        if panels:
            self.set_focus(self._panel if self._panel in panels else panels[0])

    def on_clicked_line_clicked(self, message: ClickedLine.Clicked) -> None:
        """Say which hint, which tab or which view of the path was clicked."""
        if message.widget is self._tabs:
            tabs = {each.argument: each for each in self.actions if each.id == "tab"}
            if tab := tab_at(self.tab, message.cell):
                self.post_message(self.HintClicked(tabs[tab]))
            return
        if message.widget is self._crumbs:
            index = crumb_at(self._crumb_names, message.cell)
            if index is not None:
                self.post_message(self.CrumbClicked(index))
            return
        action = hint_at(self.actions, message.widget.size.width, message.cell)
        if action is not None:
            self.post_message(self.HintClicked(action))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Apply a filter while it is typed; show the completions of a command."""
        table = self.filtered
        if self.prompt.mode == COMMAND:
            found = self.prompt.completions(event.value)
            self.prompt.note("  ".join(each.rpartition(" ")[2] for each in found[:4]))
        elif self.prompt.mode == FILTER and table is not None:
            table.set_filter(event.value)
            self._crumbs.update_lines()
            self.prompt.note(
                table.filter.note or f"{len(table.visible_keys)} match in {table.title}"
            )

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Pass the line to the app."""
        text, mode = event.value.strip(), self.prompt.mode
        if mode != ASK and text and self._history[-1:] != [text]:
            self._history.append(text)
        self.post_message(self.Entered(mode, text))

    def on_prompt_input_pressed(self, message: PromptInput.Pressed) -> None:
        """Pass the key to the app as an answer."""
        self.post_message(self.Entered(ASK, message.character, by_one_key=True))

    def on_prompt_input_cancelled(self, message: PromptInput.Cancelled) -> None:
        """Close the prompt; a filter becomes again what it was before."""
        if self.prompt.mode == ASK:
            self.post_message(self.AnswerRefused(back=message.back))
            return
        table = self.filtered
        if self.prompt.mode == FILTER and table is not None:
            table.set_filter(self._filter_before)
        self.close_prompt()


def _named(action: UserAction, subject: str | None, titles: Mapping[str, str]) -> UserAction:
    """The action with the words that it has in this view."""
    if action.id == "copy" and not subject:
        return replace(action, help=_COPIES_A_NAME)
    if action.id == "sort_by" and action.argument in titles:
        return replace(action, help=f"sort by {titles[action.argument]}")
    return action


def _is_seen(panel: Panel) -> bool:
    return all(each.display for each in panel.ancestors_with_self)


def _too_small_lines(width: int, height: int) -> list[Line]:
    needed = f"{SMALLEST_SIZE[0]}x{SMALLEST_SIZE[1]}"
    return [
        line(Span(" too small", Tone.WARN)),
        line(f" needs {needed}"),
        line(f" has {width}x{height}"),
    ]


_FRAME: Final = 2
# the frame and the headings of a table
_AROUND_ROWS: Final = 3
_LEAST_TABLE: Final = 5


def share_lines(lines: int, wanted: Sequence[int], least: Sequence[int]) -> list[int]:
    """Lines for each panel. Each has its least, or what it wants if that is less. Then they get one
    line after the other, the first panel two at a time, until each has what it wants. What is left
    goes to the first.
    """
    found = [min(want, low) for want, low in zip(wanted, least, strict=True)]
    room = lines - sum(found)
    steps = [0, *range(len(found))]
    while room > 0 and any(has < want for has, want in zip(found, wanted, strict=True)):
        for index in steps:
            if room > 0 and found[index] < wanted[index]:
                found[index] += 1
                room -= 1
    found[0] = max(found[0] + room, 0)
    return found


def details_lines(lines: int, rows: int, details: int) -> int:
    """How high the panel of details below a table is, with its frame: as high as its lines. The
    table keeps half of the `lines` where its rows need them, and its headings and two rows at
    least; without any details the panel has no lines.
    """
    if not details:
        return 0
    table = min(rows + _AROUND_ROWS, max(lines // 2, _LEAST_TABLE))
    return max(min(details + _FRAME, lines - table), _FRAME + 1)
