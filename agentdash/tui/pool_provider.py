"""The pools in the command palette: typing finds them, and enter explains one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from textual.command import Hit, Hits, Provider
from textual.message import Message

from controller.model.text import clean

if TYPE_CHECKING:
    from agentdash.tui.app import Dashboard


class PoolChosen(Message):
    """A person has chosen a pool in the palette, which is closed by now."""

    def __init__(self, pool: str) -> None:
        super().__init__()
        self.pool = pool


class PoolProvider(Provider):
    """Finds pools by any letters of their keys."""

    async def search(self, query: str) -> Hits:
        """The pools that match."""
        matcher = self.matcher(query)
        app: Dashboard = self.app  # type: ignore[assignment]
        for key in app.pool_keys:
            name = clean(key)
            score = matcher.match(name)
            if score > 0:
                explain = partial(app.post_message, PoolChosen(key))
                yield Hit(score, matcher.highlight(name), explain, text=name, help=f":why {name}")
