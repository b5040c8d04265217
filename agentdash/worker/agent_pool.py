"""Prepared agents in one process: made in the background, used again, retired, checked before use.

async with AgentPool(make_agent, least=2, most=8, retire_after_uses=50) as agents:
    async with agents.take() as agent:
        …
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from controller.model.servers import Backoff

log = logging.getLogger(__name__)
AgentT = TypeVar("AgentT")

CHECK_S: Final = 5.0
"""A health check that takes longer has failed."""
FIRST_RETRY_S: Final = 0.2
LONGEST_RETRY_S: Final = 30.0


class _Prepared(Generic[AgentT]):
    """One agent, how often it was used, and since when it is idle."""

    def __init__(self, agent: AgentT, now: float) -> None:
        self.agent, self.uses, self.idle_since = agent, 0, now


class AgentPool(Generic[AgentT]):
    """Between `least` and `most` agents, made by `factory`.

    - An agent is retired after `retire_after_uses` uses, or when it was idle for
      `retire_after_idle_s` seconds and more than `least` are there. Its successor is made while it
      is used for the last time.
    - `is_healthy` is asked before each use; an agent that is not healthy is retired and another one
      is taken. `close` ends a retired agent.
    - While a factory fails it is tried again, after longer and longer pauses.
    """

    def __init__(
        self,
        factory: Callable[[], Awaitable[AgentT]],
        *,
        least: int = 1,
        most: int = 1,
        retire_after_uses: int | None = None,
        retire_after_idle_s: float | None = None,
        is_healthy: Callable[[AgentT], Awaitable[bool]] | None = None,
        close: Callable[[AgentT], Awaitable[None]] | None = None,
    ) -> None:
        if not 0 <= least <= most or most < 1:
            raise ValueError(f"must be 0 <= least <= most and 1 <= most: {least}, {most}")
        self._factory, self._least, self._most = factory, least, most
        self._uses, self._idle_s = retire_after_uses, retire_after_idle_s
        self._is_healthy, self._close = is_healthy, close
        self._idle: deque[_Prepared[AgentT]] = deque()
        self._waiting: deque[asyncio.Future[_Prepared[AgentT]]] = deque()
        self._there = self._making = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._backoff = Backoff(FIRST_RETRY_S, LONGEST_RETRY_S)
        self._closing = False

    @property
    def there(self) -> int:
        """How many agents there are, idle or in use; those used for the last time do not count."""
        return self._there

    async def __aenter__(self) -> Self:
        """Begin to make the first agents; it does not wait for them."""
        self._fill()
        if self._idle_s is not None:
            self._start(self._retire_idle(self._idle_s), "retire idle agents")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End everything: agents that are made, and those that are idle."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for waiting in self._waiting:
            waiting.cancel()
        while self._idle:
            await self._end(self._idle.pop())

    @asynccontextmanager
    async def take(self) -> AsyncIterator[AgentT]:
        """An agent for one use. It waits only where all are in use, or none is ready yet."""
        prepared = await self._healthy()
        prepared.uses += 1
        is_last = self._uses is not None and prepared.uses >= self._uses
        if is_last:
            # its successor is made meanwhile, so the next use need not wait for it
            self._there -= 1
            self._fill(successors=1)
        try:
            yield prepared.agent
        finally:
            if is_last or self._closing:
                await self._end(prepared)
            else:
                self._give(prepared)

    async def _healthy(self) -> _Prepared[AgentT]:
        while True:
            prepared = await self._next()
            if await self._passes(prepared.agent):
                return prepared
            self._there -= 1
            self._fill()
            await self._end(prepared)

    async def _next(self) -> _Prepared[AgentT]:
        """The agent that was used last, so that the others may become idle; else the next that is
        ready or free.
        """
        if self._idle:
            return self._idle.pop()
        waiting: asyncio.Future[_Prepared[AgentT]] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self._fill()
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():
                self._give(waiting.result())
            raise

    async def _passes(self, agent: AgentT) -> bool:
        if self._is_healthy is None:
            return True
        try:
            async with asyncio.timeout(CHECK_S):
                return await self._is_healthy(agent)
        except Exception as error:  # noqa: BLE001 - whatever the check raises, it has not passed
            log.warning("an agent's health check failed", extra={"error": str(error)})
            return False

    def _give(self, prepared: _Prepared[AgentT]) -> None:
        """To the first that waits, else among the idle ones."""
        prepared.idle_since = asyncio.get_running_loop().time()
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(prepared)
                return
        self._idle.append(prepared)

    def _fill(self, successors: int = 0) -> None:
        """Make as many agents as are missing: for `least`, for those that wait, and in place of
        those that are used for the last time.
        """
        waiting = sum(not each.done() for each in self._waiting)
        missing = max(self._least - self._there, waiting + successors)
        for _ in range(min(missing, self._most - self._there) - self._making):
            self._making += 1
            self._start(self._make(), "make an agent")

    async def _make(self) -> None:
        """Make one agent, however often it fails."""
        while True:
            try:
                agent = await self._factory()
            except Exception as error:  # noqa: BLE001 - the factory is the user's
                pause_s = self._backoff.next_s()
                log.warning(
                    "an agent could not be made; trying again",
                    extra={"error": str(error), "pause_s": pause_s},
                )
                await asyncio.sleep(pause_s)
                continue
            self._backoff.reset()
            self._making -= 1
            self._there += 1
            self._give(_Prepared(agent, asyncio.get_running_loop().time()))
            return

    async def _retire_idle(self, idle_s: float) -> None:
        """Retire agents that were idle for long, the oldest first."""
        loop = asyncio.get_running_loop()
        while True:
            oldest = self._idle[0].idle_since if self._idle else loop.time()
            await asyncio.sleep(max(oldest + idle_s - loop.time(), idle_s / 10))
            while (
                self._there > self._least
                and self._idle
                and loop.time() - self._idle[0].idle_since >= idle_s
            ):
                prepared = self._idle.popleft()
                self._there -= 1
                await self._end(prepared)

    async def _end(self, prepared: _Prepared[AgentT]) -> None:
        if self._close is None:
            return
        try:
            async with asyncio.timeout(CHECK_S):
                await self._close(prepared.agent)
        except Exception as error:  # noqa: BLE001 - it is not used any more
            log.warning("an agent could not be closed", extra={"error": str(error)})

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
