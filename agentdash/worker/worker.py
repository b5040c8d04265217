"""A worker: gives the tasks of a pool to an agent until it is told to stop, and then ends,
whatever its agents do. And prepared agents for it: made in the background, used again, retired.

Kubernetes kills a pod some time after SIGTERM, by default 30 s. Before that the process ends by
itself, so that its logs are written and nothing that its agents have started lives on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, Self, TypeVar

from agentdash.worker.plain import Agent
from agentdash.worker.session import OnEnd, Prepare
from agentdash.worker.settings import RENEWED, NatsLogin, Renew, WorkerSettings, read_settings
from controller.model.ids import PoolKey
from controller.model.servers import Backoff

if TYPE_CHECKING:
    from agentdash.worker.lifecycle import WorkerLife
    from agentdash.worker.stores import NatsLink

log = logging.getLogger(__name__)

END_S: Final = 4.5
"""The process lives at most so long after the grace of its agents."""
LEFT_S: Final = 0.5
"""How long what is still in the event loop may take to end, when the worker has ended."""
FLUSH_S: Final = 0.2
FORCED: Final = 1
"""The exit code of a process whose agents did not end."""


@contextmanager
def ended_after_sigterm(seconds: float, on_sigterm: Callable[[], object]) -> Iterator[None]:
    """Call `on_sigterm` at each SIGTERM while the block runs, and end the process so long after it,
    if it still lives: also where an agent holds the event loop, or a thread of it does not end.
    """
    told, tell = os.pipe()  # a signal may interrupt whoever holds a lock of `threading`

    def watch() -> None:
        with os.fdopen(told, "rb", buffering=0) as pipe:
            if pipe.read(1):
                time.sleep(seconds)
                end_process(f"something has not ended {seconds:g} s after SIGTERM")

    def terminate(*_: object) -> None:
        os.write(tell, b"t")
        on_sigterm()

    threading.Thread(target=watch, name="end of the process", daemon=True).start()
    before = signal.signal(signal.SIGTERM, terminate)
    # a process that has run itself anew was not to lose one meanwhile
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
        os.close(tell)


def run_to_its_end(runner: asyncio.Runner, work: asyncio.Task[None]) -> None:
    """Run the loop until `work` is done. A SystemExit of another asyncio task leaves the loop on
    its way, and is raised again where that task is awaited: by an agent.
    """
    while not work.done():
        with suppress(SystemExit):
            runner.get_loop().run_until_complete(work)
    work.result()


def close(runner: asyncio.Runner) -> None:
    """Close the loop; the process ends if something in it does not end."""
    loop = runner.get_loop()
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        _, deaf = loop.run_until_complete(asyncio.wait(left, timeout=LEFT_S))
        if deaf:
            end_process(f"agents have not ended: {len(deaf)} tasks are left")
    runner.close()


def end_process(why: str) -> NoReturn:
    """Kill the processes that this one has started, write the logs, and end it."""
    log.error("the process is ended by force: %s", why)
    _kill_descendants()
    # in a thread: one that holds the lock of a log for ever may be what has not ended
    flushing = threading.Thread(target=logging.shutdown, daemon=True)
    flushing.start()
    flushing.join(FLUSH_S)
    os._exit(FORCED)


def run_anew(environment: Mapping[str, str], home: Path) -> NoReturn:
    """Run this process's program again in its place: nothing of what was in memory is left, and no
    process below it. A SIGTERM that comes meanwhile waits until it is heard again.
    """
    _kill_descendants()
    os.chdir(home)
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606


def _kill_descendants() -> None:
    for process in descendants():
        with suppress(OSError):
            os.kill(process, signal.SIGKILL)


def descendants() -> list[int]:
    """The processes below this one; none where the system has no /proc."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text("utf-8", "replace").rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(fields[1])
    found = [os.getpid()]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found[1:]


class Worker:
    """Pulls tasks and gives them to an agent: `slots` at once, until it is told to stop.

    The agent gets a task and its session, and returns the result: any JSON value. A plain function
    works in a thread. While it works, JetStream is told so. Every task is done at least once, and
    has one visible result.
    """

    def __init__(
        self,
        agent: Agent,
        settings: WorkerSettings,
        login: NatsLogin,
        *,
        prepare: Prepare | None = None,
        on_end: OnEnd | None = None,
    ) -> None:
        """`prepare` ends before the first pull; `on_end` is called with each task that this worker
        has ended.
        """
        self._agent, self._settings, self._login = agent, settings, login
        self._prepare, self._on_end = prepare, on_end

    @classmethod
    def from_env(
        cls,
        agent: Agent,
        environment: Mapping[str, str] | None = None,
        *,
        prepare: Prepare | None = None,
    ) -> Self:
        """A worker as the environment says, os.environ by default. Raises WorkerSettingsError."""
        login, settings = read_settings(environment)
        return cls(agent, settings, login, prepare=prepare)

    def run(self) -> None:
        """Work until SIGTERM or SIGINT. Raises WorkerSettingsError.

        The process ends, with all processes below it and exit code 1, if agents are left that do
        not end when they are cut; after SIGTERM 4.5 s after the grace, whatever they do.
        """
        runner = asyncio.Runner()
        try:
            work = runner.get_loop().create_task(self._run_until_signal())
            run_to_its_end(runner, work)
        finally:
            close(runner)

    async def _run_until_signal(self) -> None:
        from agentdash.worker.stores import NatsLink

        stopping, loop = asyncio.Event(), asyncio.get_running_loop()
        environment, home, told, done = dict(os.environ), Path.cwd(), list[int](), list[PoolKey]()

        def stop() -> None:
            told.append(1)
            loop.call_soon_threadsafe(stopping.set)

        def renew(after: PoolKey) -> None:
            done.append(after)
            stopping.set()

        loop.add_signal_handler(signal.SIGINT, stop)
        longest_s = self._settings.grace_s + END_S
        with ended_after_sigterm(longest_s, stop):
            link = NatsLink(self._login, name=f"agentdash worker {self._settings.worker}")
            opening = asyncio.create_task(link.open())
            try:
                await self._life(link, login=self._login, renew=renew).run(stopping)
            finally:
                opening.cancel()
                await asyncio.gather(opening, return_exceptions=True)
                await link.close()
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            if done and not told:
                run_anew(environment | {RENEWED: f"{time.time():.3f} {done[0]}"}, home)

    async def work(self, link: NatsLink, stopping: asyncio.Event) -> None:
        """Work on a connection and an event loop that others may share, until `stopping` is set.
        Cancelled, it hands back what it has. Raises WorkerSettingsError.
        """
        await self._life(link).run(stopping)

    def _life(
        self,
        link: NatsLink,
        login: NatsLogin | None = None,
        renew: Callable[[PoolKey], None] | None = None,
    ) -> WorkerLife:
        from agentdash.worker.lifecycle import WorkerLife

        return WorkerLife(
            self._agent,
            self._settings,
            link,
            login=login,
            prepare=self._prepare,
            on_end=self._on_end,
            renew=renew if self._settings.renew is Renew.PROCESS else None,
        )


AgentT = TypeVar("AgentT")
CHECK_S: Final = 5.0
"""A health check that takes longer has failed."""
_MAKE_FIRST_S: Final = 0.2
_MAKE_MOST_S: Final = 30.0


class _Prepared(Generic[AgentT]):
    """One agent, how often it was used, and since when it is idle."""

    def __init__(self, agent: AgentT) -> None:
        self.agent, self.uses, self.idle_since = agent, 0, 0.0


class AgentPool(Generic[AgentT]):
    """Between `least` and `most` prepared agents in one process, made by `factory`.

        async with AgentPool(make_agent, least=2, most=8, retire_after_uses=50) as agents:
            async with agents.take() as agent: ...

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
        self._ready = asyncio.Semaphore(0)  # as many as are idle; first come, first served
        self._there = self._making = self._waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._backoff = Backoff(_MAKE_FIRST_S, _MAKE_MOST_S)
        self._closing = False

    @property
    def there(self) -> int:
        """How many agents there are, idle or in use; those used for the last time do not count."""
        return self._there

    async def __aenter__(self) -> Self:
        """Begin to make the first agents; it does not wait for them."""
        self._fill()
        if self._idle_s is not None:
            self._start(self._retire_idle(self._idle_s))
        return self

    async def __aexit__(self, *_: object) -> None:
        """End everything: agents that are made, and those that are idle; uses that wait for one are
        cancelled.
        """
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _waiting in range(self._waiting):
            self._ready.release()
        while self._idle:
            await self._end(self._idle.pop())

    @asynccontextmanager
    async def take(self) -> AsyncIterator[AgentT]:
        """An agent for one use. It waits only where all are in use, or none is ready yet."""
        prepared = await self._next()
        while self._is_healthy is not None and not await self._asked(
            self._is_healthy, prepared, "an agent's health check failed"
        ):
            self._there -= 1
            self._fill()
            await self._end(prepared)
            prepared = await self._next()
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

    async def _next(self) -> _Prepared[AgentT]:
        """The agent that was used last, so that the others may become idle; else the next that is
        ready or free.
        """
        self._waiting += 1
        try:
            self._fill()
            await self._ready.acquire()
        finally:
            self._waiting -= 1
        if self._closing:
            raise asyncio.CancelledError("the pool of agents has ended")
        return self._idle.pop()

    async def _asked(
        self, ask: Callable[[AgentT], Awaitable[object]], prepared: _Prepared[AgentT], problem: str
    ) -> object:
        """The answer; None if it is an error, or does not come in time."""
        try:
            async with asyncio.timeout(CHECK_S):
                return await ask(prepared.agent)
        except Exception as error:  # noqa: BLE001 - the check is the user's
            log.warning(problem, extra={"error": str(error)})
            return None

    def _give(self, prepared: _Prepared[AgentT]) -> None:
        prepared.idle_since = asyncio.get_running_loop().time()
        self._idle.append(prepared)
        self._ready.release()

    def _fill(self, successors: int = 0) -> None:
        """Make as many agents as are missing: for `least`, for those that wait, and in place of
        those that are used for the last time.
        """
        waiting = max(0, self._waiting - len(self._idle))
        missing = max(self._least - self._there, waiting + successors)
        for _ in range(min(missing, self._most - self._there) - self._making):
            self._making += 1
            self._start(self._make())

    async def _make(self) -> None:
        """Make one agent, however often it fails."""
        while True:
            try:
                agent = await self._factory()
            except Exception as error:  # noqa: BLE001 - the factory is the user's
                pause_s = self._backoff.next_s()
                extra = {"error": str(error), "pause_s": pause_s}
                log.warning("an agent could not be made; trying again", extra=extra)
                await asyncio.sleep(pause_s)
                continue
            self._backoff.reset()
            self._making -= 1
            self._there += 1
            self._give(_Prepared(agent))
            return

    async def _retire_idle(self, idle_s: float) -> None:
        """Retire agents that were idle for long, the oldest first."""
        loop = asyncio.get_running_loop()
        while True:
            oldest = self._idle[0].idle_since if self._idle else loop.time()
            await asyncio.sleep(max(oldest + idle_s - loop.time(), idle_s / 10))
            while (
                self._there > self._least
                and not self._ready.locked()
                and loop.time() - self._idle[0].idle_since >= idle_s
            ):
                await self._ready.acquire()
                self._there -= 1
                await self._end(self._idle.popleft())

    async def _end(self, prepared: _Prepared[AgentT]) -> None:
        if self._close is not None:
            await self._asked(self._close, prepared, "an agent could not be closed")

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
