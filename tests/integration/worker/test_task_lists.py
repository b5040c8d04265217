"""Tasks as a person sees them, read from a real server and from workers that run."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import to_builtins
from nats.js import JetStreamContext

from agentdash import task_lists
from agentdash.task_lists import TaskLists
from agentdash.worker import Fatal, Retryable, Session, Task, UsedTokens
from agentdash.worker.session import RESULTS_BUCKET, TERMS_HEADER
from agentdash.worker.stores import TRIES_BUCKET
from controller.engine.supervise import SystemClock
from controller.model.ids import PoolKey
from controller.model.intents import Scope
from controller.model.settings import NatsSettings
from controller.model.tasks import TaskPage, TaskQuestion, TaskRow, TaskState
from controller.nats.session import NatsSession
from controller.ports import TasksUnknownError
from support.forked import agentdash
from tests.integration.worker.conftest import HIGH, QUEUE, Shop
from tests.integration.worker.test_verbs import FLEET

POOLS = {PoolKey("acme/research"): (HIGH, QUEUE)}


@pytest.fixture
async def desk(shop: Shop) -> AsyncIterator[TaskLists]:
    async with NatsSession(NatsSettings(servers=(shop.url,)), SystemClock()) as session:
        while not session.connected:
            await asyncio.sleep(0.005)
        yield TaskLists(session)


async def page(desk: TaskLists, **changes: Any) -> TaskPage:
    return await desk.page(TaskQuestion(pools=POOLS, **changes))


async def only(desk: TaskLists, task: str, state: TaskState) -> TaskRow:
    """The one row of this task, once it is in this state; the test's time-out ends it."""
    while True:
        found = [row for row in (await page(desk)).rows if row.id == task]
        assert len(found) <= 1
        if found and found[0].state is state:
            return found[0]


async def work(task: Task, session: Session) -> object:
    """As its goal says."""
    session.used(UsedTokens(input=70, output=7), model="small")
    if task.goal == "fail":
        raise Fatal("it cannot be done \x1b]0;owned\x07")
    if task.goal == "crash":
        raise RuntimeError("broken tool")
    if task.goal == "stay":
        await session.checkpoint({"page": 3})
        await asyncio.Event().wait()
    return {"answer": task.goal}


async def test_each_task_is_in_one_place_with_what_is_known_of_it(
    shop: Shop, desk: TaskLists
) -> None:
    for task, goal in (("stays", "stay"), ("ends", "count"), ("fails", "fail"), ("dies", "crash")):
        await shop.submit(goal, task)
    async with shop.worker(work, slots=4, attempts=1):
        for task in ("ends", "fails", "dies"):
            await shop.result(task)
        await shop.submit("later", "waits", priority="high")  # this worker pulls the other queue
        running = await only(desk, "stays", TaskState.RUNNING)
        assert (running.pod, running.tries, running.tokens) == ("one", 1, 77)
        while not running.checkpoint:
            running = await only(desk, "stays", TaskState.RUNNING)
        assert abs(running.at - time.time()) < 60
        waits = await only(desk, "waits", TaskState.WAITING)
        assert (waits.priority, waits.tries) == ("high", 0)
        ended = await only(desk, "ends", TaskState.ENDED)
        assert (ended.status, ended.tokens, ended.why) == ("done", 77, '{"answer":"count"}')
        failed = await only(desk, "fails", TaskState.ENDED)
        assert (failed.status, "\x1b" in failed.why) == ("failed", False)
        dead = await only(desk, "dies", TaskState.DEAD)
        assert "broken tool" in dead.why
        in_full = await desk.look(running)
        assert (in_full.payload, in_full.checkpoint) == ("stay", 'number 1: {"page":3}')
        assert json.loads(in_full.terms)["id"] == "stays"
        assert (await desk.look(ended)).result == '{"answer":"count"}'
        assert await desk.cancel(running, "by ann\x07") == "stays is cancelled"
        by_now = await desk.look(running)  # a page that was opened as running
        assert (by_now.row.state, by_now.row.status) == (TaskState.ENDED, "cancelled")
        assert (await desk.look(dead)).row == dead
        assert "\x07" not in (await only(desk, "stays", TaskState.ENDED)).why


async def test_workers_are_waited_for_only_until_all_that_is_delivered_is_told(
    shop: Shop, desk: TaskLists, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.submit("later", "waits", priority="high")
    await shop.submit("stay", "stays")
    async with shop.worker(work, slots=1, grace_s=0.1):
        await only(desk, "stays", TaskState.RUNNING)
        monkeypatch.setattr(task_lists, "ANSWERS_S", 3_600.0)  # beyond the time-out of this test
        assert {row.id: row.pod for row in (await page(desk)).rows} == {"stays": "one", "waits": ""}


async def test_each_try_of_a_task_is_told_by_itself(shop: Shop, desk: TaskLists) -> None:
    async def third_time(task: Task, session: Session) -> str:
        session.used(UsedTokens(input=70, output=7), model="small", usd=0.001)
        if task.goal == "never" or task.attempt < 3:
            raise Retryable(f"no luck\x1b[2J at try {task.attempt}", after_s=0.01)
        return "done"

    await shop.submit("third", "lucky")
    await shop.submit("never", "luckless")
    async with shop.worker(third_time, slots=2, attempts=3):
        await shop.result("lucky")
        await shop.result("luckless")
    lucky = await desk.look(await only(desk, "lucky", TaskState.ENDED))
    dead = await desk.look(await only(desk, "luckless", TaskState.DEAD))
    used = r"\d\d:\d\d:\d\dZ on one, \d\.\d s, 77 tokens, 0\.0010 USD"
    for tried, end in ((lucky.tried, "done"), (dead.tried, r"no luck\S* at try 3")):
        ends = (r"no luck\S* at try 1", r"no luck\S* at try 2", end)
        for number, (words, why) in enumerate(zip(tried[:3], ends, strict=True), 1):
            assert re.fullmatch(rf"{number}\. {used}: {why}", words), words
        assert tried[3:] == ("together: 231 tokens, 0.0030 USD",)
    assert "\x1b" not in "".join((*lucky.tried, *dead.tried))
    assert (lucky.payload, dead.payload) == ('"third"', "never")
    stream = shop.link.jetstream
    place = f"acme.research.lucky.{(await only(desk, 'lucky', TaskState.ENDED)).number}"
    for value, said in (
        (b'{"begun": 3, "each": [{"worker": "two", "at": 0}]}', "tries 1 to 2 are not noted"),
        (b"2", "an older worker has only counted its tries"),
        (b"{", "how it was tried cannot be read: "),
    ):
        await stream.publish(f"$KV.{TRIES_BUCKET}.{place}", value)
        found = await desk.look(await only(desk, "lucky", TaskState.ENDED))
        assert found.tried[0].startswith(said), found.tried
    await shop.submit("third", "waits")
    assert (await desk.look(await only(desk, "waits", TaskState.WAITING))).tried == (
        "it was not tried yet",
    )


async def test_a_cancelled_task_that_waits_is_said_to_have_ended(
    shop: Shop, desk: TaskLists
) -> None:
    await shop.submit("count", "one")
    waits = await only(desk, "one", TaskState.WAITING)
    await desk.cancel(waits, "typo")
    ended = await only(desk, "one", TaskState.ENDED)
    assert (ended.status, ended.why) == ("cancelled", "typo")
    assert not (await page(desk, states=(TaskState.WAITING,))).rows
    assert "nothing was changed" not in await desk.cancel(waits, "again")


async def test_a_dead_or_failed_task_is_given_again_with_its_earlier_tries(
    shop: Shop, desk: TaskLists
) -> None:
    large = {"goal": "fail", "text": "x" * 65_536}
    await shop.submit("crash", "dies")
    await shop.submit("fail", "fails", workflow="für")
    await shop.submit(large, "large")
    async with shop.worker(work, slots=3, attempts=1):
        dead = await only(desk, "dies", TaskState.DEAD)
        failed = await only(desk, "fails", TaskState.ENDED)
        too_large = await only(desk, "large", TaskState.ENDED)
        await shop.all_acknowledged()
    assert (await desk.look(failed)).payload == "fail"
    for row in (dead, failed):
        assert "published to tasks.acme.research again" in await desk.retry(row)
        waits = await only(desk, row.id, TaskState.WAITING)
        in_full = await desk.look(waits)
        assert (waits.tries, len(in_full.tried)) == (0, 1)
        assert "77 tokens" in in_full.tried[0]
    assert json.loads((await desk.look(await only(desk, "fails", TaskState.WAITING))).terms) == {
        "id": "fails", "workflow": "für", "tried_before": True,
    }  # fmt: skip
    with pytest.raises(TasksUnknownError, match="no dead letter any more"):
        await desk.retry(dead)
    async with shop.worker(work, slots=2, attempts=1, worker="two"):
        again = await only(desk, "fails", TaskState.ENDED)
    first, between, second, together = (await desk.look(again)).tried
    assert (" on one, " in first, between, " on two, " in second) == (
        True,
        "published again:",
        True,
    )
    assert together.startswith("together: 154 tokens")
    with pytest.raises(
        TasksUnknownError, match=r"under another id, agentdash submit acme/research"
    ):
        await desk.retry(too_large)
    assert (await desk.look(too_large)).payload.startswith('{"goal":"fail","text":"xxx')


async def test_a_delivered_task_that_no_worker_has_is_told_apart(
    shop: Shop, desk: TaskLists
) -> None:
    await shop.submit("count", "lost")
    pulling = await shop.link.jetstream.pull_subscribe_bind(QUEUE.consumer, QUEUE.stream)
    await pulling.fetch(1)
    while not (found := await page(desk)).in_flight:
        await asyncio.sleep(0.01)
    (row,) = found.rows
    assert (row.state, "no worker says" in row.why) == (TaskState.WAITING, True)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The messages that streams were asked for."""
    found: list[str] = []
    get = JetStreamContext.get_msg

    async def counting(self: JetStreamContext, *place: Any, **how: Any) -> Any:
        found.append(str(place))
        return await get(self, *place, **how)

    monkeypatch.setattr(JetStreamContext, "get_msg", counting)
    return found


async def publish(shop: Shop, number: int, subject: str, body: bytes = b'"count"') -> None:
    """So many messages; a subject and a body may have the number in them."""
    js = shop.link.jetstream
    for each in range(number):
        terms = json.dumps({"id": f"task-{each:05}"})
        place = subject.format(each)
        await js.publish_async(place, body, headers={TERMS_HEADER: terms})
    await js.publish_async_completed()


async def test_ten_thousand_waiting_tasks_open_at_once(
    shop: Shop, desk: TaskLists, asked: list[str], tmp_path: Path
) -> None:
    """As many are asked for as are shown, however many wait, and however many others' lie between
    them.
    """
    js = shop.link.jetstream
    await publish(shop, 1_000, "tasks.acme.other")
    await publish(shop, 10_100, "tasks.acme.research")
    while (await js.consumer_info(*QUEUE)).num_pending < 10_100:
        await asyncio.sleep(0.05)
    began = time.process_time()
    found = await page(desk)
    took = time.process_time() - began
    waiting = [row for row in found.rows if row.state is TaskState.WAITING]
    assert [row.id for row in waiting] == [f"task-{number:05}" for number in range(100)]
    assert (found.waiting, found.has_more) == (10_100, True)
    assert len(asked) <= 160
    assert took < 0.5
    assert len((await page(desk, most=300)).rows) == 300
    for number in range(20):
        await publish(shop, 100, "tasks.acme.other")
        await shop.submit("count", f"high-{number}", priority="high")
    asked.clear()
    high = [row for row in (await page(desk)).rows if row.priority == "high"]
    assert len(high) == 20
    assert len(asked) <= 350
    (tmp_path / "fleet.yaml").write_text(FLEET.format(url=shop.url), "utf-8")
    code, _, said = await agentdash("result", "research", "never", cwd=tmp_path)
    assert (code, "100 more were not looked through" in said) == (0, True), said


async def test_the_newest_of_a_quiet_pool_are_found_behind_those_of_others(
    shop: Shop, desk: TaskLists, asked: list[str]
) -> None:
    async with shop.worker(work):
        await shop.submit("count", "old")
        stored = json.dumps(to_builtins(await shop.result("old"))).encode()
        await publish(shop, 4_000, f"$KV.{RESULTS_BUCKET}.globex.etl.task-{{}}", stored)
        await shop.submit("count", "new")
        await shop.result("new")
        asked.clear()
        found = await page(desk, scope=Scope(pool=PoolKey("acme/research")))
    assert [row.id for row in found.rows] == ["new", "old"]
    assert len(asked) <= 110
    everything = await page(desk, states=(TaskState.ENDED,), most=300)
    assert (len(everything.rows), everything.rows[0].id) == (300, "new")


async def test_what_others_write_into_the_buckets_hides_no_task(
    shop: Shop, desk: TaskLists
) -> None:
    async with shop.worker(work):
        await shop.submit("count", "ends")
        stored = json.dumps(to_builtins(await shop.result("ends"))).encode()
        js = shop.link.jetstream
        await js.publish(f"$KV.{RESULTS_BUCKET}.alone", stored)
        many = stored.replace(b".1.1", b"." + b"9" * 5000 + b".1")
        assert many != stored
        await js.publish(f"$KV.{RESULTS_BUCKET}.acme.re\x1b[31msearch.loud", many)
        await js.publish("agentdash.dead.alone", b"{}")
        found = {row.id: row for row in (await page(desk)).rows}
    assert set(found) == {"ends", "loud"}
    assert found["loud"].number == 0
    assert "\x1b" not in found["loud"].pool


async def test_what_cannot_be_read_is_said_beside_the_rest(shop: Shop, desk: TaskLists) -> None:
    await shop.submit("count", "one")
    missing = {PoolKey("acme/none"): (HIGH._replace(consumer="no"),)}
    found = await desk.page(TaskQuestion(pools=POOLS | missing))
    assert [row.id for row in found.rows] == ["one"]
    (problem,) = found.problems
    assert problem.startswith("the queues of acme/none cannot be read: ")


async def test_the_verb_prints_them_and_names_what_it_does_not_know(
    shop: Shop, tmp_path: Path
) -> None:
    (tmp_path / "fleet.yaml").write_text(FLEET.format(url=shop.url), "utf-8")
    await shop.submit("count", "one")
    async with shop.worker(work):
        await shop.result("one")
    await shop.submit("later", "two", priority="high")
    code, out, _ = await agentdash("tasks", "research", "--json", cwd=tmp_path)
    assert code == 0
    rows = {row["id"]: row for row in json.loads(out)["tasks"]}
    assert {name: row["state"] for name, row in rows.items()} == {"one": "ended", "two": "waiting"}
    assert (rows["one"]["status"], rows["one"]["tokens"]) == ("done", 77)
    code, out, _ = await agentdash("tasks", "acme", "--state", "waiting", cwd=tmp_path)
    assert (code, "two" in out, "one" in out) == (0, True, False)
    code, out, _ = await agentdash("tasks", "acme", "--state", "dead", cwd=tmp_path)
    assert (code, out) == (0, "no task is in the state dead\n")
    code, _, said = await agentdash("tasks", "acmee", cwd=tmp_path)
    assert (code, "acmee" in said) == (2, True)
    code, out, said = await agentdash("submit", "research", "count", "--id", "one", cwd=tmp_path)
    assert (code, "has ended before, as done" in said) == (0, True)
    assert (await shop.tasks.results.get("one")) is not None
