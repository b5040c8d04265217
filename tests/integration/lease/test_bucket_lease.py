"""What only a lease in a bucket can meet: the whole bucket is gone, or may not be written."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from controller.engine.lead import Elector, WriteRight
from controller.engine.supervise import SystemClock
from controller.model.settings import LeaseRecord, LeaseTimes, NatsSettings
from controller.nats.bucket import Bucket
from controller.nats.session import NatsSession
from controller.nats.state import BucketLease
from controller.ports import StoreMissingError, StoreRefusedError
from support.live import PATIENCE_S, until
from support.nats_server import RealNats

RECORD = LeaseRecord(holder="one", duration_s=15.0, acquired_at=1.7e9, renewed_at=1.7e9)
NO_RIGHT = """
authorization {users: [{user: u, password: p, permissions: {publish: {deny: ["$KV.>"]}}}]}
no_auth_user: u
"""
SHORT = LeaseTimes(duration_s=3.0, renew_deadline_s=2.0, retry_s=0.2)


async def is_stored(bucket: Bucket) -> bool:
    try:
        return await bucket.get("lease") is not None
    except StoreMissingError:
        return False


async def test_a_deleted_bucket_is_made_again_and_the_leader_stays(tmp_path: Path) -> None:
    clock = SystemClock()
    with RealNats(tmp_path / "nats") as server:
        settings = NatsSettings(servers=(server.url,))
        async with NatsSession(settings, clock) as one, NatsSession(settings, clock) as two:
            await until(lambda: one.connected and two.connected)
            rights = [WriteRight(), WriteRight()]
            bucket = Bucket(one, "agentdash")
            electors = [
                Elector(BucketLease(each, Bucket(each, "agentdash")), name, SHORT, right, clock)
                for each, name, right in zip((one, two), ("one", "two"), rights, strict=True)
            ]
            running = [asyncio.create_task(electors[0].run())]
            await until(rights[0].may_write)
            running.append(asyncio.create_task(electors[1].run()))
            await until(lambda: electors[1].view().holder == "one")
            await one.jetstream().delete_stream(bucket.stream)
            async with asyncio.timeout(PATIENCE_S):
                while not await is_stored(bucket):
                    await asyncio.sleep(0.05)
            await until(rights[0].may_write)
            assert not rights[1].may_write()
            for each in running:
                each.cancel()
            await asyncio.wait(running)


async def test_without_the_right_to_write_it_the_words_name_it(tmp_path: Path) -> None:
    clock = SystemClock()
    with RealNats(tmp_path / "nats", NO_RIGHT) as server:
        async with NatsSession(NatsSettings(servers=(server.url,)), clock) as session:
            await until(lambda: session.connected)
            lease = BucketLease(session, Bucket(session, "agentdash"))
            with pytest.raises(StoreRefusedError, match="docs list the rights"):
                await lease.write(replace(RECORD, holder="two"), replaces=None)
