"""Workers that must end, and connections that are lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from nats import errors
from nats.js.api import DiscardPolicy, StreamConfig

from agentdash.worker import (
    Priority,
    Session,
    Task,
    TaskStatus,
    attempts,
)
from agentdash.worker.attempts import DeadLetters
from agentdash.worker.pull import Inlet, Puller
from agentdash.worker.session import TERMS_HEADER
from agentdash.worker.stores import (
    EXHAUSTED_STREAM,
    Checkpoints,
    DeliveryNumber,
    Results,
    StoredResult,
    ensure_exhausted_stream,
    ensure_worker_streams,
)
from tests.integration.worker.conftest import HIGH, QUEUE, Busy, Shop, lose, shop_at
from tests.integration.worker.test_orders import busy_with, pulls, state
from tests.support.nats_server import RealNats


async def test_a_stopping_worker_hands_back_and_the_next_one_resumes(shop: Shop) -> None:
    begun: list[int] = []

    async def counting(_: Task, session: Session) -> object:
        """Counts one further each time that its worker stops."""
        number = session.resumed or 0
        if number < 3:
            begun.append(number)
            await session.stopping.wait()
            await session.checkpoint(number + 1)
        return number

    await shop.submit(None, "one")
    for number in range(3):
        async with shop.worker(counting) as stopping:
            while len(begun) <= number:
                await asyncio.sleep(0.002)
            stopping.set()
        assert await shop.tasks.results.get("one") is None
    async with shop.worker(counting, attempts=1):
        result = await shop.result("one")
        await shop.all_acknowledged()
    assert begun == [0, 1, 2]
    assert (result.result, result.attempts) == (3, 1), "a task that is handed back was not tried"


async def test_agents_are_told_of_the_end_before_the_pulls_have_ended(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That takes a while where NATS is slow, and the time is the agents'."""
    begun, told = asyncio.Event(), asyncio.Event()
    end = Puller.end

    async def slow(self: Puller, inlets: Sequence[Inlet]) -> None:
        if inlets:
            async with asyncio.timeout(5):
                await told.wait()
        await end(self, inlets)

    async def agent(_: Task, session: Session) -> None:
        begun.set()
        await session.stopping.wait()
        told.set()

    monkeypatch.setattr(Puller, "end", slow)
    await shop.submit("x", "one")
    async with shop.worker(agent) as stopping:
        await begun.wait()
        stopping.set()
    assert told.is_set()


async def test_a_spot_notice_stops_the_worker(shop: Shop, tmp_path: Path) -> None:
    notice = tmp_path / "notice"
    async with shop.worker(spot_notice=str(notice)) as stopping:
        await pulls(shop)
        notice.touch()
        await stopping.wait()


@pytest.mark.parametrize("most", [-1, 1], ids=["delivered again", "its last delivery"])
async def test_a_worker_that_is_cancelled_hands_back_what_it_has(
    most: int, server: RealNats
) -> None:
    async def interrupted(shop: Shop, busy: Busy) -> None:
        async with shop.worker(busy):
            await busy.begun.wait()
            raise RuntimeError

    async with shop_at(server.url, max_deliver=most) as shop:
        await shop.submit("x", "one")
        with pytest.raises(ExceptionGroup):
            await interrupted(shop, Busy())
        async with shop.worker(attempts=1 if most < 0 else 5):
            assert (await shop.result("one")).status is TaskStatus.DONE


async def test_a_message_too_many_goes_back_without_being_tried(shop: Shop) -> None:
    """While both queues are empty a worker waits at both; then both bring one at once."""
    busy = Busy()
    async with shop.worker(busy, queues=(HIGH, QUEUE), attempts=1):
        while not all(await _waiting(shop)):
            await asyncio.sleep(0.002)
        await asyncio.gather(
            shop.submit(None, "high", priority=Priority.HIGH), shop.submit(None, "normal")
        )
        await busy_with(shop, 1)
        while any(await _waiting(shop)):  # a busy worker keeps no message from the others
            await asyncio.sleep(0.002)
        busy.end.set()
        ends = [await shop.result("high"), await shop.result("normal")]
        await shop.all_acknowledged()
    assert [(end.status, end.attempts) for end in ends] == [(TaskStatus.DONE, 1)] * 2


async def _waiting(shop: Shop) -> list[int | None]:
    """The pulls that wait at each queue."""
    return [(await shop.link.jetstream.consumer_info(*each)).num_waiting for each in (HIGH, QUEUE)]


@pytest.mark.timeout(60)
async def test_work_goes_on_after_the_server_was_away(
    server: RealNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentdash.worker.stores.ANSWER_S", 1.0)
    busy = Busy()
    async with shop_at(server.url) as shop, shop.worker(busy, slots=2):
        await shop.submit(None, "during")
        await busy.begun.wait()
        server.kill()
        busy.end.set()
        server.start()
        assert (await shop.result("during")).status is TaskStatus.DONE
        await shop.submit(None, "after")
        await shop.result("after")
        await shop.all_acknowledged()
        assert (await state(shop)).pulling, "the state is there again, though kept in memory"


@pytest.mark.timeout(60)
async def test_an_idle_worker_pulls_again_once_the_server_is_back(
    server: RealNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pull that is lost would be missed after 35 s only."""
    monkeypatch.setattr("agentdash.worker.stores.ANSWER_S", 1.0)
    async with shop_at(server.url) as shop, shop.worker(slots=2):
        await pulls(shop)
        server.kill()
        server.start()
        async with asyncio.timeout(25):
            while True:
                with suppress(errors.Error):
                    await shop.submit(None, "one")
                    break
            assert (await shop.result("one")).status is TaskStatus.DONE


async def test_a_long_task_is_kept_alive_also_of_the_more_impatient_queue(shop: Shop) -> None:
    tries: list[int] = []

    async def agent(task: Task, _: Session) -> None:
        tries.append(task.attempt)
        await asyncio.sleep(1.5)  # the time that the work takes

    js = shop.link.jetstream
    config = (await js.consumer_info(*HIGH)).config
    await js.add_consumer("TASKS", config.evolve(ack_wait=0.5))
    async with shop.worker(agent, slots=2, queues=(HIGH, QUEUE)):
        await shop.submit(None, "one", priority=Priority.HIGH)
        await shop.result("one")
        await shop.all_acknowledged(HIGH)
    assert tries == [1]


async def test_a_checkpoint_of_a_delivery_that_was_overtaken_is_refused(shop: Shop) -> None:
    js = shop.link.jetstream
    await ensure_worker_streams(js, "acme", result_ttl_s=60.0)
    checkpoints = Checkpoints(js, "acme", "research")

    async def saved(state: str, message: int, time: int) -> bool:
        number = DeliveryNumber(message, time)
        return await checkpoints.save("one", state, revision=1, delivery=number)

    assert await saved("by the second delivery", 7, 2)
    assert not await saved("by the first delivery", 7, 1)
    assert await saved("by a later message", 9, 1)
    assert not await saved("by the second delivery of the earlier one", 7, 2)
    found = await checkpoints.load("one")
    assert found is not None
    assert found.state == "by a later message"


async def test_a_consumers_own_limit_of_deliveries_loses_no_task(server: RealNats) -> None:
    async def agent(_: Task, __: Session) -> object:
        raise RuntimeError("broken")

    async with shop_at(server.url, max_deliver=1) as shop, shop.worker(agent):
        await shop.submit(None, "one")
        result = await shop.result("one")
    assert result.status is TaskStatus.DEAD
    assert "broken" in result.error


async def _hand_back(shop: Shop, times: int) -> None:
    """So many workers begin the task `one` and are stopped, one after the other."""
    begun: asyncio.Queue[None] = asyncio.Queue()

    async def agent(_: Task, session: Session) -> None:
        begun.put_nowait(None)
        await session.stopping.wait()
        await session.checkpoint((session.resumed or 0) + 1)

    for number in range(times):
        async with shop.worker(agent, worker=f"w{number}") as stopping:
            await begun.get()
            stopping.set()


@pytest.mark.parametrize("terms", ['{"workflow": "w"}', None], ids=["with terms", "only a text"])
async def test_a_task_that_is_handed_back_at_its_last_delivery_is_published_again(
    terms: str | None, server: RealNats
) -> None:
    async def agent(task: Task, session: Session) -> object:
        return [task.payload, task.terms.workflow, session.resumed]

    headers = {"Nats-Msg-Id": "one"} | ({TERMS_HEADER: terms} if terms else {})
    async with shop_at(server.url, max_deliver=2) as shop:
        await shop.link.jetstream.publish("tasks.acme.research", b"sum up", headers=headers)
        await _hand_back(shop, 3)
        async with shop.worker(agent, attempts=1):
            result = await shop.result("one")
            await shop.all_acknowledged()
    assert (result.result, result.attempts) == (["sum up", "w" if terms else "", 3], 1)


async def test_a_task_that_its_stream_takes_no_more_is_a_dead_letter(server: RealNats) -> None:
    async with shop_at(server.url, max_deliver=1) as shop:
        js = shop.link.jetstream
        await shop.submit("x", "one")
        config = (await js.stream_info("TASKS")).config
        await js.update_stream(config.evolve(max_msgs=1, discard=DiscardPolicy.NEW))
        await _hand_back(shop, 1)
        dead = await shop.result("one")
        assert await DeadLetters(js, "acme", "research").get("one") is not None
    assert dead.status is TaskStatus.DEAD
    assert "maximum messages exceeded" in dead.error


async def test_an_answer_that_is_lost_at_the_last_delivery_loses_no_task(
    server: RealNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = [errors.TimeoutError(), errors.TimeoutError()]
    get = Results.get

    async def get_later(self: Results, task: str) -> StoredResult | None:
        if lost and task == "one":
            raise lost.pop()
        return await get(self, task)

    async with shop_at(server.url, max_deliver=1) as shop:
        async with shop.worker():
            monkeypatch.setattr(Results, "get", get_later)
            await shop.submit("x", "one")
            while lost:  # a consumer counts a message some time after the stream has it
                await asyncio.sleep(0.005)
            await shop.all_acknowledged()
        assert (await shop.result("one")).status is TaskStatus.DONE


async def test_a_worker_whose_queue_is_missing_says_which_and_begins_once_it_is_there(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    js = shop.link.jetstream
    found = (await js.consumer_info(*QUEUE)).config
    await js.delete_consumer(*QUEUE)
    async with shop.worker():
        words = "there is no consumer acme-research of a stream TASKS: create it"
        while words not in caplog.text:
            await asyncio.sleep(0.005)
        await js.add_consumer("TASKS", found)
        await shop.submit(None, "one")
        assert (await shop.result("one")).status is TaskStatus.DONE


@pytest.mark.parametrize("most", [1, 3])
async def test_a_task_whose_worker_dies_at_its_last_delivery_is_done(
    most: int, server: RealNats, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(attempts, "LOOK_S", 0.02)

    async def agent(task: Task, session: Session) -> object:
        return [task.payload, task.terms.workflow, session.resumed]

    async with shop_at(server.url, max_deliver=most, ack_wait_s=0.2) as shop:
        js = shop.link.jetstream
        await shop.submit("sum up", "one", workflow="w")
        await lose(shop, most)
        async with shop.worker(agent, attempts=most + 1):
            result = await shop.result("one")
            await shop.all_acknowledged()
            for stream in ("TASKS", EXHAUSTED_STREAM):  # nothing stays behind
                while (await js.stream_info(stream)).state.messages:
                    await asyncio.sleep(0.005)
    assert (result.status, result.result) == (TaskStatus.DONE, ["sum up", "w", None])
    assert result.attempts == most + 1 if most == 1 else result.attempts > 1
    assert f"consumer acme-research of stream TASKS has max_deliver {most}" in caplog.text
    assert "nats consumer edit TASKS acme-research --max-deliver=-1" in caplog.text


async def test_terms_that_cannot_be_read_block_nothing_that_is_delivered_no_more(
    server: RealNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "LOOK_S", 0.02)
    async with shop_at(server.url, max_deliver=1, ack_wait_s=0.2) as shop:
        js = shop.link.jetstream
        broken = {TERMS_HEADER: '{"timeout_s": -1}', "Nats-Msg-Id": "terms"}
        await js.publish("tasks.acme.research", b"{}", headers=broken)
        await shop.submit("x", "one")
        await lose(shop, at_once=2)
        async with shop.worker():
            assert (await shop.result("one")).status is TaskStatus.DONE
            while not (letters := (await DeadLetters(js, "acme", "research").list()).letters):
                await asyncio.sleep(0.005)
    assert "timeout_s" in letters[0].note.reason


async def test_a_task_that_kills_at_each_last_delivery_is_a_dead_letter_in_the_end(
    server: RealNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "LOOK_S", 0.02)
    async with shop_at(server.url, max_deliver=1, ack_wait_s=0.2) as shop:
        js = shop.link.jetstream
        await shop.submit(None, "one")
        pull = await js.pull_subscribe_bind(QUEUE.consumer, QUEUE.stream)
        for number in range(3):
            await pull.fetch(1, timeout=30)
            if number == 0:
                await ensure_exhausted_stream(js)
                await ensure_worker_streams(js, "acme", result_ttl_s=60.0)
            place = (js, "acme", "research")
            watch = attempts.ExhaustedWatch(shop.link, Results(*place), shop.settings())
            while (await js.stream_info("TASKS")).state.last_seq != number + 2:
                with suppress(errors.Error):
                    await pull.fetch(1, timeout=0.05)
                await watch.look([QUEUE])
        await pull.unsubscribe()
        async with shop.worker(attempts=3):
            dead = await shop.result("one")
    assert dead.error == "began 3 times and no worker lived to end it"


async def test_a_worker_takes_nothing_where_a_limit_of_deliveries_would_lose_it(
    server: RealNats, caplog: pytest.LogCaptureFixture
) -> None:
    async with shop_at(server.url, max_deliver=3) as shop:
        js = shop.link.jetstream
        await js.add_stream(StreamConfig(name="OTHERS", subjects=["$JS.EVENT.ADVISORY.>"]))
        await shop.submit("x", "one")
        async with shop.worker():
            while "the worker cannot start: consumer acme-research of stream" not in caplog.text:
                await asyncio.sleep(0.005)
            info = await shop.counted()
            assert (info.num_pending, info.num_ack_pending) == (1, 0)
            assert "nats consumer edit TASKS acme-research --max-deliver=-1" in caplog.text
            await js.add_consumer("TASKS", info.config.evolve(max_deliver=-1))
            assert (await shop.result("one")).status is TaskStatus.DONE
