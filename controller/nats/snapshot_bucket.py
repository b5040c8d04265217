"""The last snapshot of a fleet's leader in a bucket, for who looks while no controller runs.

Its parts are those of a whole snapshot as it is published; see snapshot_frames.py and parted.py.
Histories are not among them: they are kept with the past (past.py), and put in when it is read.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from msgspec.structs import replace

from controller.model.history import History
from controller.model.ids import PoolKey
from controller.model.ranges import MOMENT
from controller.model.snapshot import Snapshot
from controller.nats.bucket import Bucket
from controller.nats.parted import PART_BYTES, PartedValue
from controller.nats.past import PastBucket
from controller.nats.snapshot_frames import Assembly, FrameError, frames, read_part
from controller.ports.stores import StoreError, StoreUnreadableError
from controller.record.snapshot_changes import MissedSnapshotError, changed, whole
from controller.record.snapshot_version import OtherVersionError

log = logging.getLogger(__name__)

FORMAT: Final = 1
MOST_KEPT_BYTES: Final = 16 * 2**20
"""Compressed; 10,000 pools have about 1 MB."""
_NAME: Final = "snapshot"


class SnapshotBucket:
    """Loads and saves the last snapshot; one save at a time."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._value = PartedValue(bucket, _NAME, version=FORMAT)

    async def load(self) -> Snapshot | None:
        """The last one that was saved, without histories; None if there is none.

        Raises StoreUnreadableError for what is damaged or was written by another version;
        StoreError.
        """
        found = await self._value.load()
        if found is None:
            return None
        assembly, change = Assembly(), None
        try:
            for part in found.parts:
                change = assembly.add(read_part(part))
            if change is None:
                raise StoreUnreadableError("parts of it are missing")
            snapshot = changed(None, change)
        except (FrameError, MissedSnapshotError, OtherVersionError) as error:
            raise StoreUnreadableError(str(error)) from None
        if not (MOMENT.admits(snapshot.at) and MOMENT.admits(snapshot.epoch)):
            raise StoreUnreadableError("its time is none")
        return snapshot

    async def save(self, snapshot: Snapshot) -> None:
        """Replace what was saved, all of it or nothing. Raises StoreError, also for a snapshot
        larger than `MOST_KEPT_BYTES`.
        """
        plain = replace(snapshot, histories={}, tenant_histories={})
        most = min(PART_BYTES, self._bucket.most_value_bytes())
        try:
            # beside the ticks: of 10,000 pools it takes a part of a second
            parts = await asyncio.to_thread(frames, whole(plain), most)
        except FrameError as error:
            raise StoreError(str(error)) from None
        if (size := sum(map(len, parts))) > MOST_KEPT_BYTES:
            raise StoreError(f"it has {size:,} bytes, more than the {MOST_KEPT_BYTES:,} kept")
        await self._value.save(parts, snapshot.at)


async def recall_snapshot(bucket: Bucket) -> Snapshot | None:
    """The last snapshot that a leader has saved, `recalled` and with its histories as far as they
    can be read; None if there is none. Raises StoreError.
    """
    snapshot = await SnapshotBucket(bucket).load()
    if snapshot is None:
        return None
    histories: dict[PoolKey, History] = {}
    of_tenants: dict[str, History] = {}
    try:
        for part in await PastBucket(bucket).load():
            histories.update(part.histories)
            of_tenants.update(part.tenant_histories)
    except StoreError as error:
        log.debug("the last snapshot is shown without histories: %s", error)
    return replace(
        snapshot, attached=True, recalled=True, histories=histories, tenant_histories=of_tenants
    )
