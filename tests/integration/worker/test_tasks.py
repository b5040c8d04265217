"""Tasks from their submission to their one result."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from agentdash.worker import (
    Fatal,
    Priority,
    Retryable,
    Session,
    SessionLimits,
    Task,
    TaskStatus,
    UsedTokens,
)
from agentdash.worker.attempts import DeadLetters
from agentdash.worker.session import TERMS_HEADER
from agentdash.worker.stores import Results, ensure_usage_stream, ensure_worker_streams
from controller.model.worker_messages import USAGE_STREAM, UsageEvent
from tests.integration.worker.conftest import HIGH, QUEUE, Shop


async def test_a_task_has_the_result_that_the_agent_returned(shop: Shop) -> None:
    async with shop.worker():
        await shop.submit({"goal": "count"}, "one", workflow="w1")
        result = await shop.result("one")
        await shop.all_acknowledged()
    assert (result.status, result.result) == (TaskStatus.DONE, {"answer": {"goal": "count"}})
    [(task, _)] = shop.ended
    assert (task.goal, task.terms.workflow, task.attempt) == ("count", "w1", 1)


async def test_a_task_that_is_submitted_twice_is_done_once(shop: Shop) -> None:
    async with shop.worker():
        await shop.submit("work", "one")
        await shop.submit("work", "one")
        await shop.submit("work", "two")
        await shop.result("two")
        await shop.all_acknowledged()
    assert sorted(task.id for task, _ in shop.ended) == ["one", "two"]


async def test_bodies_of_any_publisher_are_payloads(shop: Shop) -> None:
    js = shop.link.jetstream
    async with shop.worker():
        await js.publish("tasks.acme.research", b'{"task":"demo"}')
        await js.publish("tasks.acme.research", "grüße".encode(), headers={"Nats-Msg-Id": "a"})
        await js.publish("tasks.acme.research", b"x", headers={"Nats-Msg-Id": "order/17 b"})
        with_terms = {TERMS_HEADER: '{"id": "text"}'}
        await js.publish("tasks.acme.research", b"{ is text", headers=with_terms)
        await shop.result("text")
        await shop.all_acknowledged()
    payloads = {task.id: task.payload for task, _ in shop.ended}
    hashed = next(name for name in payloads if name.startswith("msg-"))
    expected = {"TASKS-1": {"task": "demo"}, "a": "grüße", hashed: "x", "text": "{ is text"}
    assert payloads == expected


async def test_what_cannot_be_read_is_a_dead_letter_with_the_reason(shop: Shop) -> None:
    js = shop.link.jetstream
    async with shop.worker():
        await js.publish("tasks.acme.research", b"\xff\xfe", headers={"Nats-Msg-Id": "bytes"})
        broken = {TERMS_HEADER: '{"id": "terms", "timeout_s": -1}', "Nats-Msg-Id": "terms"}
        await js.publish("tasks.acme.research", b"{}", headers=broken)
        results = [await shop.result(name) for name in ("bytes", "terms")]
        await shop.all_acknowledged()
    assert {result.status for result in results} == {TaskStatus.DEAD}
    assert "neither JSON nor text" in results[0].error
    assert "timeout_s" in results[1].error
    letters = (await DeadLetters(js, "acme", "research").list()).letters
    assert [letter.note.reason for letter in letters] == [result.error for result in results]


async def test_errors_of_an_agent_decide_how_the_task_goes_on(shop: Shop) -> None:
    tries: dict[str, list[int]] = {}

    async def agent(task: Task, session: Session) -> object:
        tries.setdefault(task.id, []).append(task.attempt)
        match task.id:
            case "fatal":
                raise Fatal("no such repository")
            case "limit":
                session.used(UsedTokens(input=11))
            case "again" if task.attempt < 3:
                raise Retryable("busy", after_s=0.01)
            case "bug":
                raise KeyError("x")
        return "fine"

    async with shop.worker(agent, attempts=3, limits=SessionLimits(tokens=10)):
        for name in ("fatal", "limit", "again"):
            await shop.submit(None, name)
        ends = [await shop.result(name) for name in ("fatal", "limit", "again")]
        await shop.all_acknowledged()
    assert [end.status for end in ends] == [TaskStatus.FAILED, TaskStatus.LIMIT, TaskStatus.DONE]
    assert ends[0].error == "no such repository"
    assert "11 tokens used, 10 allowed" in ends[1].error
    assert tries == {"fatal": [1], "limit": [1], "again": [1, 2, 3]}


async def test_a_task_whose_tries_are_used_up_is_dead_and_can_be_retried(shop: Shop) -> None:
    works = asyncio.Event()

    async def agent(_: Task, session: Session) -> object:
        if not works.is_set():
            await session.checkpoint({"page": 7})
            raise Retryable("the site is down", after_s=0.01)
        await session.checkpoint({"page": session.resumed["page"] + 1})
        return session.resumed

    js = shop.link.jetstream
    letters = DeadLetters(js, "acme", "research")
    async with shop.worker(agent, attempts=2):
        await shop.submit({"grüße": 1}, "one", timeout_s=60.0, workflow="für")
        dead = await shop.result("one")
        assert dead.status is TaskStatus.DEAD
        assert "2 of 2 tries" in dead.error
        assert "the site is down" in dead.error
        await shop.all_acknowledged()
        letter = await letters.get("one")
        assert letter is not None
        assert letter.note.attempts == 2
        works.set()
        assert await letters.retry(letter, Results(js, "acme", "research"))
        assert (await shop.result("one")).result == {"page": 8}
        assert (await letters.list()).letters == ()
        assert not await letters.retry(letter, Results(js, "acme", "research"))
    assert shop.ended[-1][0].terms.workflow == "für"


async def test_a_task_may_not_outlast_its_deadline_its_time_out_or_its_session(shop: Shop) -> None:
    async def agent(_: Task, __: Session) -> object:
        await asyncio.Event().wait()
        return None

    limits = SessionLimits(duration_s=0.2)
    async with shop.worker(agent, attempts=1, slots=4, limits=limits):
        await shop.submit(None, "past", deadline=time.time() - 1)
        await shop.submit(None, "soon", deadline=time.time() + 0.1)
        await shop.submit(None, "try", timeout_s=0.05)
        await shop.submit(None, "session")
        ends = {name: await shop.result(name) for name in ("past", "soon", "try", "session")}
    assert {name: end.status.value for name, end in ends.items()} == {
        "past": "expired",
        "soon": "expired",
        "try": "dead",
        "session": "limit",
    }


async def test_a_cancelled_task_never_starts_and_one_under_way_is_told(shop: Shop) -> None:
    begun: list[str] = []
    cut: list[str] = []

    async def agent(task: Task, session: Session) -> object:
        begun.append(task.id)
        session.used(UsedTokens(input=5))
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut.append(task.id)
            raise
        return None

    await shop.submit(None, "before")
    await ensure_worker_streams(shop.link.jetstream, "acme", result_ttl_s=60.0)
    assert (await shop.tasks.cancel("before", "not needed")).status is TaskStatus.CANCELLED
    async with shop.worker(agent):
        await shop.submit(None, "during")
        while not begun:
            await asyncio.sleep(0.005)
        began = time.monotonic()
        await shop.tasks.cancel("during", "not needed")
        await shop.all_acknowledged()
        assert time.monotonic() - began < 5
    assert begun == cut == ["during"]
    assert (await shop.result("during")).error == "not needed"
    assert (await shop.tasks.cancel("during", "again")).error == "not needed"


async def test_high_priority_is_worked_on_first(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentdash.worker.pull.LINGER_S", 1.0)  # a pull is waited for to its end
    order: list[str] = []
    gate = asyncio.Event()

    async def agent(task: Task, _: Session) -> object:
        order.append(task.id)
        await gate.wait()
        return None

    async with shop.worker(agent, queues=(HIGH, QUEUE)):
        while not (await shop.link.jetstream.consumer_info(*HIGH)).num_waiting:
            await asyncio.sleep(0.005)
        await shop.submit(None, "first")
        while not order or (await shop.link.jetstream.consumer_info(*HIGH)).num_waiting:
            await asyncio.sleep(0.005)  # a busy worker waits at no queue
        for number in range(3):
            await shop.submit(None, f"normal-{number}")
        for number in range(2):
            await shop.submit(None, f"high-{number}", priority=Priority.HIGH)
        gate.set()
        await shop.all_acknowledged(HIGH)
        await shop.all_acknowledged()
    assert order == ["first", "high-0", "high-1", "normal-0", "normal-1", "normal-2"]


async def test_a_result_that_cannot_be_stored_is_a_failure_that_says_so(shop: Shop) -> None:
    async def agent(task: Task, _: Session) -> object:
        return object() if task.id == "object" else "x" * 2_000_000

    async with shop.worker(agent):
        await shop.submit(None, "object")
        await shop.submit(None, "long")
        ends = [await shop.result("object"), await shop.result("long")]
        await shop.all_acknowledged()
    assert [end.status for end in ends] == [TaskStatus.FAILED] * 2
    assert "cannot be written as JSON" in ends[0].error
    assert "return where" in ends[1].error


async def test_tokens_are_reported_for_every_try(shop: Shop) -> None:
    js = shop.link.jetstream
    await ensure_usage_stream(js)

    async def agent(task: Task, session: Session) -> object:
        session.used(UsedTokens(input=10, output=1), model="small")
        session.used(UsedTokens(input=10, output=1), model="small")
        session.used(UsedTokens(input=7), model="large")
        if task.attempt == 1:
            raise Retryable("once more", after_s=0.01)
        return None

    async with shop.worker(agent):
        await shop.submit(None, "one")
        result = await shop.result("one")
        await shop.all_acknowledged()
    assert result.tokens == 29
    events = [
        msgspec.json.decode((await js.get_msg(USAGE_STREAM, number)).data or b"", type=UsageEvent)
        for number in range(1, 5)
    ]
    assert [(each.model, each.usage.input, each.usage.calls) for each in events] == [
        ("small", 20, 2),
        ("large", 7, 1),
    ] * 2
    assert [each.seconds is None for each in events] == [False, True] * 2
