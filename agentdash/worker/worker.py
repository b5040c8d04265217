"""A worker: gives the tasks of a pool to an agent until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

from agentdash.worker.agent import Agent, OnEnd, Prepare
from agentdash.worker.ending import END_S, close, ended_after_sigterm, run_to_its_end
from agentdash.worker.settings import NatsLogin, WorkerSettings, read_settings

if TYPE_CHECKING:  # the client of NATS takes most of the time that an import takes
    from agentdash.worker.link import NatsLink


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
        self._agent = agent
        self._settings = settings
        self._login = login
        self._prepare = prepare
        self._on_end = on_end

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
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, stopping.set)
        with ended_after_sigterm(
            self._settings.grace_s + END_S, lambda: loop.call_soon_threadsafe(stopping.set)
        ):
            await self._connect_and_work(stopping)

    async def _connect_and_work(self, stopping: asyncio.Event) -> None:
        from agentdash.worker.link import NatsLink

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
        from agentdash.worker.life import WorkerLife

        life = WorkerLife(
            self._agent, self._settings, link, prepare=self._prepare, on_end=self._on_end
        )
        await life.run(stopping)
