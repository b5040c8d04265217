"""What workers publish about the tokens they used: where, in which form, and what is refused."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Final

import msgspec

from controller.model.text import clean

USAGE_STREAM: Final = "AGENTDASH_USAGE"
"""The stream that keeps usage events; workers know it by the same name."""
SUBJECT_PREFIX: Final = "agentdash.usage"
"""Events are published to `agentdash.usage.TENANT.ROLE`: who may publish for a tenant is so for
the NATS server to say.
"""
MOST_TOKENS: Final = 10**9
"""No task uses more of one kind; a number beyond it is a fault."""
MOST_CALLS: Final = 10**6
LONGEST_TASK_S: Final = 7 * 86_400.0

_SHOWN: Final = 80

Tokens = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]
Calls = Annotated[int, msgspec.Meta(ge=0, le=MOST_CALLS)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=LONGEST_TASK_S)]


class Usage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The tokens of one task by kind, and in how many calls of a model they were used."""

    input: Tokens = 0
    cached_input: Tokens = 0
    output: Tokens = 0
    calls: Calls = 1


class UsageEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One task that was done: `role` is the pool's name, `seconds` how long it held its slot."""

    tenant: str
    role: str
    usage: Usage
    model: str = ""
    seconds: Seconds | None = None


class RefusedEventError(Exception):
    """An event that does not count; the message says why."""


_EVENT: Final = msgspec.json.Decoder(UsageEvent)


def decode_event(subject: str, data: bytes, tenants: Collection[str]) -> UsageEvent:
    """The event of one message. Raises RefusedEventError for what is garbled or absurd, of a tenant
    that the fleet has not, or published for another tenant than its subject names.
    """
    try:
        event = _EVENT.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedEventError(f"on {clean(subject, _SHOWN)}: {clean(error, _SHOWN)}") from None
    if subject != f"{SUBJECT_PREFIX}.{event.tenant}.{event.role}":
        names = f"{clean(event.tenant, _SHOWN)}/{clean(event.role, _SHOWN)}"
        raise RefusedEventError(f"on {clean(subject, _SHOWN)}: it speaks of {names}")
    if event.tenant not in tenants:
        raise RefusedEventError(f"the fleet has no tenant {clean(event.tenant, _SHOWN)}")
    return event
