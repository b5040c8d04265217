"""Values in the workers' buckets that are not what they should be: they end no worker, and no task
comes for ever because of them.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from nats.js.api import ObjectMeta

from agentdash.worker import Retryable, Session, Task, TaskStatus, delivery
from agentdash.worker.attempts import DeadLetters
from agentdash.worker.limits import SPENDING_BUCKET, Account, Spending, Spent
from agentdash.worker.session import RESULTS_BUCKET, UnreadableStoreError
from agentdash.worker.stores import (
    TRIES_BUCKET,
    Checkpoints,
    DeliveryNumber,
    bucket,
    checkpoints_bucket,
    ensure_worker_streams,
)
from controller.model.worker_messages import ALLOWANCES_BUCKET, ORDERS_BUCKET, orders_key
from tests.integration.worker.conftest import Shop

NESTED = b'{"later":' + b"[" * 100_000


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "RETRY_FIRST_S", 0.01)


@pytest.mark.parametrize("value", [b"\xff", b'{"id": 7}', NESTED], ids=["bytes", "type", "nested"])
async def test_a_garbage_result_makes_a_dead_letter_and_cuts_no_other_task(
    shop: Shop, value: bytes
) -> None:
    js = shop.link.jetstream
    await ensure_worker_streams(js, "acme", result_ttl_s=60.0)
    await bucket(js, RESULTS_BUCKET).put("acme.research.bad", value)
    begun, end = asyncio.Event(), asyncio.Event()

    async def agent(task: Task, _: Session) -> object:
        if task.id == "long":
            begun.set()
            await end.wait()
        return task.attempt

    async with shop.worker(agent, slots=2, attempts=2):
        await shop.submit(None, "long")
        await begun.wait()
        await shop.submit(None, "bad")
        while not (letters := (await DeadLetters(js, "acme", "research").list()).letters):
            await asyncio.sleep(0.005)
        end.set()
        assert (await shop.result("long")).result == 1
        await shop.all_acknowledged()
        dead = await shop.result("bad")
    assert dead.status is TaskStatus.DEAD
    assert letters[0].note.reason == dead.error
    assert "2 of 2 tries failed" in dead.error
    assert "acme.research.bad in agentdash_results is no result" in dead.error


async def _put_checkpoint(shop: Shop, state: bytes, revision: str) -> None:
    store = await shop.link.jetstream.object_store(checkpoints_bucket("acme"))
    name = "acme/research/bad"
    headers = {"Agentdash-Revision": revision}
    await store.put(name, state, ObjectMeta(name=name, headers=headers))


@pytest.mark.parametrize(
    ("state", "revision"),
    [(NESTED, "1"), (b"{}", "one")],
    ids=["nested", "number"],
)
async def test_a_checkpoint_that_cannot_be_read_makes_a_dead_letter(
    shop: Shop, state: bytes, revision: str
) -> None:
    async def agent(task: Task, _: Session) -> object:
        await _put_checkpoint(shop, state, revision)
        raise Retryable("once more", after_s=0.01)

    async with shop.worker(agent, attempts=3):
        await shop.submit(None, "bad")
        dead = await shop.result("bad")
        await shop.all_acknowledged()
    assert dead.status is TaskStatus.DEAD
    assert "checkpoint acme/research/bad in agentdash_checkpoints_acme cannot be read" in dead.error
    assert "nats object rm" in dead.error


@pytest.mark.parametrize(
    ("forged", "words"), [(None, "parts of it are missing"), (b"[9999999]", "delete it")]
)
async def test_a_checkpoint_whose_parts_are_lost_or_others_is_not_gone_on_from(
    shop: Shop, forged: bytes | None, words: str
) -> None:
    js = shop.link.jetstream
    await ensure_worker_streams(js, "acme", result_ttl_s=60.0)
    checkpoints = Checkpoints(js, "acme", "research")
    assert await checkpoints.save("one", [1234567], revision=1, delivery=DeliveryNumber(1, 1))
    store = await js.object_store(checkpoints_bucket("acme"))
    info = await store.get_info("acme/research/one")
    subject = f"$O.{checkpoints_bucket('acme')}.C.{info.nuid}"
    await js.purge_stream(f"OBJ_{checkpoints_bucket('acme')}", subject=subject)
    if forged is not None:
        assert len(forged) == info.size
        await js.publish(subject, forged)
    with pytest.raises(UnreadableStoreError, match=words):
        await checkpoints.load("one")


async def test_a_checkpoint_that_does_not_come_in_time_ends_no_worker(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    async def agent(task: Task, session: Session) -> object:
        if task.id == "bad":
            await session.checkpoint(1)
            raise Retryable("once more", after_s=0.01)
        return "fine"

    monkeypatch.setattr("agentdash.worker.stores.ANSWER_S", 0.05)
    monkeypatch.setattr("agentdash.worker.stores.Checkpoints._content", never)
    async with shop.worker(agent, attempts=2):
        await shop.submit(None, "bad")
        dead = await shop.result("bad")
        await shop.submit(None, "good")
        assert (await shop.result("good")).result == "fine"
    assert dead.status is TaskStatus.DEAD
    assert "did not come within 0.05 s" in dead.error


async def test_a_count_of_tries_that_is_none_makes_a_dead_letter(shop: Shop) -> None:
    async def agent(_: Task, __: Session) -> object:
        await bucket(shop.link.jetstream, TRIES_BUCKET).put("acme.research.bad.1", b"many")
        raise Retryable("once more", after_s=0.01)

    async with shop.worker(agent, attempts=2):
        await shop.submit(None, "bad")
        dead = await shop.result("bad")
    assert dead.status is TaskStatus.DEAD
    assert "acme.research.bad.1 in agentdash_handed_back is no count of tries" in dead.error


async def test_orders_and_allowances_that_are_nested_too_deeply_end_no_worker(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    js, key = shop.link.jetstream, orders_key("acme", "research")
    await ensure_worker_streams(js, "acme", result_ttl_s=60.0)
    await js.create_key_value(bucket=ALLOWANCES_BUCKET)
    async with shop.worker():
        await bucket(js, ALLOWANCES_BUCKET).put(key, NESTED)
        await bucket(js, ORDERS_BUCKET).put(key, NESTED)
        for words in ("what the pool may use", "the pool's orders"):
            while f"{words} cannot be read and" not in caplog.text:
                await asyncio.sleep(0.005)
        await shop.submit(None, "one")
        assert (await shop.result("one")).status is TaskStatus.DONE
    assert "nested too deeply" in caplog.text


async def test_an_account_that_cannot_be_read_allows_nothing(shop: Shop) -> None:
    spending = Spending(shop.link.jetstream)
    account = Account(key="acme.workflow.w", subject="workflow w", usd=Decimal(1))
    await spending.reserve(account, Spent())
    await bucket(shop.link.jetstream, SPENDING_BUCKET).put(account.key, NESTED)
    with pytest.raises(Retryable, match=r"budget acme\.workflow\.w .* nested too deeply"):
        await spending.reserve(account, Spent())


async def test_an_account_that_was_deleted_begins_anew(shop: Shop) -> None:
    spending, used = Spending(shop.link.jetstream), Spent(usd=Decimal(1))
    account = Account(key="acme.workflow.w", subject="workflow w", usd=Decimal(1))
    await spending.reserve(account, used)
    await bucket(shop.link.jetstream, SPENDING_BUCKET).delete(account.key)
    await spending.reserve(account, used)
    assert await spending.spent(account) == used
