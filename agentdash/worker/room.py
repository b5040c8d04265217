"""The room for tasks in a worker's process: many at once, or one alone; and slots that are lost.

A task that kills its worker takes those beside it along, and each of them looks guilty. So the last
try of a task whose workers died is made alone: if that worker dies too, it was this task.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

log = logging.getLogger(__name__)


class TaskRoom:
    """Who is at work in one worker."""

    def __init__(self) -> None:
        self._inside = 0
        self._waiter: asyncio.Future[bool] | None = None
        self.is_kept = False
        """Whether one is at work alone, or waits for that: then nobody else comes in."""

    @asynccontextmanager
    async def seat(self, *, alone: bool) -> AsyncIterator[bool]:
        """A place to work in while the block runs; False if there is none, and the task is another
        worker's. Who wants to be alone waits until those at work have ended.
        """
        if self.is_kept:
            yield False
            return
        self.is_kept = alone
        entered = False
        try:
            if entered := not alone or await self._emptied():
                self._inside += 1
            yield entered
        finally:
            self._inside -= 1 if entered else 0
            if alone:
                self.is_kept = False
            elif not self._inside:
                self._tell(emptied=True)

    def turn_away(self) -> None:
        """Let nobody wait: the worker must end."""
        self._tell(emptied=False)

    async def _emptied(self) -> bool:
        if not self._inside:
            return True
        self._waiter = asyncio.get_running_loop().create_future()
        return await self._waiter

    def _tell(self, *, emptied: bool) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(emptied)


class LostSlots:
    """Agents that were cut and do not end. Each holds its slot until it ends, or the process does;
    its task goes on without it.
    """

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self._agents: set[asyncio.Task[Any]] = set()
        self._changed = changed

    def __len__(self) -> int:
        return len(self._agents)

    def add(self, task: str, agent: asyncio.Task[Any]) -> None:
        """The agent that worked on `task` holds its slot from now on."""
        self._agents.add(agent)
        agent.add_done_callback(self._ended)
        words = "an agent was cut and does not end: its slot is lost until it does"
        log.error(words, extra={"task": task, "lost": len(self)})
        self._changed()

    def _ended(self, agent: asyncio.Task[Any]) -> None:
        self._agents.discard(agent)
        log.warning("an agent has ended at last: its slot is free", extra={"lost": len(self)})
        self._changed()
