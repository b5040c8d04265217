"""The dashboard: takes snapshots from a feed, keeps the newest, and lets a person look around."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar, Final

import rich
from rich.console import RenderableType
from rich.traceback import Traceback
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App, SystemCommand
from textual.binding import BindingType
from textual.events import Resize
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input

from agentdash.tui import commands
from agentdash.tui.actions import ACTIONS, Scope, clashes, live, remap
from agentdash.tui.glyphs import ASCII, UNICODE
from agentdash.tui.lines import Span, Tone
from agentdash.tui.mailbox import Mailbox
from agentdash.tui.screens.base import Chrome, ViewScreen
from agentdash.tui.screens.help import HelpScreen
from agentdash.tui.screens.overview import OverviewScreen
from agentdash.tui.screens.pools import PoolsScreen
from agentdash.tui.screens.why import WhyScreen
from agentdash.tui.stage import Stage
from agentdash.tui.theme import THEME, stylesheet
from agentdash.tui.view import PoolRow, Scene
from agentdash.tui.widgets.live_table import LiveTable
from agentdash.tui.widgets.prompt import COMMAND, FILTER
from agentdash.tui.wire import WireDiff
from controller.model.snapshot import Finding, ScaleEvent
from controller.ports import Feed

_TICK_S: Final = 1.0
_FLASH_S: Final = 4.0
_TWICE_WITHIN_S: Final = 1.0


class SnapshotReady(Message):
    """A snapshot lies in the mailbox."""


class Dashboard(App[None]):
    """The terminal dashboard over one feed.

    `clock` gives Unix seconds. `on_ready` is called once after the first paint: who starts an
    engine starts it then. `engine_status` says why the engine does not run, None while it does.
    `keymap` gives other keys to actions by name; ValueError where two would share one.
    """

    CSS: ClassVar[str] = stylesheet()
    BINDINGS: ClassVar[list[BindingType]] = []
    ESCAPE_TO_MINIMIZE: ClassVar[bool] = False
    NOTIFICATION_TIMEOUT: ClassVar[float] = _FLASH_S

    def __init__(
        self,
        feed: Feed,
        *,
        clock: Callable[[], float],
        on_ready: Callable[[], None] | None = None,
        title: str = "agentdash",
        engine_status: Callable[[], str | None] | None = None,
        wire_diff: bool = True,
        ascii_only: bool = False,
        keymap: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        # for NO_COLOR Textual paints greys, unless told that the terminal has its own colours
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.register_theme(THEME)
        self.theme = THEME.name
        self.animation_level = "none"
        self.title = title
        self._feed = feed
        self._clock = clock
        self._on_ready = on_ready
        self._engine_status = engine_status or _running
        self._wire = WireDiff() if wire_diff else None
        self._actions = remap(ACTIONS, keymap or {})
        if found := clashes(self._actions):
            raise ValueError("keys that mean two things: " + "; ".join(found))
        self._announce_after_paint = False
        self._mailbox = Mailbox(self._knock)
        self._unsubscribe: Callable[[], None] | None = None
        self._stage = Stage(title, clock(), ASCII if ascii_only else UNICODE)
        self._flash = Span("")
        self._flash_until = 0.0
        self._folded = False
        self._interrupted_at = float("-inf")
        self._history: dict[str, list[str]] = {COMMAND: [], FILTER: []}
        self._overview = OverviewScreen()
        self._pools = PoolsScreen()
        self._why = WhyScreen()
        self._help = HelpScreen()

    # -- life ---------------------------------------------------------------------------------

    def get_default_screen(self) -> OverviewScreen:
        """The overview lies below every other view."""
        return self._overview

    def on_mount(self) -> None:
        """Listen, and show what there is."""
        if self._keymap_overrides:
            self.set_keymap(self._keymap_overrides)
        for screen in (self._pools, self._why, self._help):
            self.install_screen(screen, screen.VIEW)
        self.app_resume_signal.subscribe(self, lambda _: self.action_redraw())
        self._unsubscribe = self._feed.subscribe(self._mailbox.put)
        latest = self._feed.latest()
        if latest is not None:
            self._stage.accept(latest)
        self._draw()
        self.set_interval(_TICK_S, self._tick)
        self._announce_after_paint = True

    @property
    def _keymap_overrides(self) -> dict[str, str]:
        ours = {action.name: action.keys for action in ACTIONS}
        return {
            action.name: ",".join(action.keys)
            for action in self._actions
            if action.keys != ours[action.name]
        }

    def on_unmount(self) -> None:
        """Listen no more."""
        if self._unsubscribe is not None:
            self._unsubscribe()

    def _announce(self) -> None:
        if self._on_ready is not None:
            self._on_ready()

    def _knock(self) -> None:
        """On the publisher's thread: only a message crosses over."""
        # the loop may have ended between two snapshots; the publisher goes on
        with contextlib.suppress(RuntimeError):
            self.post_message(SnapshotReady())

    # -- data ---------------------------------------------------------------------------------

    def on_snapshot_ready(self, message: SnapshotReady) -> None:
        """Take the newest snapshot and draw it, or count it while the view is frozen."""
        del message
        snapshot = self._mailbox.take()
        if snapshot is not None and self._stage.accept(snapshot) and self._views():
            self._draw()

    def _tick(self) -> None:
        """Once a second ages grow, and what has grown old says so."""
        if not self._views():  # the screens go before the last tick
            return
        before = self._scene
        after, view = self._refresh(), self.view
        if after.snapshot is None or before.stale != after.stale or isinstance(view, WhyScreen):
            view.draw(after, self._chrome())
        else:
            view.draw_chrome(after, self._chrome())

    @property
    def _scene(self) -> Scene:
        return self._stage.scene

    def _refresh(self) -> Scene:
        return self._stage.refresh(self._clock(), self._engine_status())

    def _draw(self) -> None:
        self.view.draw(self._refresh(), self._chrome())

    def _chrome(self) -> Chrome:
        if time.monotonic() > self._flash_until:
            self._flash = Span("")
        crumbs = [screen.VIEW for screen in self._views()]
        return Chrome(self._actions, tuple(crumbs), self._flash, self._folded)

    def flash(self, text: str, tone: Tone = Tone.WARN) -> None:
        """A word in the last line, for a few seconds."""
        self._flash = Span(text, tone)
        self._flash_until = time.monotonic() + _FLASH_S
        self.view.draw_chrome(self._scene, self._chrome())

    # -- where we are -------------------------------------------------------------------------

    def _views(self) -> list[ViewScreen]:
        return [screen for screen in self.screen_stack if isinstance(screen, ViewScreen)]

    @property
    def view(self) -> ViewScreen:
        """The view on top, whatever lies over it."""
        return self._views()[-1]

    async def _go(self, screen: ViewScreen) -> None:
        """Show that view: back to it where it lies below, else on top of this one."""
        if screen in self._views():
            while self.view is not screen:
                await self.pop_screen()
        else:
            await self.push_screen(screen.VIEW)
        self._draw()

    async def _explain(self, pool: str) -> None:
        self._why.pool = pool
        await self._go(self._why)

    async def on_live_table_opened(self, message: LiveTable.Opened) -> None:
        """Look into a row: from the overview to the pool in its table, from there to its why."""
        match message.row:
            case PoolRow(key=pool) if message.table is self._overview.pools:
                await self._go(self._pools)
                self._pools.pools.select(pool)
                return
            case PoolRow(key=pool) | ScaleEvent(pool=pool) | Finding(subject=pool):
                pass
            case _:
                self.flash("nothing to open here")
                return
        if self._scene.row(pool) is None:
            self.flash(f"{pool} is no pool of this snapshot")
            return
        await self._explain(pool)

    def on_live_table_moved(self) -> None:
        """The crumbs name the row under the cursor."""
        self.view.draw_chrome(self._scene, self._chrome())

    def on_live_table_refused(self, message: LiveTable.Refused) -> None:
        """Say why a key did nothing."""
        self.flash(message.text)

    # -- actions ------------------------------------------------------------------------------

    def action_command(self) -> None:
        """Open the command line."""
        pools = [row.key for row in self._scene.rows]
        self.view.open_commands(
            lambda typed: commands.complete(typed, pools), self._history[COMMAND]
        )

    def action_filter(self) -> None:
        """Open the filter of the table that has the focus."""
        if not self.view.open_filter(self._history[FILTER]):
            self.flash("nothing to filter here")

    async def action_help(self) -> None:
        """Show the keys that are live in this view."""
        view = self.view
        if view is not self._help:
            self._help.about = view.VIEW
            scopes = (Scope.GLOBAL, Scope.TABLE, view.SCOPE)
            self._help.actions = live(self._actions, scopes)
        await self._go(self._help)

    async def action_why(self) -> None:
        """Explain the pool under the cursor."""
        pool = self.view.subject
        if not pool:
            self.flash("no pool under the cursor")
            return
        await self._explain(pool)

    def action_freeze(self) -> None:
        """Hold the view still, or let it go on with what came meanwhile."""
        self._stage.toggle_freeze()
        self._draw()

    async def action_back(self) -> None:
        """Clear the filter, else go one view back, else leave."""
        table = self.view.filtered
        if table is not None and table.filter:
            table.set_filter("")
        elif len(self._views()) > 1:
            await self.pop_screen()
            self._draw()
        else:
            self.exit()

    def action_next_panel(self) -> None:
        """Give the keys to the next panel."""
        self.screen.focus_next()

    def action_previous_panel(self) -> None:
        """Give the keys to the panel before."""
        self.screen.focus_previous()

    def action_header(self) -> None:
        """Fold the header to one line, or unfold it."""
        self._folded = not self._folded
        self._draw()

    def action_redraw(self) -> None:
        """Write the whole screen anew."""
        if self._wire is not None:
            self._wire.reset()
        self.screen.refresh(layout=True)

    def action_interrupt(self) -> None:
        """Leave when asked twice within a second."""
        now = time.monotonic()
        if now - self._interrupted_at <= _TWICE_WITHIN_S:
            self.exit()
            return
        self._interrupted_at = now
        self.flash("ctrl-c again to quit")

    # -- the command line ---------------------------------------------------------------------

    async def on_view_screen_ordered(self, message: ViewScreen.Ordered) -> None:
        """Do what the command line says, or say what is wrong with it."""
        view = self.view
        pools = [row.key for row in self._scene.rows]
        try:
            order = commands.parse(message.text, pools, view.subject or "")
        except commands.UnknownCommandError as error:
            view.prompt.note(str(error), Tone.WARN)
            return
        view.close_prompt()
        await self._obey(order)

    async def _obey(self, order: commands.Order) -> None:
        match order.name:
            case "quit":
                self.exit()
            case "help":
                await self.action_help()
            case "why":
                await self._explain(order.pool)
            case "pools":
                await self._go(self._pools)
            case _:
                await self._go(self._overview)
        table = self.view.filtered
        if order.filter is not None and table is not None:
            table.set_filter(order.filter)

    def action_command_palette(self) -> None:
        """Open the palette, with a cursor that does not blink."""
        from textual.command import CommandPalette

        # Textual asks for an App[object], and App is invariant
        if not CommandPalette.is_open(self):  # type: ignore[arg-type]
            palette = CommandPalette(id="--command-palette")
            self.push_screen(palette)
            self.call_later(_stop_blinking, palette)

    # -- palette and wire ---------------------------------------------------------------------

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """What the palette lists: the actions of this view, each with its key."""
        del screen
        scopes = (Scope.GLOBAL, self.view.SCOPE)
        for action in live(self._actions, scopes):
            if action.palette:
                yield SystemCommand(
                    action.title, action.help, lambda name=action.handler: self._run_named(name)
                )

    def _run_named(self, name: str) -> None:
        self.call_later(self.run_action, name)

    def on_resize(self, event: Resize) -> None:
        """The terminal has moved its text about: nothing is known of what it shows."""
        del event
        if self._wire is not None:
            self._wire.reset()

    def _fatal_error(self) -> None:
        """Textual would print every local variable; what broke is said without them."""
        self.bell()
        self._exit_renderables.append(Traceback(show_locals=False, width=None, suppress=[rich]))
        self._close_messages_no_wait()

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        """Textual's one way to the terminal; the wire sends what differs."""
        if self._wire is not None and isinstance(renderable, LayoutUpdate | ChopsUpdate):
            # an update renders itself, which Rich's type does not know
            super()._display(screen, self._wire.wrap(renderable))  # type: ignore[arg-type]
        else:
            super()._display(screen, renderable)
        # not call_after_refresh: that is lost when a key changes the view before the first paint
        if self._announce_after_paint and renderable is not None:
            self._announce_after_paint = False
            self.call_later(self._announce)


def _stop_blinking(screen: Screen[object]) -> None:
    for each in screen.query(Input):
        each.cursor_blink = False


def run_dashboard(
    feed: Feed,
    *,
    clock: Callable[[], float],
    on_ready: Callable[[], None] | None = None,
    title: str = "agentdash",
    engine_status: Callable[[], str | None] | None = None,
    wire_diff: bool = True,
    ascii_only: bool = False,
    keymap: Mapping[str, Sequence[str]] | None = None,
    for_s: float | None = None,
) -> int:
    """Run the dashboard until the person leaves, SIGTERM or SIGINT comes, or `for_s` are over;
    returns the exit code, 1 if it broke.
    """

    def ready() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, dashboard.exit)
        if for_s is not None:
            loop.call_later(for_s, dashboard.exit)
        if on_ready is not None:
            on_ready()

    dashboard = Dashboard(
        feed,
        clock=clock,
        on_ready=ready,
        title=title,
        engine_status=engine_status,
        wire_diff=wire_diff,
        ascii_only=ascii_only,
        keymap=keymap,
    )
    dashboard.run()
    return dashboard.return_code or 0


def _running() -> str | None:
    return None
