"""The stream that keeps what workers report about the tokens they used."""

from __future__ import annotations

from typing import Final

from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import BadRequestError

from controller.model.jetstream import ErrorCode
from controller.model.usage_event import USAGE_STREAM, USAGE_SUBJECT_PREFIX

KEPT_S: Final = 8 * 86_400.0
"""A week and a day. After a restart a tenant's day is rebuilt from the stream, in any time zone."""


async def ensure_usage_stream(stream: JetStreamContext) -> None:
    """Create the stream for usage events if there is none; one that exists stays as it is.

    Raises nats.js.errors.APIError and nats.errors.Error.
    """
    config = StreamConfig(
        name=USAGE_STREAM,
        subjects=[f"{USAGE_SUBJECT_PREFIX}.>"],
        max_age=KEPT_S,
        description="tokens that agents used, for agentdash's budgets",
    )
    try:
        await stream.add_stream(config)
    except BadRequestError as error:
        if error.err_code != ErrorCode.STREAM_NAME_IN_USE:
            raise
