"""Usage events as they come from the stream: decoded, or refused with a reason."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from controller.model.decoding import UndecodableError, decoded
from controller.model.text import clean
from controller.model.usage_event import UsageEvent, usage_subject

_SHOWN: Final = 80
_MOST_EVENT_BYTES: Final = 64 * 1024


class RefusedEventError(Exception):
    """An event that does not count; the message says why."""


_EVENT: Final = msgspec.json.Decoder(UsageEvent)


def decode_event(subject: str, data: bytes, tenants: Collection[str]) -> UsageEvent:
    """The event of one message. Raises RefusedEventError for an event that is garbled or absurd,
    whose tenant is not in the fleet, or that names another tenant or role than its subject.
    """
    try:
        event = decoded(_EVENT, data, most_bytes=_MOST_EVENT_BYTES)
    except UndecodableError as error:
        raise RefusedEventError(f"on {clean(subject, _SHOWN)}: {clean(error, _SHOWN)}") from None
    if subject != usage_subject(event.tenant, event.role):
        names = f"{clean(event.tenant, _SHOWN)}/{clean(event.role, _SHOWN)}"
        raise RefusedEventError(f"on {clean(subject, _SHOWN)}: it names {names}")
    if event.tenant not in tenants:
        raise RefusedEventError(f"the fleet has no tenant {clean(event.tenant, _SHOWN)}")
    return event
