"""Runs the dashboard in this process's terminal."""

from __future__ import annotations

import asyncio
import curses
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

from agentdash.tui.app import Dashboard
from controller.ports import Feed

# each gives the terminal back first; the last two come when it closes, and by ctrl-\ from elsewhere
_ENDED_BY: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def run_dashboard(
    feed: Feed, *, on_ready: Callable[[], None], for_s: float | None = None, **given: Any
) -> int:
    """Run the dashboard until a person quits, a signal ends it, or `for_s` seconds are over.

    The other arguments are those of `Dashboard`. Returns the exit code: 1 after an error.
    """

    def ready() -> None:
        loop = asyncio.get_running_loop()
        for number in _ENDED_BY:
            loop.add_signal_handler(number, dashboard.exit)
        if for_s is not None:
            loop.call_later(for_s, dashboard.exit)
        on_ready()

    dashboard = Dashboard(feed, on_ready=ready, erases_in_color=_erases_in_color(), **given)
    dashboard.run()
    return dashboard.return_code or 0


def _erases_in_color() -> bool:
    """Whether the terminal erases cells in the background colour, by the system's description of
    it; False without a description.
    """
    try:
        curses.setupterm(fd=sys.__stdout__.fileno() if sys.__stdout__ is not None else -1)
        # a number: 1 if so, 0 if not, -1 for a name that is none
        return curses.tigetflag("bce") > 0 and curses.tigetstr("ech") is not None
    except curses.error:
        return False
