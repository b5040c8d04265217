"""Kills workers, processes of their own, at any moment, while tasks are submitted."""

from __future__ import annotations

import random
import signal
from pathlib import Path
from typing import Self

from support.forked import Forked
from tests.integration.worker.conftest import worker_process

AGENT = '''\
import asyncio
import os
import random
import signal

from agentdash.worker import Session, Task


async def work(task: Task, session: Session) -> object:
    """Three steps with a checkpoint behind each; `ran` shows how often each was begun."""
    step = session.resumed or 0
    with open(os.environ["RAN"], "a", encoding="utf-8") as ran:
        ran.write(f"{task.id} {step} {os.getpid()}\\n")
    pause_s = task.payload["step_s"] if isinstance(task.payload, dict) else 0.03
    if task.goal == "poison":
        await asyncio.sleep(pause_s)
        os.kill(os.getpid(), signal.SIGKILL)
    while step < 3:
        await asyncio.sleep(random.uniform(pause_s / 2, pause_s))
        step += 1
        await session.checkpoint(step)
    return {"task": task.id, "by": os.getpid()}
'''


class Victims:
    """So many worker processes; one that is killed is replaced at once."""

    def __init__(
        self, home: Path, url: str, number: int, *, slots: int = 4, attempts: int = 1000
    ) -> None:
        self._home = home
        self._url = url
        self._number = number
        self._slots = slots
        self._attempts = attempts
        self._processes: list[Forked] = []
        self._started = 0
        self.ran = home / "ran"
        (home / "victim.py").write_text(AGENT, "utf-8")
        self.ran.touch()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def start(self) -> None:
        while len(self._processes) < self._number:
            self._started += 1
            process = await worker_process(
                self._home,
                self._url,
                "victim:work",
                AGENTDASH_QUEUES="TASKS/acme-research-high,TASKS/acme-research",
                AGENTDASH_SLOTS=str(self._slots),
                AGENTDASH_ATTEMPTS=str(self._attempts),
                AGENTDASH_WORKER=f"victim-{self._started}",
                RAN=str(self.ran),
            )
            self._processes.append(process)

    async def kill_one(self, rng: random.Random) -> None:
        """As a power cut does."""
        victim = self._processes.pop(rng.randrange(len(self._processes)))
        victim.kill()
        await victim.wait()
        await self.start()

    async def replace_dead(self) -> None:
        """Replace those that were killed from outside, and wait for the pool to be whole."""
        self._processes = [each for each in self._processes if each.returncode is None]
        await self.start()

    def begun(self, task: str) -> list[int]:
        """The processes that have begun this task, one for each try."""
        lines = map(str.split, self.ran.read_text("utf-8").splitlines())
        return [int(process) for name, _, process in lines if name == task]

    async def stop(self) -> list[int]:
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            await process.communicate()
        return [process.returncode or 0 for process in self._processes]
