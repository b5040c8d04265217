"""A task ends, and so does its worker, whatever its agent does."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from agentdash.worker import Session, Task, TaskStatus, delivery
from support.forked import Forked
from support.ports import free_port
from tests.integration.worker.conftest import Shop, shop_at, worker_process
from tests.integration.worker.test_orders import busy_with, state
from tests.support.nats_server import RealNats

GRACE_S = 0.3
POD_GRACE_S = GRACE_S + 5.0
"""As 30 s of Kubernetes are to AGENTDASH_GRACE, 25 s by default."""
AGENT = """\
import asyncio
import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress

from agentdash.worker import BlockingSession, Session, Task


async def deaf(task: Task, session: Session) -> None:
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(600)


async def holds_the_loop(task: Task, session: Session) -> None:
    while True:
        time.sleep(0.1)


async def has_a_thread(task: Task, session: Session) -> None:
    await asyncio.to_thread(time.sleep, 600)


async def exits_deep(task: Task, session: Session) -> object:
    async def inner() -> None:
        sys.exit(7)

    if task.payload == "good":
        for name in ("httpx", "httpx2"):
            logging.getLogger(name).info("HTTP Request: POST /v1/chat/completions")
            logging.getLogger(name).warning("a client was not closed")
        return "good"
    async with asyncio.TaskGroup() as group:
        group.create_task(inner())


def begin() -> None:
    child = subprocess.Popen(["sh", "-c", "sleep 600 & wait"])
    with open("child", "w") as file:
        file.write(str(child.pid))
    os.rename("child", "begun")


async def work(task: Task, session: Session) -> object:
    begin()
    return await globals()[os.environ["WAY"]](task, session)


def plain(task: Task, session: BlockingSession) -> None:
    begin()
    time.sleep(600)
"""


@asynccontextmanager
async def first_worker(
    home: Path, url: str, agent: str = "work", **environment: str
) -> AsyncIterator[Forked]:
    (home / "deaf.py").write_text(AGENT, "utf-8")
    given = {"AGENTDASH_WORKER": "first", "AGENTDASH_GRACE": f"{GRACE_S:g}s"}
    process = await worker_process(home, url, f"deaf:{agent}", **given, **environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def lives(process: int) -> bool:
    try:
        fields = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()
    except FileNotFoundError:
        return False
    return fields[0] not in "ZX"


def children(process: int) -> list[int]:
    return [
        int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("way", ["deaf", "holds_the_loop", "has_a_thread", "plain"])
async def test_a_worker_ends_within_its_grace_and_its_task_is_done_by_another(
    way: str, tmp_path: Path, server: RealNats
) -> None:
    async with (
        shop_at(server.url, ack_wait_s=1.0) as shop,
        first_worker(
            tmp_path, server.url, "plain" if way == "plain" else "work", WAY=way
        ) as process,
    ):
        await shop.submit("x", "one")
        while not (tmp_path / "begun").exists():
            await asyncio.sleep(0.01)
        child = int((tmp_path / "begun").read_text("utf-8"))
        while not (sleeps := children(child)):
            await asyncio.sleep(0.01)
        process.terminate()
        async with asyncio.timeout(POD_GRACE_S):
            _, logged = await process.communicate()
        assert process.returncode == 1
        assert b"the process is ended by force" in logged
        while any(map(lives, (child, *sleeps))):
            await asyncio.sleep(0.01)
        # one that still could has handed it back, and it was not tried
        async with shop.worker(worker="second", attempts=1 if way in ("deaf", "plain") else 5):
            result = await shop.result("one")
            await shop.all_acknowledged()
    assert (result.status, result.worker) == (TaskStatus.DONE, "second")


async def test_an_agent_that_exits_in_a_task_of_its_own_ends_no_worker(
    tmp_path: Path, server: RealNats
) -> None:
    async with (
        shop_at(server.url) as shop,
        first_worker(tmp_path, server.url, agent="exits_deep", AGENTDASH_ATTEMPTS="1") as process,
    ):
        await shop.submit("bad", "bad")
        assert "SystemExit" in (await shop.result("bad")).error
        await shop.submit("good", "good")
        assert (await shop.result("good")).result == "good"
        assert process.returncode is None
        process.terminate()
        _, logged = await process.communicate()
    assert process.returncode == 0
    assert b"a client was not closed" in logged
    assert b"HTTP Request" not in logged, "httpx logs each call of a model"


async def test_a_slot_that_is_lost_is_told_everywhere_and_takes_no_task(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "LET_GO_S", 0.1)
    begun, ended, port = asyncio.Event(), asyncio.Event(), free_port()

    async def agent(task: Task, _: Session) -> object:
        if task.id == "deaf":
            begun.set()
            while not ended.is_set():
                with suppress(asyncio.CancelledError):
                    await ended.wait()
        return "done"

    async def told(slots: int) -> tuple[int, str]:
        while (await state(shop)).lost != slots:
            await asyncio.sleep(0.01)
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
            client.get("/healthz") as answer,
        ):
            return answer.status, await answer.text()

    async with shop.worker(agent, listen=("127.0.0.1", port)):
        try:
            await shop.submit("x", "deaf")
            await begun.wait()
            await shop.tasks.cancel("deaf", "not needed")
            status, words = await told(1)
            assert (status, words) == (503, "1 of 1 slots lost to agents that do not end\n")
            await busy_with(shop, 0)
            await shop.submit("x", "next")
            assert (await shop.counted()).num_pending == 1
            ended.set()
            assert (await shop.result("next")).result == "done"
            assert await told(0) == (200, "ok\n")
        finally:
            ended.set()
