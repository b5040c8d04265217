"""The permissions that the README lists are enough for everything that the controller does."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import msgspec
import pytest

from controller.engine.supervise import SystemClock
from controller.model.fleet import Pool
from controller.model.ids import PoolKey
from controller.model.intents import IntentKind, Operator
from controller.model.observation import WakeWatch
from controller.model.readings import Fresh
from controller.model.worker_messages import WORKERS_BUCKET, PoolOrders, WorkerState
from controller.nats.bucket import Bucket
from controller.nats.desk import BucketDesk
from controller.nats.lag import QueueReader
from controller.nats.session import NatsSession
from controller.nats.state import MemoryBucket, read_stored_state
from controller.nats.usage import TokenUsageSource
from controller.nats.wake import WakeSubscriptions
from controller.nats.workers import WorkerBuckets
from support.asked import a_pin
from support.world import make_fleet, make_pool
from tests.integration.nats.conftest import Connect, Until
from tests.integration.nats.kept import NOW, Limited, bucket, following, memory
from tests.support.intent_desk import IntentDesk
from tests.unit.nats.fake_nats import pool
from tests.unit.nats.usage_world import event, fleet, tenant

PAGES = Path(__file__).parents[3] / "docs/pages"


def subjects_of_the_readme() -> list[str]:
    """What the table after "The NATS user needs" allows to publish."""
    text = (
        (PAGES / "on-a-cluster.md")
        .read_text("utf-8")
        .partition("The NATS user needs")[2]
        .partition("\n\nA tenant")[0]
    )
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    found = [subject for row in rows for subject in re.findall(r"`(\$[^`]+)`", row)]
    assert len(found) > 10, "the table has moved"
    return found


async def sees(session: NatsSession, one: Pool) -> bool:
    queues = QueueReader(session, SystemClock(), timeout_s=5.0)
    assert isinstance((await queues.read([one]))[one.key], Fresh)
    wakes = WakeSubscriptions(session, SystemClock(), queues.filters)
    await wakes.watch([one])
    return wakes.state(one.key) == (WakeWatch.ARMED, "")


async def test_a_user_with_the_rights_of_the_readme_lacks_none(
    directory: Path, connect: Connect, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    rights = {"allow": subjects_of_the_readme()}
    with Limited(directory, rights, ["_INBOX.>", "work.>"]) as server:
        free, half = await connect(server.url), await connect(server.half)
        js = free.jetstream(timeout_s=5.0)
        await js.add_stream(name="WORK", subjects=["work.>"])
        await js.add_consumer("WORK", durable_name="a", filter_subject="work.a")
        await js.add_stream(name="AGENTDASH_USAGE", subjects=["agentdash.usage.>"])
        assert await sees(half, pool("a"))

        await MemoryBucket(bucket(half)).save(memory(), NOW)
        await MemoryBucket(bucket(half)).save(memory(replicas=4), NOW)
        stored = await read_stored_state(bucket(half), with_memory=True, timeout_s=5.0)
        assert stored.saved_memory is not None
        assert (stored.memory_problem, stored.intent_problems) == ("", ())

        async with following(half, bucket(half)) as seen:
            await seen.board.first_read()
            desk = IntentDesk(bucket(free))
            await desk.put(a_pin(pool="acme/a", replicas=1), replaces=None)
            await until(lambda: seen.board.stored().intents.of(IntentKind.PIN))
            [consumer] = await js.consumers_info("KV_agentdash")
            assert consumer.name.startswith("agentdash-")

        crews = WorkerBuckets(half, SystemClock(), make_fleet(make_pool()))
        worker = WorkerState(worker="pod-1", slots=1, busy=0, pulling=True)
        states = Bucket(free, WORKERS_BUCKET)
        await states.put("acme.research.pod-1", msgspec.json.encode(worker), expected=0)
        async with crews.following():
            await until(lambda: crews.read(PoolKey("acme/research")) is not None)
            await crews.first_read(5.0)
            await crews.tell(PoolKey("acme/research"), PoolOrders(drain=("pod-1", "pod-2")))
            reading = crews.read(PoolKey("acme/research"))
            assert isinstance(reading, Fresh)
            assert (reading.value.states, reading.value.silent) == ((worker,), ("pod-2",))

        source = TokenUsageSource(half, SystemClock(), fleet(tenant()))
        async with source.reading():
            await js.publish(*event(input=5))
            await until(lambda: used(source) == 5)
    assert "may not" not in caplog.text


async def test_an_operator_with_the_rights_of_the_readme_lacks_none(
    directory: Path, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    needed = (PAGES / "operating.md").read_text("utf-8").partition("To operate, of the")[2]
    subjects = re.findall(r"`(\$[^`]+)`", needed.partition(";")[0])
    assert len(subjects) == 3, "the paragraph has moved"
    caplog.set_level(logging.DEBUG)
    with Limited(directory, {"allow": subjects}) as server:
        await bucket(await connect(server.url)).create()
        kv = bucket(await connect(server.half))
        desk = BucketDesk(kv, Operator(who="ann@desk"))
        done = await desk.put(a_pin(pool="acme/a", replicas=1), replaces=None)
        again = await desk.withdraw(
            a_pin(pool="acme/a", replicas=1).key, replaces=done.revision, why=""
        )
        await desk.undo(again)
        assert len(await desk.standing()) == 1
        assert len((await desk.audit()).changes) == 3
    assert "may not" not in caplog.text


def used(source: TokenUsageSource) -> object:
    reading = source.read(lambda _: 0)["acme"]
    return reading.value.used if isinstance(reading, Fresh) else None
