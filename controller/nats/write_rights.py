"""Whether our NATS user may write intents, asked with every connection before anybody needs it."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from controller.nats.bucket import Bucket
from controller.nats.session import NatsSession
from controller.ports.stores import StoreError

log = logging.getLogger(__name__)

PROBE: Final = "intent.may-we-write"
"""It stands for no intent, and the server takes nothing for it: see Bucket.may_write."""


class WriteRights:
    """`refused` is False until the server has said no."""

    def __init__(self, session: NatsSession, bucket: Bucket) -> None:
        self._bucket = bucket
        self._connected = asyncio.Event()
        self._connected.set()  # the session may be connected already
        self.refused = False
        session.on_connected(self._connected.set)

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self._connected.wait()
            self._connected.clear()
            try:
                self.refused = not await self._bucket.may_write(PROBE)
            except StoreError as error:
                log.debug("whether intents may be written is not known: %s", error)
