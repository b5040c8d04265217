"""Who is at work in the demo's pods, and what happened to those that had to stop at work."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from agentdash.worker import Session


class DemoPod(NamedTuple):
    """A pod with a worker; `write` adds a line to its log."""

    name: str
    node: str
    write: Callable[[str], None]


class DemoCrew:
    """The workers that have a task at hand, and counts of those that were told to stop then.

    `reclaimed` stopped because their node was taken away, `ordered` of them while it still ran,
    which only the controller's orders tell them; `killed` for any other reason, that is because the
    pool was scaled down. `resumed` are tasks that went on from a checkpoint.
    """

    def __init__(self) -> None:
        self.reclaimed = self.ordered = self.killed = self.resumed = 0
        self._taken: set[str] = set()
        self._gone: set[str] = set()
        self._nodes: Counter[str] = Counter()
        self._begun = asyncio.Event()
        self._stopped = asyncio.Event()
        self._has_ended = False

    @contextmanager
    def at_work(self, pod: DemoPod, session: Session) -> Iterator[None]:
        """A worker is at work while the block runs."""
        self._nodes[pod.node] += 1
        self._begun.set()
        try:
            yield
        finally:
            self._nodes[pod.node] -= 1
            self._stopped.set()
            if session.stopping.is_set() and not self._has_ended:
                if pod.name in self._taken:
                    self.reclaimed += 1
                    self.ordered += pod.name not in self._gone
                else:
                    self.killed += 1

    async def busiest_node(self) -> str:
        """The node with most workers at work, once there is one."""
        while not +self._nodes:
            self._begun.clear()
            await self._begun.wait()
        return max(sorted(self._nodes), key=self._nodes.__getitem__)

    async def left(self, node: str) -> None:
        """Wait until no worker is at work on this node."""
        while self._nodes[node] > 0:
            self._stopped.clear()
            await self._stopped.wait()

    def take_away(self, pods: Iterable[str]) -> None:
        """These pods' node will end: their workers stop for no other reason."""
        self._taken.update(pods)

    def gone(self, pods: Iterable[str]) -> None:
        """The node of these pods ends now: Kubernetes tells them to stop."""
        self._taken.update(pods)
        self._gone.update(pods)

    def end(self) -> None:
        """The demo ends: who stops from now on was not killed."""
        self._has_ended = True
