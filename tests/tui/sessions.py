"""A dashboard that a test drives by keys, with its feed and its clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from textual.pilot import Pilot

from agentdash.operate import Operating
from agentdash.tui.widgets.lines_widget import LinesWidget
from controller.model.snapshot import Snapshot
from controller.ports import Past
from tui import scenarios
from tui.dashboards import dashboard
from tui.plain import press, screen_lines


class Session:
    """A running dashboard with its feed and its clock."""

    def __init__(
        self,
        snapshot: Snapshot | None,
        operator: Operating | None = None,
        journal: Past | None = None,
    ) -> None:
        self.feed = scenarios.FakeFeed(snapshot)
        self.clock = scenarios.FixedClock()
        self.engine_error: str | None = None
        self.ready_calls = 0
        self.app = dashboard(
            self.feed,
            self.clock,
            on_ready=self._on_ready,
            engine_error=lambda: self.engine_error,
            operator=operator,
            journal=journal,
        )
        self.pilot: Pilot[None]

    def _on_ready(self) -> None:
        self.ready_calls += 1

    async def keys(self, *keys: str) -> None:
        await press(self.pilot, *keys)
        await self.settled()

    async def type(self, text: str) -> None:
        names = {"/": "slash", ":": "colon", " ": "space"}
        await self.keys(*(names.get(letter, letter) for letter in text))

    async def publish(self, snapshot: Snapshot) -> None:
        self.feed.publish(snapshot)
        await self.settled()

    async def click(self, selector: str, words: str) -> None:
        """Click where a line shows `words`."""
        at = self.text(selector).index(words)
        await self.pilot.click(selector, offset=(at + 1, 0))
        await self.settled()

    async def settled(self) -> None:
        """Wait until the top view is laid out: a pause gives up after a second of work."""
        await self.pilot.pause()
        while not any(line.size for line in self.app.view.query("#header, #too-small")):
            await self.pilot.pause()

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait until it is so; the test's time is the limit."""
        while not done():
            await self.pilot.pause(0.05)

    async def command(self, text: str) -> None:
        await self.type(f":{text}")
        await self.keys("enter")

    @property
    def screen(self) -> str:
        """All of it."""
        return "\n".join(screen_lines(self.app))

    @property
    def table(self) -> tuple[str, ...]:
        """The keys of the rows that the view shows."""
        table = self.app.view.filtered
        assert table is not None
        return table.visible_keys

    def text(self, selector: str) -> str:
        widget = self.app.view.query_one(selector, LinesWidget)
        return "\n".join(
            "".join(segment.text for segment in widget.render_line(y))
            for y in range(widget.size.height)
        )

    @property
    def stack(self) -> list[str]:
        return [view.VIEW for view in self.app.views.stack]

    @property
    def pools(self) -> list[str]:
        return list(self.app.views.overview.pools.visible_keys)


@asynccontextmanager
async def session(
    snapshot: Snapshot | None,
    size: tuple[int, int] = (80, 24),
    operator: Operating | None = None,
    journal: Past | None = None,
) -> AsyncIterator[Session]:
    running = Session(snapshot, operator, journal)
    async with running.app.run_test(size=size) as pilot:
        running.pilot = pilot
        await pilot.pause()
        yield running
