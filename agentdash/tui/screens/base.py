"""What every view has: header, banners, body, prompt, key hints and the last line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from textwrap import wrap
from typing import Any, ClassVar, Final

from textual._time import get_time
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.events import DescendantFocus
from textual.screen import Screen

from agentdash.tui.actions import (
    KeyContext,
    Keymap,
    UserAction,
    actions_in,
    bindings_for,
    scopes_of,
)
from agentdash.tui.header import WIDE, banner_lines, crumb_line, header_lines, hint_line, tab_line
from agentdash.tui.lines import Line, Span, Tone, line
from agentdash.tui.table import KeyScope, PodRef
from agentdash.tui.view import Frame
from agentdash.tui.widgets.lines_widget import TONE_CLASSES, LinesBuilder, LinesWidget, Panel
from agentdash.tui.widgets.live_table import LiveTable
from agentdash.tui.widgets.prompt import ASK, FILTER, Prompt, PromptUse
from controller.model.intents import Scope

SMALLEST_SIZE: Final = (60, 15)
HIGH: Final = 36
NO_FLASH: Final = Span("")
# header, hints and last line of a view; on a wide screen also the hints and a rule under the header
_OTHER_LINES: Final = 4
_MORE_LINES: Final = 2
_COPIES_A_NAME: Final = "copy the name of the row"
# what is drawn around the body, from top to bottom
_AROUND: Final = (
    *("header", "hints-above", "rule", "banner"),
    *("tabs", "asking"),
    *("hints", "crumbs", "too-small"),
)


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
    only the cursors, sorts and filters. `explains` is the pool that it is about beside that, and
    `log_of` the pod whose lines it shows.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings_for(
        *(scope for scope in KeyScope if scope is not KeyScope.TABLE)
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
    COUNTS_SECONDS: ClassVar[bool] = False
    """Whether its text counts seconds, so that it is drawn each second."""

    def __init__(
        self, view: str, *, tab: str = "", scope: KeyScope = KeyScope.ABOVE, keys: Keymap
    ) -> None:
        super().__init__()
        self.VIEW = "pool" if tab else view
        self.tab, self.pool, self.explains = tab, "", ""
        self.log_of: PodRef | None = None
        self._scopes = (*scopes_of(KeyScope.PAGE if tab else scope), scope)
        self._keys = keys
        self.operates = self._operating_is_off = False
        self._around = {each: LinesWidget(id=each) for each in _AROUND}
        self.body, self.prompt = Container(id="body"), Prompt(id="prompt")
        self._panel: Panel | None = None
        self._drawn_at = float("-inf")
        self._panels: Sequence[Panel] = ()
        self.tables: list[LiveTable[Any]] = []

    def compose(self) -> ComposeResult:
        """From top to bottom. The classes of the size come first: Textual sets them after the first
        layout, and the first frame would be written in another form than the next one; set later,
        they go through the style of every widget again.
        """
        size = self.app.size
        sides = (
            (size.width, self.HORIZONTAL_BREAKPOINTS),
            (size.height, self.VERTICAL_BREAKPOINTS),
        )
        self.add_class(
            *(max(each for each in points if each[0] <= cells)[1] for cells, points in sides)
        )
        for name in _AROUND[:4]:
            yield self._around[name]
        with self.body:
            if self.tab:
                yield self._around["tabs"]
            yield from self.compose_body()
        yield self._around["asking"]
        yield self.prompt
        for name in _AROUND[6:]:
            yield self._around[name]

    def on_mount(self) -> None:
        """The panels stay the same from here on; a query at each key would walk over all."""
        self._panels = tuple(self.query(Panel))
        self.tables = [each for each in self._panels if isinstance(each, LiveTable)]

    @property
    def is_wide(self) -> bool:
        """Whether there is room for panels beside each other, also before the first layout."""
        return self.app.size.width >= WIDE and self.app.size.height >= HIGH

    @property
    def body_lines(self) -> int:
        """How many lines the body of a view has, also before it has been laid out."""
        banners = self._around["banner"].styles.height
        is_folded = self.has_class("-folded")
        more = _MORE_LINES if self.is_wide and not is_folded else 0
        others = bool(self.tab) + _OTHER_LINES - is_folded + more
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
        off, pool = chrome.operating_is_off, self.pool
        self._operating_is_off = off
        builders: dict[str, LinesBuilder] = {
            "header": lambda width, height: header_lines(frame, width, height),
            "hints-above": lambda width, _: [hint_line(self.actions, width, operating_is_off=off)],
            "hints": lambda width, _: [hint_line(self.actions, width, operating_is_off=off)],
            "rule": lambda width, _: [line(Span(frame.glyphs.horizontal * width, Tone.BORDER))],
            "crumbs": lambda width, _: [
                crumb_line(chrome.crumbs, self.subject, chrome.flash, frame, width)
            ],
            "tabs": lambda width, _: [tab_line(self.tab, pool, frame, width)],
            "too-small": lambda *_: _too_small_lines(*self.size, chrome.flash),
        }
        for name, builder in builders.items():
            self._around[name].show(builder)
        self._show_banners(frame)

    def _show_banners(self, frame: Frame) -> None:
        """Before the body: it has the lines that these leave."""
        banner, banners = self._around["banner"], len(banner_lines(frame, 80))
        banner.display = bool(banners)
        banner.styles.height = banners
        banner.show(lambda width, _: banner_lines(frame, width))

    @property
    def actions(self) -> tuple[UserAction, ...]:
        """The actions whose keys do something in this view with what is under its cursor now. While
        nothing can be asked for at all, those that ask for something are among them.
        """
        context = self.key_context(None)
        sorts = any(each.sort is not None for each in self.tables)
        has_panels = sum(each.display for each in self._panels) > 1
        table, row, subject = self.filtered, self.row_under_cursor, self.subject
        titles = {} if table is None else table.sort_letters
        on = {
            "filter": table is not None,
            "open": row is not None and table is not None and table.spec.can_open,
            "copy_row": row is not None and table is not None and table.spec.copies,
            "copy": row is not None or bool(subject),
            "why": self.tab != "why",
            "next_panel": has_panels,
            "previous_panel": has_panels,
        }
        found: list[UserAction] = []
        for action in self._keys.applied(actions_in(self._scopes)):
            if not on.get(action.id, True) or (action.changes and not self.operates):
                continue
            if action.group == "sort" and not sorts:
                continue
            if action.id == "sort_by":
                if action.argument not in titles:
                    continue
                action = replace(action, help=f"sort by {titles[action.argument]}")  # noqa: PLW2901
            if action.id == "copy" and not subject:
                action = replace(action, help=_COPIES_A_NAME)  # noqa: PLW2901
            if action.enabled(context) is None or (self._operating_is_off and action.changes):
                found.append(action)
        return tuple(found)

    def has_key(self, action: str, argument: str) -> bool:
        """Whether this action belongs to this view, and not to others alone."""
        found = actions_in(self._scopes)
        return any((each.id, each.argument) == (action, argument) for each in found)

    def key_context(self, refusal: str | None) -> KeyContext:
        """What decides here whether a key is on; `refusal`: why nothing can be asked for now."""
        return KeyContext(
            refusal,
            self.scope_under_cursor,
            pool=self.subject,
            has_pod=self.pod_under_cursor is not None,
            has_row=self.row_under_cursor is not None,
        )

    @property
    def is_too_small(self) -> bool:
        """Whether the terminal has no room for the view, nor for a question above the prompt."""
        width, height = self.size
        return width < SMALLEST_SIZE[0] or height < SMALLEST_SIZE[1]

    @property
    def columns(self) -> dict[str, str]:
        """The titles of all columns of its tables, each with what it means."""
        columns = (each for table in self.tables for each in table.spec.columns)
        return {each.title: each.legend for each in columns}

    @property
    def subject(self) -> str | None:
        """The key of the pool that `why` would explain; None without a pool."""
        scope = self.scope_under_cursor
        return self.pool or self.explains or (None if scope is None else scope.pool)

    @property
    def pod_under_cursor(self) -> PodRef | None:
        """The pod whose last lines can be shown, or are shown; None without one."""
        table, row = self.filtered, self.row_under_cursor
        return self.log_of or (None if table is None or row is None else table.spec.pod(row))

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
    def filtered(self) -> LiveTable[object] | None:
        """The table that `/` filters: the one that has the focus or had it last, else the first."""
        tables = [each for each in self.tables if each.display]
        # the focus moves before its message comes
        for panel in (self.focused, self._panel):
            if isinstance(panel, LiveTable) and panel in tables:
                return panel
        return tables[0] if tables else None

    def clear_filter(self) -> bool:
        """Clear the filter of the table with the focus, else that of another; False without one."""
        tables = [each for each in self.tables if each.filter]
        found = self._panel if self._panel in tables else (*tables, None)[0]
        if isinstance(found, LiveTable):
            found.set_filter("")
        return found is not None

    # -- the prompt ---------------------------------------------------------------------------

    def open_filter(self, history: list[str]) -> bool:
        """Open the prompt for a filter, which is applied while it is typed and becomes again what
        it was if a person leaves it; False if the view has no table.
        """
        table = self.filtered
        if table is None:
            return False
        before = table.filter.text

        def changed(text: str) -> None:
            table.set_filter(text)
            self._around["crumbs"].update_lines()
            count = f"{len(table.visible_keys)} match in {table.spec.title}"
            self.prompt.note(table.filter.note or count)

        def left(_: bool) -> None:
            table.set_filter(before)
            self.close_prompt()

        use = PromptUse(FILTER, lambda _: self.close_prompt(), left, changed, history=history)
        self.open_prompt(use, before, f"in {table.spec.title}: text or regex, ! for the opposite")
        return True

    def open_prompt(self, use: PromptUse, text: str, note: str) -> None:
        """Open the prompt for this, beginning with a text."""
        self._around["hints"].add_class("-prompting")
        self.prompt.open(use, text)
        self.prompt.note(note)

    def ask(
        self,
        use: PromptUse,
        builder: LinesBuilder,
        height: int,
        label: str,
        *,
        clear: bool,
        one_key: bool,
    ) -> None:
        """Ask a person something: these lines above the prompt, and the question in it. `clear`:
        what is typed already is no answer to it. `one_key`: the next key is, once it can be read.
        """
        asking = self._around["asking"]
        asking.display = True
        asking.styles.height = height
        asking.show(builder)
        if self.prompt.mode != ASK:
            self.open_prompt(use, "", "")
        elif clear:
            self.prompt.input.value = ""
        self.prompt.label(label)
        if one_key:
            self.prompt.input.hold_keys()
            self.call_after_refresh(self._is_read, get_time())
        else:
            self.prompt.input.take_lines()

    def _compositor_refresh(self) -> None:
        """Textual draws all that has changed through this method."""
        self._drawn_at = get_time()
        super()._compositor_refresh()

    def _is_read(self, asked_at: float) -> None:
        """The question is on the screen, since the frame after it was asked."""
        drawn_at = self._drawn_at if self._drawn_at >= asked_at else get_time()
        self.prompt.input.take_one_key(drawn_at)

    def close_prompt(self) -> None:
        """Close the prompt and give the focus back to the panel that had it."""
        self._around["asking"].display = False
        self._around["hints"].remove_class("-prompting")
        self.prompt.close()
        self.focus_panel()

    # -- the focus ----------------------------------------------------------------------------

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
        self.share()

    def share(self) -> None:
        """Share the lines among the panels, where the style sheet does not."""

    def on_screen_resume(self) -> None:
        """A view that comes back has the focus where it had it."""
        self.call_after_refresh(self.focus_panel)

    def focus_panel(self) -> None:
        """Let the keys go to the panel that had them last, else to the first panel, at once:
        `Widget.focus` would take the focus later, away from a prompt that is open by then.
        """
        panels = [each for each in self._panels if _is_seen(each)]
        if panels and not self.prompt.mode and self.focused not in panels:
            self.set_focus(self._panel if self._panel in panels else panels[0])


def _is_seen(panel: Panel) -> bool:
    return all(each.display for each in panel.ancestors_with_self)


def _too_small_lines(width: int, height: int, flash: Span) -> list[Line]:
    needed = f"{SMALLEST_SIZE[0]}x{SMALLEST_SIZE[1]}"
    return [
        *(line(Span(f" {text}", flash.tone)) for text in wrap(flash.text, max(width - 2, 1))),
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
