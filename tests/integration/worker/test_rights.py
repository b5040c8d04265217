"""What the README says that a tenant's worker may do in NATS is enough for it, and no more."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig

from agentdash.worker import NatsLogin, Retryable, Session, Task, TaskStatus, UsedTokens, attempts
from agentdash.worker.limits import SPENDING_BUCKET
from agentdash.worker.router import LEARNED_BUCKET
from agentdash.worker.stores import (
    Checkpoints,
    DeliveryNumber,
    NatsLink,
    ensure_exhausted_stream,
    ensure_usage_stream,
    ensure_worker_streams,
)
from controller.model.worker_messages import ALLOWANCES_BUCKET, USAGE_STREAM
from tests.integration.worker.conftest import QUEUE, Shop, lose, pool_tasks, prepare
from tests.support.nats_server import RealNats

PAGES = Path(__file__).parents[3] / "docs/pages"
MEMORY_AND_INTENTS = "agentdash"
SUBJECT = "tasks.acme.research"


def rights_of_the_readme(tenant: str) -> tuple[list[str], list[str]]:
    """What a worker of this tenant may publish, and what it may subscribe."""
    text = (
        (PAGES / "on-a-cluster.md").read_text("utf-8").partition("A worker of tenant `T` needs")[2]
    )
    table, _, rest = text.partition("\n\nIt subscribes ")
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    publish = [found for row in rows for found in re.findall(r"`([^`]+)`", row)]
    subscribe = re.findall(r"`([^`]+)`", rest.partition(". ")[0])
    assert (len(publish), len(subscribe)) == (22, 4), "the table has moved"
    stream, consumer = QUEUE
    queue = f"{stream}.{consumer if tenant == 'acme' else tenant}"

    def of_tenant(subject: str) -> str:
        named = re.sub(r"(?<=[._])T(?=\.|$)", tenant, subject)
        return named.replace("STREAM.CONSUMER", queue)

    return [*map(of_tenant, publish)], [*map(of_tenant, subscribe)]


def rights_with_a_limit_of_deliveries() -> list[str]:
    """What a worker may publish besides, where its consumer has `max_deliver`."""
    text = (
        (PAGES / "agents.md")
        .read_text("utf-8")
        .partition("it also needs")[2]
        .partition("; `agentdash")[0]
    )
    found = re.findall(r"`([^`]+)`", text)
    assert len(found) == 3, "the sentence has moved"
    return [*(each.replace("GET.STREAM", f"GET.{QUEUE.stream}") for each in found), SUBJECT]


def config(*more: str) -> str:
    """Users of two tenants; acme may publish to `more` subjects besides."""
    users = ""
    for tenant in ("acme", "globex"):
        allowed, subscribed = rights_of_the_readme(tenant)
        if tenant == "acme":
            allowed += more
        publish, subscribe = json.dumps(allowed), json.dumps(subscribed)
        users += f"""{{ user: {tenant}, password: {tenant}, permissions: {{
          publish: {{ allow: {publish} }}, subscribe: {{ allow: {subscribe} }} }} }}
      """
    return f"""accounts {{ A {{ jetstream: enabled, users: [
      {{ user: owner, password: owner }}
      {users} ] }} }}"""


@asynccontextmanager
async def prepared(folder: Path, *more: str, **consumer: Any) -> AsyncIterator[tuple[Shop, str]]:
    """A pool whose workers have a user of tenant acme, and that user's address; it may publish to
    `more` subjects besides.
    """
    # what a worker may not create it asks for once, in vain
    with (
        mock.patch("agentdash.worker.stores.ANSWER_S", 1.0),
        RealNats(folder / "nats", config(*more)) as server,
    ):
        where = server.url.removeprefix("nats://")
        link = NatsLink(NatsLogin(servers=(f"nats://owner:owner@{where}",)))
        await link.open()
        try:
            await prepare(link, **consumer)
            js = link.jetstream
            for tenant in ("acme", "globex"):
                await ensure_worker_streams(js, tenant, result_ttl_s=60.0)
            await ensure_usage_stream(js)
            for name in (MEMORY_AND_INTENTS, ALLOWANCES_BUCKET, SPENDING_BUCKET, LEARNED_BUCKET):
                await js.create_key_value(KeyValueConfig(bucket=name))
            url = f"nats://acme:acme@{where}"
            yield Shop(url, link, pool_tasks(link)), url
        finally:
            await link.close()


async def contents(js: JetStreamContext) -> dict[str, tuple[int, int, int]]:
    """Of each stream its last number, its messages and its consumers."""
    states = {info.config.name or "": info.state for info in await js.streams_info()}
    return {
        name: (state.last_seq, state.messages, state.consumer_count)
        for name, state in states.items()
    }


@asynccontextmanager
async def noting(url: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """A connection of a worker, and what the server refused it."""
    refused: list[str] = []

    async def note(error: Exception) -> None:
        refused.append(str(error).lower())

    worker = await nats.connect(url, error_cb=note)
    try:
        yield worker, refused
    finally:
        await worker.close()


def assert_each_refused(subjects: Iterable[str], refused: list[str]) -> None:
    for subject in subjects:
        words = f'publish to "{subject.lower()}"'
        assert any(words in error for error in refused), f"{subject} was not refused"


PAGES_READ = list(range(50_000))  # in several parts


async def agent(task: Task, session: Session) -> object:
    if task.payload == "poison":
        raise ValueError(task.payload)
    if session.resumed is None:
        await session.emit("pages are read")
        await session.checkpoint(PAGES_READ)
        raise Retryable("once more", after_s=0.01)
    session.used(UsedTokens(input=5), model="m", usd=0.01)
    return session.resumed == PAGES_READ


async def test_a_worker_with_the_rights_of_the_readme_lacks_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with prepared(tmp_path) as (shop, _):
        async with shop.worker(agent, attempts=2):
            await shop.submit("work", "good", budget_usd=1.0)
            await shop.submit("poison", "bad", budget_usd=1.0)
            assert (await shop.result("good")).result is True
            assert (await shop.result("bad")).status is TaskStatus.DEAD
            await shop.all_acknowledged()
        js = shop.link.jetstream
        assert (await js.stream_info(USAGE_STREAM)).state.messages == 1
        assert (await js.stream_info("AGENTDASH_DEAD")).state.messages == 1
        assert (await js.stream_info("AGENTDASH_EVENTS")).state.messages == 1
    refused = [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and "permissions violation" in record.getMessage()
    ]
    assert [each for each in refused if "stream.create" not in each] == []


async def test_with_a_limit_of_deliveries_a_worker_needs_the_rights_that_the_readme_adds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "LOOK_S", 0.02)
    more = rights_with_a_limit_of_deliveries()
    async with prepared(tmp_path, *more, max_deliver=1, ack_wait_s=0.2) as (shop, _):
        js = shop.link.jetstream
        await ensure_exhausted_stream(js)
        await shop.submit("work", "one")
        await lose(shop)
        async with shop.worker():
            assert (await shop.result("one")).status is TaskStatus.DONE
            for stream in ("AGENTDASH_EXHAUSTED", QUEUE.stream):
                while (await js.stream_info(stream)).state.messages:
                    await asyncio.sleep(0.005)


async def test_a_tenants_worker_cannot_write_what_is_not_its_tenants(tmp_path: Path) -> None:
    async with prepared(tmp_path) as (shop, url):
        js = shop.link.jetstream
        await (await js.key_value(MEMORY_AND_INTENTS)).put("intent.freeze", b"{}")
        before = await contents(js)
        async with noting(url) as (worker, refused):
            subjects = (
                "$KV.agentdash.intent.freeze",
                "$KV.agentdash.memory.head",
                "agentdash.usage.globex.research",
                "agentdash.dead.globex.research.1",
                "agentdash.events.globex.research.1",
                "tasks.acme.research",
                "$KV.agentdash_workers.globex.research.one",
                "$KV.agentdash_results.globex.research.1",
                "$KV.agentdash_handed_back.globex.research.1",
                "$KV.agentdash_spending.globex.task.research.1",
                "$KV.agentdash_learned.globex.research",
                "$KV.agentdash_orders.acme.research",
                "$KV.agentdash_allowances.acme.research",
                "$JS.API.STREAM.PURGE.KV_agentdash",
                "$JS.API.STREAM.DELETE.KV_agentdash",
                "$JS.API.STREAM.PURGE.AGENTDASH_USAGE",
                "$JS.API.CONSUMER.DELETE.TASKS.acme-research",
            )
            for subject in subjects:
                await worker.publish(subject, b"")
            # a stream stores what it takes some time after the server has read it: this says when
            await worker.jetstream().publish("agentdash.usage.acme.research", b"{}")
            await worker.flush()
            assert_each_refused(subjects, refused)
        after = await contents(js)
        assert before.keys() == after.keys()
        assert {name for name in before if after[name] != before[name]} == {USAGE_STREAM}
        stored = await js.get_msg(USAGE_STREAM, 1)
        assert (stored.subject, after[USAGE_STREAM]) == ("agentdash.usage.acme.research", (1, 1, 0))


async def test_a_tenants_worker_can_neither_read_nor_change_another_tenants_checkpoints(
    tmp_path: Path,
) -> None:
    async with prepared(tmp_path) as (shop, url):
        js = shop.link.jetstream
        theirs = Checkpoints(js, "globex", "research")
        number = DeliveryNumber(1, 1)
        assert await theirs.save("t", {"secret": 1}, revision=1, delivery=number)
        before = await contents(js)
        async with noting(url) as (worker, refused):
            place = "agentdash_checkpoints_globex"
            requests = (
                f"$JS.API.STREAM.MSG.GET.OBJ_{place}",
                f"$JS.API.DIRECT.GET.OBJ_{place}",
                f"$JS.API.STREAM.PURGE.OBJ_{place}",
                f"$JS.API.STREAM.INFO.OBJ_{place}",
                f"$JS.API.CONSUMER.CREATE.OBJ_{place}",
                f"$O.{place}.M.x",
                f"$O.{place}.C.x",
            )
            for subject in requests:
                await worker.publish(subject, b'{"seq": 1}', reply="_INBOX.answer")
            await worker.flush()
            with pytest.raises(nats.errors.Error):
                await Checkpoints(worker.jetstream(timeout=0.5), "globex", "research").load("t")
            assert_each_refused(requests, refused)
        assert await contents(js) == before
        found = await theirs.load("t")
    assert found is not None
    assert found.state == {"secret": 1}
