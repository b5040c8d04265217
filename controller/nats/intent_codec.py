"""Intents as entries of a bucket: the key says what and for which scope, the value the rest.

intent.pin.TENANT.POOL
intent.pause.TENANT.POOL     intent.pause.TENANT     intent.pause
intent.freeze.TENANT.POOL    intent.freeze.TENANT    intent.freeze
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from controller.model.ids import dns_label, pool_key
from controller.model.intents import Freeze, Pause, Pin, Scope
from controller.model.limits import INT32_MAX
from controller.model.text import clean
from controller.model.value import Value

PREFIX: Final = "intent"
UNREADABLE: Final = "its value cannot be read"

Intent: TypeAlias = Pin | Pause | Freeze


class IntentKind(StrEnum):
    """What an intent asks for."""

    PIN = "pin"
    PAUSE = "pause"
    FREEZE = "freeze"


class IntentKey(NamedTuple):
    """What a key stands for."""

    kind: IntentKind
    scope: Scope


class IntentBody(Value):
    """An intent's value as it is stored."""

    version: Literal[1]
    who: str = ""
    why: str = ""
    until: float | None = None
    replicas: int | None = None
    keep: int | None = None


_BODY: Final = msgspec.json.Decoder(IntentBody)


def key_of(intent: Intent) -> IntentKey:
    """What an intent asks for, and for which scope."""
    match intent:
        case Pin():
            return IntentKey(IntentKind.PIN, Scope(pool=intent.pool))
        case Pause():
            return IntentKey(IntentKind.PAUSE, intent.scope)
        case Freeze():
            return IntentKey(IntentKind.FREEZE, intent.scope)


def parse_key(key: str) -> IntentKey:
    """What a key of the bucket stands for. Raises ValueError."""
    prefix, _, rest = key.partition(".")
    word, *names = rest.split(".")
    if prefix != PREFIX or word not in list(IntentKind) or len(names) > 2:
        raise ValueError("stands for no intent")
    kind = IntentKind(word)
    checked = [dns_label(name) for name in names]
    if kind is IntentKind.PIN and len(checked) != 2:
        raise ValueError("only a pool can be pinned")
    if len(checked) == 2:
        return IntentKey(kind, Scope(pool=pool_key(checked[0], checked[1])))
    return IntentKey(kind, Scope(tenant=checked[0] if checked else None))


def decode_intent(key: IntentKey, value: bytes) -> Intent:
    """The intent that a value states, its texts cleaned. Raises ValueError."""
    try:
        body = _BODY.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{UNREADABLE}: {clean(error, 120)}") from None
    who, why, until = clean(body.who), clean(body.why), body.until
    for count in (body.replicas, body.keep):
        if count is not None and not 0 <= count <= INT32_MAX:
            raise ValueError(f"{UNREADABLE}: {count} replicas")
    match key.kind:
        case IntentKind.PIN if key.scope.pool is not None and body.replicas is not None:
            return Pin(pool=key.scope.pool, replicas=body.replicas, until=until, who=who, why=why)
        case IntentKind.PIN:
            raise ValueError(f"{UNREADABLE}: a pin without replicas")
        case IntentKind.PAUSE:
            return Pause(scope=key.scope, keep=body.keep, until=until, who=who, why=why)
        case IntentKind.FREEZE:
            return Freeze(scope=key.scope, until=until, who=who, why=why)
