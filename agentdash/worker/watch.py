"""A thread beside a worker's event loop, which no agent can block. It serves metrics and health.

While an async agent holds the loop (`time.sleep`, a slow library), it says where, and tells
JetStream and the controller over a connection of its own that the work goes on: so the task is not
delivered again, and the worker is not taken for gone.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from nats import errors
from nats.aio.msg import Msg

from agentdash.worker.plain import answer_to
from agentdash.worker.settings import NatsLogin
from agentdash.worker.stores import NatsLink, bucket, newest, set_within
from controller.model.text import clean
from controller.model.worker_messages import REPORT_S, WORKERS_BUCKET

log = logging.getLogger(__name__)

BLOCKED_S: Final = 1.0
"""A loop that does not turn for so long is blocked."""
_LOOK_S: Final = 0.25
_LIBRARIES: Final = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"))


class LoopWatch:
    """The thread beside the event loop, while the block runs; it is begun on that loop.

    `serve` serves metrics and health. With a `login`, it keeps alive what the blocked loop cannot:
    `kept` are the messages under way whose time is not over, `beat_s` is how often JetStream must
    hear of them, and `state` is the worker's state by its key. `after` hears for how many seconds
    the loop was blocked, on the loop and before anything that came meanwhile.
    """

    def __init__(
        self,
        *,
        serve: Callable[[], AbstractAsyncContextManager[object]],
        login: NatsLogin | None,
        kept: Callable[[], Sequence[tuple[str, Msg]]],
        beat_s: Callable[[], float],
        state: Callable[[], tuple[str, bytes]],
        after: Callable[[float], None],
    ) -> None:
        self._serve, self._login = serve, login
        self._kept, self._beat_s, self._state, self._after = kept, beat_s, state, after
        self._asked_at: float | None = None
        self.where = ""
        """What holds the loop, while it is blocked: `agents.py:12 in research`."""

    @property
    def blocked_s(self) -> float:
        """For how long the loop has not turned; 0 while it does."""
        return self._silent_s if self._silent_s >= BLOCKED_S else 0.0

    @property
    def _silent_s(self) -> float:
        asked_at = self._asked_at  # the loop may answer meanwhile
        return 0.0 if asked_at is None else time.monotonic() - asked_at

    async def __aenter__(self) -> None:
        """Raises what `serve` raises."""
        self._loop, self._ident = asyncio.get_running_loop(), threading.get_ident()
        self._begun: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        threading.Thread(target=self._run, name="beside the event loop", daemon=True).start()
        await self._begun

    async def __aexit__(self, *_: object) -> None:
        self._own_loop.call_soon_threadsafe(self._stop.set)
        await self._ended

    def _run(self) -> None:
        answer_to(self._loop, lambda: asyncio.run(self._main()), self._ended)

    async def _main(self) -> None:
        self._own_loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            serving = self._serve()
            await serving.__aenter__()
        except Exception as error:  # noqa: BLE001 - it is raised where the block begins
            self._loop.call_soon_threadsafe(self._begun.set_exception, error)
            return
        self._loop.call_soon_threadsafe(self._begun.set_result, None)
        helping: asyncio.Task[None] | None = None
        while not self._stop.is_set():
            looks_at = time.monotonic() + _LOOK_S
            if self._asked_at is None:
                self._asked_at = time.monotonic()
                self._loop.call_soon_threadsafe(self._turned)
            await set_within(self._stop, _LOOK_S)
            silent_s = self._silent_s
            if time.monotonic() - looks_at > BLOCKED_S / 2:
                continue  # the whole process was held
            if silent_s >= BLOCKED_S and not self.where:
                self._tell()
            if helping is None and self._login and silent_s >= min(BLOCKED_S, self._beat_s()):
                helping = asyncio.create_task(self._help(self._login))
            elif helping is not None and not silent_s:
                helping.cancel()
                helping = None
        await serving.__aexit__(None, None, None)

    def _turned(self) -> None:
        """The loop turns: this is the first that it does after it was blocked."""
        seconds = time.monotonic() - (self._asked_at or 0.0)
        self._asked_at = None
        if self.where:
            log.warning("the event loop turns again after %.1f s", seconds)
            self.where = ""
        self._after(seconds)

    def _tell(self) -> None:
        frame = sys._current_frames().get(self._ident)  # noqa: SLF001 - the documented way
        stack = traceback.extract_stack(frame)
        own = [each for each in stack if not each.filename.startswith(_LIBRARIES)] or stack
        self.where = f"{own[-1].filename.rpartition('/')[2]}:{own[-1].lineno} in {own[-1].name}"
        log.error(
            "an agent blocks the event loop, so no other task of this worker goes on: %s; make it "
            "a plain function, which works in a thread of its own, or call asyncio.to_thread",
            self.where,
            extra={
                "tasks": ", ".join(task for task, _ in self._kept()),
                "stack": "".join(traceback.format_list(stack)[-12:]),
            },
        )

    async def _help(self, login: NatsLogin) -> None:
        """Say in the loop's place that the work goes on, until cancelled."""
        link = NatsLink(login, name="agentdash worker whose event loop is blocked")
        states, state_at = bucket(link.jetstream, WORKERS_BUCKET), 0.0
        try:
            await link.open()
            while True:
                try:
                    for _, message in self._kept():
                        await link.client.publish(message.reply, b"+WPI")
                    if time.monotonic() >= state_at:
                        state_at = time.monotonic() + REPORT_S
                        key, state = self._state()
                        _, revision = await newest(states, key)
                        if self._silent_s:  # else the loop has said something newer
                            await states.update(key, state, last=revision)
                except errors.Error as error:
                    log.warning("a blocked worker could not say that it lives: %s", clean(error))
                await asyncio.sleep(self._beat_s())
        finally:
            await link.close()
