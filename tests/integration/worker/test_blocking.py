"""Agents that block: those that are plain functions, and async ones that hold the event loop."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from agentdash.worker import (
    BlockingSession,
    Fatal,
    RateShare,
    Session,
    Task,
    TaskStatus,
    delivery,
)
from support.ports import free_port
from tests.integration.worker.conftest import Busy, Shop, shop_at, worker_process
from tests.integration.worker.test_orders import busy_with, state
from tests.support.nats_server import RealNats

AGENT = """\
import os
import time

from agentdash.worker import Session, Task


async def stubborn(task: Task, session: Session) -> object:
    with open("begun", "a") as file:
        file.write(task.id + ".")
    if task.id == "one":
        while not os.path.exists("enough"):
            time.sleep(0.05)
    return task.attempt
"""


async def begun(home: Path) -> None:
    while not (home / "begun").exists():
        await asyncio.sleep(0.01)


async def answer_of(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as client, client.get(url) as answer:
        return answer.status, await answer.text()


async def test_a_task_whose_agent_blocks_the_event_loop_runs_once_and_its_worker_stays_known(
    tmp_path: Path, server: RealNats
) -> None:
    (tmp_path / "agents.py").write_text(AGENT, "utf-8")
    port = free_port()
    given = {"AGENTDASH_WORKER": "first", "AGENTDASH_LISTEN": f"127.0.0.1:{port}"}
    async with shop_at(server.url, ack_wait_s=1.0) as shop:
        process = await worker_process(tmp_path, server.url, "agents:stubborn", **given)
        await shop.submit("x", "one")
        await begun(tmp_path)
        async with shop.worker(worker="second"):
            blocked_until = time.monotonic() + 3.0  # thrice the time for acknowledgements
            words = ""
            while time.monotonic() < blocked_until or "blocked for" not in words:
                status, words = await answer_of(f"http://127.0.0.1:{port}/healthz")
                assert status == 200
                await asyncio.sleep(0.05)
            assert "agents.py:12 in stubborn" in words
            await busy_with(shop, 1, "first")
            (tmp_path / "enough").touch()
            result = await shop.result("one")
            await shop.all_acknowledged()
        process.terminate()
        _, logged = await process.communicate()
    assert (result.worker, result.result, result.attempts) == ("first", 1, 1)
    assert (tmp_path / "begun").read_text("utf-8") == "one."
    lines = [json.loads(line) for line in logged.splitlines()]
    [told] = [each for each in lines if "blocks the event loop" in each["message"]]
    assert "time.sleep(0.05)" in told["stack"]
    assert told["tasks"] == "one"
    assert any("the event loop turns again" in each["message"] for each in lines)


async def test_what_came_while_the_loop_was_blocked_is_left_to_the_worker_that_has_it_by_now(
    tmp_path: Path, server: RealNats
) -> None:
    (tmp_path / "agents.py").write_text(AGENT, "utf-8")
    given = {"AGENTDASH_WORKER": "first", "AGENTDASH_SLOTS": "2"}
    async with shop_at(server.url, ack_wait_s=1.0) as shop:
        process = await worker_process(tmp_path, server.url, "agents:stubborn", **given)
        await shop.submit("x", "one")
        await begun(tmp_path)
        await shop.submit("x", "two")  # the open pull of the second slot takes it
        busy = Busy()
        async with shop.worker(busy, worker="second"):
            await busy.begun.wait()
            (tmp_path / "enough").touch()
            assert (await shop.result("one")).worker == "first"
            await shop.submit("x", "three")  # the first one works again
            assert (await shop.result("three")).worker == "first"
            busy.end.set()
            assert (await shop.result("two")).worker == "second"
            await shop.all_acknowledged()
        process.terminate()
        await process.communicate()
    assert (tmp_path / "begun").read_text("utf-8") == "one.three."


async def test_plain_functions_work_in_threads_of_their_own(shop: Shop) -> None:
    together = threading.Barrier(2, timeout=10)

    def agent(task: Task, session: BlockingSession) -> object:
        together.wait()  # neither has the event loop
        session.emit("together")
        session.checkpoint({"seen": task.id})
        assert session.resumed == {"seen": task.id}
        return threading.current_thread() is not threading.main_thread()

    async with shop.worker(agent, slots=2):
        await asyncio.gather(shop.submit("x", "one"), shop.submit("x", "two"))
        assert [(await shop.result(each)).result for each in ("one", "two")] == [True, True]


async def test_a_plain_function_is_limited_told_to_stop_and_goes_on_elsewhere(shop: Shop) -> None:
    waits = threading.Event()

    def agent(_: Task, session: BlockingSession) -> object:
        if session.resumed is None:
            waits.set()
            while not session.is_stopping:
                time.sleep(0.002)
            session.checkpoint("half")
            raise AssertionError("a worker that stops takes the task back")
        session.step()
        session.step()  # one too many
        return None

    await shop.submit("x", "one", max_steps=1)
    async with shop.worker(agent) as stopping:
        await asyncio.to_thread(waits.wait, 10)
        stopping.set()
    async with shop.worker(agent, attempts=1):
        result = await shop.result("one")
    assert (result.status, result.error) == (TaskStatus.LIMIT, "more than 1 steps")


async def test_a_plain_function_calls_models_within_its_share(shop: Shop) -> None:
    threads: list[threading.Thread] = []

    def agent(_: Task, session: BlockingSession) -> object:
        def call(model: str) -> Any:
            threads.append(threading.current_thread())
            usage = SimpleNamespace(prompt_tokens=7, completion_tokens=2)
            return SimpleNamespace(text=f"by {model}", usage=usage)

        threads.append(threading.current_thread())
        answer = session.ask("gpt", lambda: call("gpt"), input_tokens=10, output_tokens=10)
        with pytest.raises(Fatal):
            session.ask("gpt", _refuses, input_tokens=10, output_tokens=10)
        return [answer.text, session.tokens]

    async with shop.worker(agent, rates={"gpt": RateShare(requests_per_minute=600)}):
        await shop.submit("x", "one")
        result = await shop.result("one")
    assert result.result == ["by gpt", 9 + 20], "a call that fails costs its estimate"
    assert len(set(threads)) == 1, "a client may belong to the thread that made it"


def _refuses() -> Any:
    raise Fatal("no")


async def test_a_plain_function_that_is_cut_ends_at_its_next_word_to_the_session(
    shop: Shop,
) -> None:
    begun = threading.Event()

    def agent(task: Task, session: BlockingSession) -> object:
        while task.id == "endless":
            begun.set()
            with suppress(Exception):  # a cut passes that
                session.step()
            time.sleep(0.01)
        return "done"

    async with shop.worker(agent):
        await shop.submit("x", "endless")
        await asyncio.to_thread(begun.wait, 10)
        await shop.tasks.cancel("endless", "not needed")
        await shop.submit("x", "next")
        assert (await shop.result("next")).result == "done"
        assert (await state(shop)).lost == 0


async def test_a_plain_function_that_does_not_end_loses_its_slot_until_it_does(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "LET_GO_S", 0.1)
    begun, end = threading.Event(), threading.Event()

    def agent(task: Task, _: BlockingSession) -> object:
        if task.id == "deaf":
            begun.set()
            end.wait()
        return "done"

    async def lost(slots: int) -> None:
        while (await state(shop)).lost != slots:
            await asyncio.sleep(0.01)

    async with shop.worker(agent):
        try:
            await shop.submit("x", "deaf", timeout_s=0.1)
            await asyncio.to_thread(begun.wait, 10)
            await lost(1)
            end.set()
            await lost(0)
        finally:
            end.set()
        await shop.submit("x", "next")
        assert (await shop.result("next")).result == "done"


async def test_an_async_agent_is_given_the_loop_itself(shop: Shop) -> None:
    async def agent(_: Task, session: Session) -> object:
        return [isinstance(session, Session), threading.current_thread().name]

    async with shop.worker(agent):
        await shop.submit("x", "one")
        result = await shop.result("one")
    assert result.result == [True, threading.current_thread().name]
