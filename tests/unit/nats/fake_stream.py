"""A stream of usage events that a test plays, message by message."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from nats.aio.msg import Msg

from controller.model.worker_messages import USAGE_STREAM
from tests.support.world import settle
from tests.unit.nats.fake_nats import CREATED, Answer, FakeNats, api_error, stream_answer

STREAM = USAGE_STREAM
SINCE = 1_800_000_000.0


def status(code: str, words: str = "", *, last: str | None = None) -> Msg:
    headers = {"Status": code, "Description": words}
    if last is not None:
        headers["Nats-Last-Consumer"] = last
    return Msg(_client=None, headers=headers)  # type: ignore[arg-type]


def stored(sequence: int, number: int, pending: int = 0) -> Msg:
    reply = f"$JS.ACK.{STREAM}.c.1.{sequence}.{number}.{int(SINCE)}500000000.{pending}"
    data = str(sequence).encode()
    return Msg(_client=None, subject="used.x", reply=reply, data=data)  # type: ignore[arg-type]


class Server(FakeNats):
    """A stream as a test sets it. `pulls` counts the pulls that were sent, `beginnings` says where
    each consumer began, `deleted` counts the consumers that were deleted.
    """

    def __init__(self, name: str = STREAM) -> None:
        super().__init__(self._answer)
        self.name = name
        self.info: dict[str, Any] = {"first_seq": 1, "last_seq": 0, "messages": 0}
        self.created = CREATED
        self.missing = False
        self.pending = 0
        self.pulls = 0
        self.deleted = 0
        self.beginnings: list[dict[str, Any]] = []
        self.deliver: Callable[[Msg | None], None] | None = None

    def _answer(self, subject: str, payload: dict[str, Any]) -> Answer | None:
        if self.missing:
            return api_error(10059, "stream not found")
        if ".STREAM.INFO." in subject:
            return stream_answer(created=self.created, state=self.info)
        if ".CONSUMER.DELETE." in subject:
            self.deleted += 1
            return {"success": True}
        config = payload["config"]
        self.beginnings.append(
            {key: value for key, value in config.items() if key.startswith("opt")}
        )
        return {
            "stream_name": self.name,
            "name": "c",
            "created": CREATED,
            "config": config,
            "num_pending": self.pending,
        }

    async def deliver_to(self, on_message: Callable[[Msg | None], None]) -> Any:
        self.deliver = on_message

        async def end() -> None:
            self.deliver = None

        return SimpleNamespace(subject="_INBOX.d", end=end)

    async def send(self, subject: str, payload: bytes, reply: str) -> None:
        assert subject == f"$JS.API.CONSUMER.MSG.NEXT.{self.name}.c"
        assert reply == "_INBOX.d"
        assert json.loads(payload)["batch"] > 0
        self.pulls += 1

    async def delivers(self, *messages: Msg | None) -> None:
        assert self.deliver is not None, "nothing is read"
        for message in messages:
            self.deliver(message)
        await settle()
