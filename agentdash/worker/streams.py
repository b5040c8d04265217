"""The streams and buckets that workers keep things in.

Each is created where there is none. One that exists stays as it is, so that an administrator may
set replicas and limits beforehand.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Final

from nats import errors
from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig, ObjectStoreConfig, StorageType, StreamConfig
from nats.js.errors import BadRequestError
from nats.js.kv import KeyValue

from agentdash.worker.results import RESULTS_BUCKET
from controller.model.servers import ErrorCode
from controller.model.worker_messages import (
    GONE_AFTER_S,
    ORDERS_BUCKET,
    USAGE_STREAM,
    USAGE_SUBJECT_PREFIX,
    WORKERS_BUCKET,
)

log = logging.getLogger(__name__)

DEAD_STREAM: Final = "AGENTDASH_DEAD"
DEAD_PREFIX: Final = "agentdash.dead"
TRIES_BUCKET: Final = "agentdash_handed_back"
"""How often a message was tried. Its name is from when it counted what was handed back."""
EXHAUSTED_STREAM: Final = "AGENTDASH_EXHAUSTED"
EXHAUSTED_PREFIX: Final = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES"
"""Where JetStream tells that it delivers a message no more, before stream and consumer."""
USAGE_KEPT_S: Final = 8 * 86_400.0
"""A week and a day. After a restart a tenant's day is rebuilt from the stream, in any time zone."""
CHECKPOINTS_KEPT_S: Final = 7 * 86_400.0
DEAD_KEPT_S: Final = 30 * 86_400.0


async def ensure_usage_stream(stream: JetStreamContext) -> None:
    """Create the stream for usage events if there is none.

    Raises nats.js.errors.APIError and nats.errors.Error.
    """
    await _ensure(
        stream,
        StreamConfig(
            name=USAGE_STREAM,
            subjects=[f"{USAGE_SUBJECT_PREFIX}.>"],
            max_age=USAGE_KEPT_S,
            description="tokens that agents used, for agentdash's budgets",
        ),
    )


def checkpoints_bucket(tenant: str) -> str:
    """The object store of a tenant's checkpoints. The names of objects are hashes in their
    subjects, so that rights can only be given on a whole store.
    """
    return f"agentdash_checkpoints_{tenant}"


async def ensure_worker_streams(
    stream: JetStreamContext, tenant: str, *, result_ttl_s: float
) -> None:
    """Create what a tenant's worker needs besides its queues. `result_ttl_s` is how long results
    are kept, if this worker is the one that creates their bucket. Raises nats.errors.Error.
    """
    dead = StreamConfig(
        name=DEAD_STREAM,
        subjects=[f"{DEAD_PREFIX}.>"],
        max_age=DEAD_KEPT_S,
        description="tasks that cannot be done, with the reason",
    )
    await asyncio.gather(
        _ensure(stream, dead),
        _ensure_bucket(stream, KeyValueConfig(bucket=RESULTS_BUCKET, ttl=result_ttl_s)),
        _ensure_bucket(stream, KeyValueConfig(bucket=TRIES_BUCKET, ttl=CHECKPOINTS_KEPT_S)),
        _ensure_bucket(stream, KeyValueConfig(bucket=ORDERS_BUCKET)),
        ensure_workers_bucket(stream),
        _ensure_checkpoints(stream, checkpoints_bucket(tenant)),
    )


async def ensure_exhausted_stream(stream: JetStreamContext) -> None:
    """Create the stream that keeps what JetStream tells of messages that it delivers no more.

    Raises nats.errors.Error.
    """
    config = StreamConfig(
        name=EXHAUSTED_STREAM,
        subjects=[f"{EXHAUSTED_PREFIX}.>"],
        max_age=DEAD_KEPT_S,
        description="messages that their consumers deliver no more (max_deliver)",
    )
    await _ensure(stream, config)


async def ensure_workers_bucket(stream: JetStreamContext) -> None:
    """Create the bucket of the workers' states, which a server forgets when it restarts. Raises
    nats.errors.Error.
    """
    config = KeyValueConfig(bucket=WORKERS_BUCKET, ttl=GONE_AFTER_S, storage=StorageType.MEMORY)
    await _ensure_bucket(stream, config)


def bucket(stream: JetStreamContext, name: str) -> KeyValue:
    """A bucket whose values are read from its stream's leader, and so never out of date."""
    return KeyValue(name=name, stream=f"KV_{name}", pre=f"$KV.{name}.", js=stream, direct=False)


async def _ensure(stream: JetStreamContext, config: StreamConfig) -> None:
    await _exists(stream.add_stream(config), config.name or "")


async def _ensure_bucket(stream: JetStreamContext, config: KeyValueConfig) -> None:
    await _exists(stream.create_key_value(config), config.bucket)


async def _ensure_checkpoints(stream: JetStreamContext, name: str) -> None:
    config = ObjectStoreConfig(ttl=CHECKPOINTS_KEPT_S, description="where agents' tasks go on from")
    await _exists(stream.create_object_store(name, config), name)


async def _exists(creating: Awaitable[object], name: str) -> None:
    try:
        await creating
    except BadRequestError as error:
        if error.err_code != ErrorCode.STREAM_NAME_IN_USE:
            raise
    except errors.TimeoutError:
        # the server does not answer what our user may not ask
        log.warning("%s cannot be created, perhaps our NATS user may not: is it there?", name)
