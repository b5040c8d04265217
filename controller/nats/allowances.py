"""What the workers of each pool may use, stored in a bucket that they listen to."""

from __future__ import annotations

import msgspec

from controller.model.fleet import Fleet
from controller.model.ids import PoolKey
from controller.model.worker_messages import ALLOWANCES_BUCKET, PoolAllowance, orders_key
from controller.nats.bucket import Bucket
from controller.nats.session import NatsSession
from controller.ports import StoreConflictError, StoreMissingError


class AllowanceBucket:
    """The `AllowanceStore` port. The bucket is created where there is none.

    A write cannot find out: workers listen to the subject, so the server takes the message as
    delivered, and without a stream there is no answer. Reading can, so it comes first.
    """

    def __init__(self, session: NatsSession, fleet: Fleet) -> None:
        self._bucket = Bucket(session, ALLOWANCES_BUCKET, history=1)
        self._keys = {pool.key: orders_key(pool.tenant, pool.name) for pool in fleet.pools}
        self._revisions: dict[PoolKey, int] = {}

    async def allow(self, pool: PoolKey, allowance: PoolAllowance) -> None:
        """Store a pool's allowance, in place of whatever is stored. Raises StoreError."""
        value = msgspec.json.encode(allowance)
        # forgotten until the write has succeeded: after a failure it is read again
        revision = self._revisions.pop(pool, None)
        if revision is None:
            revision, stored = await self._newest(pool)
            if stored == value:  # by the controller before
                self._revisions[pool] = revision
                return
        try:
            revision = await self._put(pool, value, revision)
        except StoreConflictError:
            # another controller has led meanwhile
            revision = await self._put(pool, value, (await self._newest(pool))[0])
        self._revisions[pool] = revision

    async def _put(self, pool: PoolKey, value: bytes, revision: int) -> int:
        return await self._bucket.put(self._keys[pool], value, expected=revision)

    async def _newest(self, pool: PoolKey) -> tuple[int, bytes]:
        """The newest revision, and what it stored."""
        try:
            entry = await self._bucket.get(self._keys[pool])
        except StoreMissingError:
            await self._bucket.create()
            return 0, b""
        return (0, b"") if entry is None else (entry.revision, entry.value)
