"""A worker: gives the tasks of a pool to an agent until it is told to stop, and then ends,
whatever its agents do.

Kubernetes kills a pod some time after SIGTERM, by default 30 s. Before that the process ends by
itself, so that its logs are written and nothing that its agents have started lives on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, Self

from agentdash.worker.session import Agent, OnEnd, Prepare
from agentdash.worker.settings import NatsLogin, WorkerSettings, read_settings

if TYPE_CHECKING:
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
    for process in descendants():
        with suppress(OSError):
            os.kill(process, signal.SIGKILL)
    # in a thread: one that holds the lock of a log for ever may be what has not ended
    flushing = threading.Thread(target=logging.shutdown, daemon=True)
    flushing.start()
    flushing.join(FLUSH_S)
    os._exit(FORCED)


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

    The agent gets a task and its session, and returns the result: any JSON value. While it works,
    JetStream is told so. Every task is done at least once, and has one visible result.
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
        loop.add_signal_handler(signal.SIGINT, stopping.set)
        longest_s = self._settings.grace_s + END_S
        with ended_after_sigterm(longest_s, lambda: loop.call_soon_threadsafe(stopping.set)):
            link = NatsLink(self._login, name=f"agentdash worker {self._settings.worker}")
            opening = asyncio.create_task(link.open())
            try:
                await self.work(link, stopping)
            finally:
                opening.cancel()
                await asyncio.gather(opening, return_exceptions=True)
                await link.close()

    async def work(self, link: NatsLink, stopping: asyncio.Event) -> None:
        """Work over a connection that others may share, until `stopping` is set. Cancelled, it
        hands back what it has. Raises WorkerSettingsError.
        """
        from agentdash.worker.lifecycle import WorkerLife

        life = WorkerLife(
            self._agent, self._settings, link, prepare=self._prepare, on_end=self._on_end
        )
        await life.run(stopping)
