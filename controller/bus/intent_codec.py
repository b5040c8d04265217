"""Intents as keys and values of a bucket: the key says what and for whom, the value the rest.

intent.pin.TENANT.POOL
intent.pause.TENANT.POOL     intent.pause.TENANT     intent.pause
intent.freeze.TENANT.POOL    intent.freeze.TENANT    intent.freeze
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal, NamedTuple

import msgspec

from controller.bus.kv import Entry
from controller.model.ids import dns_label, pool_key
from controller.model.intents import Freeze, Pause, Pin, Scope
from controller.model.text import clean
from controller.model.value import Value

PREFIX: Final = "intent"
VERSION: Final = 1
REPLICAS_LIMIT: Final = 2**31 - 1
UNREADABLE: Final = "what is written there cannot be read"

Intent = Pin | Pause | Freeze


class Kind(StrEnum):
    """What an intent asks for."""

    PIN = "pin"
    PAUSE = "pause"
    FREEZE = "freeze"


class Place(NamedTuple):
    """What a key stands for."""

    kind: Kind
    scope: Scope


class StoredIntent(Value):
    """An intent as it is kept: what the next writer must name as replaced, and when it came."""

    intent: Intent
    revision: int
    at: float


class Withdrawal(Value):
    """What is left where an intent was: who took it away and why."""

    who: str = ""
    why: str = ""


class _Body(Value):
    version: Literal[1]
    who: str = ""
    why: str = ""
    until: float | None = None
    replicas: int | None = None
    keep: int | None = None


_BODY: Final = msgspec.json.Decoder(_Body)
_WITHDRAWAL: Final = msgspec.json.Decoder(Withdrawal)


def place_of(intent: Intent) -> Place:
    """What an intent asks for, and for whom."""
    match intent:
        case Pin():
            return Place(Kind.PIN, Scope(pool=intent.pool))
        case Pause():
            return Place(Kind.PAUSE, intent.scope)
        case Freeze():
            return Place(Kind.FREEZE, intent.scope)


def key_of(place: Place) -> str:
    """The place's key. Raises ValueError for names that would leave it, and a pin of no pool."""
    kind, scope = place
    if scope.pool is not None:
        tenant, _, name = scope.pool.partition("/")
        names = [tenant, name]
    elif kind is Kind.PIN:
        raise ValueError("only a pool can be pinned")
    else:
        names = [] if scope.tenant is None else [scope.tenant]
    return ".".join([PREFIX, kind, *map(dns_label, names)])


def place_at(key: str) -> Place:
    """What the key stands for. Raises ValueError."""
    prefix, _, rest = key.partition(".")
    word, *names = rest.split(".")
    if prefix != PREFIX or word not in list(Kind) or len(names) > 2:
        raise ValueError("stands for no intent")
    kind = Kind(word)
    checked = [dns_label(name) for name in names]
    if kind is Kind.PIN and len(checked) != 2:
        raise ValueError("only a pool can be pinned")
    if len(checked) == 2:
        return Place(kind, Scope(pool=pool_key(checked[0], checked[1])))
    return Place(kind, Scope(tenant=checked[0] if checked else None))


def encode_intent(intent: Intent) -> bytes:
    """The value to write."""
    return msgspec.json.encode(
        _Body(
            version=VERSION,
            who=intent.who,
            why=intent.why,
            until=intent.until,
            replicas=intent.replicas if isinstance(intent, Pin) else None,
            keep=intent.keep if isinstance(intent, Pause) else None,
        )
    )


def decode_intent(place: Place, value: bytes) -> Intent:
    """The intent a value states, its texts cleaned. Raises ValueError."""
    try:
        body = _BODY.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{UNREADABLE}: {clean(error, 120)}") from None
    who, why, until = clean(body.who), clean(body.why), body.until
    for count in (body.replicas, body.keep):
        if count is not None and not 0 <= count <= REPLICAS_LIMIT:
            raise ValueError(f"{UNREADABLE}: {count} replicas")
    match place.kind:
        case Kind.PIN if place.scope.pool is not None and body.replicas is not None:
            return Pin(pool=place.scope.pool, replicas=body.replicas, until=until, who=who, why=why)
        case Kind.PIN:
            raise ValueError(f"{UNREADABLE}: a pin without replicas")
        case Kind.PAUSE:
            return Pause(scope=place.scope, keep=body.keep, until=until, who=who, why=why)
        case Kind.FREEZE:
            return Freeze(scope=place.scope, until=until, who=who, why=why)


def encode_withdrawal(withdrawal: Withdrawal) -> bytes:
    """What to leave where an intent was."""
    return msgspec.json.encode(withdrawal)


def decode_withdrawal(entry: Entry) -> Withdrawal:
    """Who took it away, as far as it was said: other tools leave nothing."""
    try:
        left = _WITHDRAWAL.decode(entry.value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Withdrawal()
    return Withdrawal(who=clean(left.who), why=clean(left.why))
