"""What a worker publishes about the tokens it used, and the stream that keeps it."""

from __future__ import annotations

from typing import Final

import msgspec
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import BadRequestError

USAGE_STREAM: Final = "AGENTDASH_USAGE"
"""The controller reads it by this name; it never makes it."""
SUBJECT_PREFIX: Final = "agentdash.usage"
KEPT_S: Final = 8 * 86_400.0
"""A week and a day: a tenant's day is rebuilt from it after a restart, wherever its midnight is."""
_NAME_IN_USE: Final = 10058


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens one task used, by kind, and in how many calls of a model."""

    input: int = 0
    cached_input: int = 0
    output: int = 0
    calls: int = 1


class UsageEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What is published for each task that was done; `role` is the pool's name, `seconds` how long
    the task held its slot.
    """

    tenant: str
    role: str
    model: str
    usage: Usage
    seconds: float


def usage_subject(tenant: str, role: str) -> str:
    """Where a tenant's workers of one role publish: one subject each, so that the NATS server can
    hold a worker to its own tenant.
    """
    return f"{SUBJECT_PREFIX}.{tenant}.{role}"


async def ensure_usage_stream(stream: JetStreamContext) -> None:
    """Make the stream for usage events if there is none; one that exists stays as it is.

    Raises nats.js.errors.APIError and nats.errors.Error.
    """
    config = StreamConfig(
        name=USAGE_STREAM,
        subjects=[f"{SUBJECT_PREFIX}.>"],
        max_age=KEPT_S,
        description="tokens that agents used, for agentdash's budgets",
    )
    try:
        await stream.add_stream(config)
    except BadRequestError as error:
        if error.err_code != _NAME_IN_USE:
            raise
