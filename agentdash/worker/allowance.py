"""Follows what a pool's workers may use, as the controller stores it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec
from nats import errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.errors import NotFoundError

from agentdash.worker.link import NatsLink, end
from agentdash.worker.settings import WorkerSettings
from agentdash.worker.streams import bucket
from controller.model.decoding import UndecodableError, decoded
from controller.model.text import clean
from controller.model.worker_messages import (
    ALLOWANCES_BUCKET,
    REPORT_S,
    PoolAllowance,
    orders_key,
)

log = logging.getLogger(__name__)

_ALLOWANCE: Final = msgspec.json.Decoder(PoolAllowance)


class AllowanceWatch:
    """Gives each allowance to `heed`. Without one, and while NATS is away, the last one holds."""

    def __init__(
        self, link: NatsLink, settings: WorkerSettings, heed: Callable[[PoolAllowance], None]
    ) -> None:
        self._link, self._heed = link, heed
        self._bucket = bucket(link.jetstream, ALLOWANCES_BUCKET)
        self._key = orders_key(settings.tenant, settings.pool)
        self._subscription: Subscription | None = None

    async def begin(self) -> None:
        """Listen, then read what is stored. Raises nats.errors.Error."""
        if self._subscription is None:
            subject = f"$KV.{ALLOWANCES_BUCKET}.{self._key}"
            self._subscription = await self._link.client.subscribe(subject, cb=self._on_change)
        await self._read()

    async def end(self) -> None:
        """Listen no more: others may use the connection."""
        await end(self._subscription)

    async def run(self) -> None:
        """Read it now and then, because a message may get lost; until cancelled."""
        while True:
            await asyncio.sleep(REPORT_S)
            try:
                await self._read()
            except errors.Error as error:
                log.warning("what the pool may use could not be read: %s", clean(error))

    async def _read(self) -> None:
        try:
            entry = await self._bucket.get(self._key)
        except NotFoundError:  # no controller has ever told it
            return
        self._take(entry.value or b"")

    async def _on_change(self, message: Msg) -> None:
        self._take(message.data)

    def _take(self, value: bytes) -> None:
        if not value:
            return  # a marker that it was removed
        try:
            allowance = decoded(_ALLOWANCE, value)
        except UndecodableError as error:
            log.warning("what the pool may use cannot be read and is ignored: %s", error)
            return
        self._heed(allowance)
