"""A sleeping pool's first message until the first line of the agent's code: by one that stands by,
a process of its own, and by a worker of the pool that is started for it. And what becomes of first
messages while those that stand by are killed.

The pool's own start is here that of a process on this machine; on a cluster scheduling, image and
readiness come on top (9 to 19 s in all).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from agentdash.worker import NatsLogin
from agentdash.worker.pull import GROUP
from agentdash.worker.stores import NatsLink
from tests.integration.worker import test_standby as standby
from tests.integration.worker.conftest import worker_process
from tests.support.nats_server import RealNats

ROUNDS, OWN_STARTS = 300, 10
MESSAGES = int(os.environ.get("AGENTDASH_BENCH_MESSAGES", "10000"))
AGENT = """\
import time


async def work(task, session):
    return time.time()
"""


@pytest.fixture
async def street(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[standby.Street]:
    monkeypatch.setattr(standby, "POOLS", tuple(f"pool-{number}" for number in range(40)))
    with tempfile.TemporaryDirectory() as home, RealNats(Path(home)) as server:
        link = NatsLink(NatsLogin(servers=(server.url,)))
        await link.open()
        built = standby.Street(server.url, link)
        await built.build()
        yield built
        await link.close()


def figures(waits: list[float]) -> str:
    ranked = sorted(1000 * each for each in waits)
    p99 = ranked[min(len(ranked) - 1, int(0.99 * len(ranked)))]
    return f"p50 {statistics.median(ranked):.1f} · p99 {p99:.1f} · max {ranked[-1]:.1f} ms"


async def first_line_s(street: standby.Street, pool: str, task: str) -> float:
    headers = {"Nats-Msg-Id": task}
    published = time.time()
    await street.link.jetstream.publish(f"t.{pool}", b"x", headers=headers)
    began = (await street.result(pool, task)).result
    assert isinstance(began, float)
    return began - published


async def bare_s(street: standby.Street) -> float:
    """From publish to delivery, in this process: one pull that waits, and no worker."""
    client, inbox = street.link.client, street.link.client.new_inbox()
    heard = await client.subscribe(inbox)
    pull = json.dumps({"batch": 1, "expires": 5_000_000_000, "group": GROUP, "priority": 0})
    subject = "$JS.API.CONSUMER.MSG.NEXT.TASKS.acme-pool-0"
    await client.publish(subject, pull.encode(), reply=inbox)
    await client.flush()
    began = time.perf_counter()
    await client.publish("t.pool-0", b"x")
    message = await heard.next_msg(5)
    waited = time.perf_counter() - began
    await message.ack_sync()
    await heard.unsubscribe()
    return waited


async def test_publish_to_first_line_beside_the_pools_own_start(
    street: standby.Street, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Targets: p50 ≤ 5 ms, p99 ≤ 50 ms."""
    monkeypatch.setattr(standby, "AGENT", AGENT)
    rng = random.Random(18)
    bare = [await bare_s(street) for _ in range(ROUNDS)]
    async with AsyncExitStack() as stack:
        for number in range(3):
            process = standby.process(tmp_path, street.url, f"spare-{number}")
            await stack.enter_async_context(process)
        for pool in standby.POOLS:
            await street.waits_at(pool, least=3)
        waits = []
        for number in range(ROUNDS):
            waits.append(await first_line_s(street, rng.choice(standby.POOLS), f"one-{number}"))
            await asyncio.sleep(rng.random() / 20)
    print(f"\na bare delivery in the same run: {figures(bare)} (n {ROUNDS})")
    print(f"40 pools, 3 stand by, one message at a time: {figures(waits)} (n {ROUNDS})")
    (tmp_path / "own_agent.py").write_text(AGENT, "utf-8")
    starts = []
    for number in range(OWN_STARTS):
        pool, published = standby.POOLS[number], time.time()
        await street.submit(pool, f"own-{number}")
        queue = f"TASKS/acme-{pool}"
        worker = await worker_process(
            tmp_path, street.url, "own_agent:work", AGENTDASH_POOL=pool, AGENTDASH_QUEUES=queue
        )
        began = (await street.result(pool, f"own-{number}")).result
        assert isinstance(began, float)
        starts.append(began - published)
        worker.kill()
        await worker.wait()
    print(f"the pool's own worker, started for it: {figures(starts)} (n {OWN_STARTS})")


async def test_first_messages_while_those_that_stand_by_are_killed(
    street: standby.Street, tmp_path: Path
) -> None:
    """Target: none lost, none done twice."""
    counts = await standby.killed(street, tmp_path, messages=MESSAGES, kills=MESSAGES // 500)
    print(f"\n{counts}")
