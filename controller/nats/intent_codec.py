"""Intents as entries of a bucket: the key says what and for which scope, the value the rest.

intent.pin.TENANT.POOL
intent.pause.TENANT.POOL     intent.pause.TENANT     intent.pause
intent.freeze.TENANT.POOL    intent.freeze.TENANT    intent.freeze
intent.cap.TENANT.POOL
intent.no-growth.TENANT.POOL intent.no-growth.TENANT intent.no-growth
intent.budget.TENANT
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from controller.model.decoding import UndecodableError, decoded
from controller.model.ids import dns_label, pool_key
from controller.model.intents import (
    Cap,
    DayBudget,
    Intent,
    IntentKey,
    IntentKind,
    Pause,
    Pin,
    Scope,
    intent_for,
)
from controller.model.limits import INT32_MAX
from controller.model.text import clean
from controller.model.value import Value

PREFIX: Final = "intent"
UNREADABLE: Final = "its value cannot be read"
MOST_TOKENS: Final = 10**15
MOST_INTENT_BYTES: Final = 16 * 1024
"""Of one value: an intent has some hundred bytes, and a reason as long as a page fits."""
_OF_POOLS: Final = frozenset({IntentKind.PIN, IntentKind.CAP})


class IntentBody(Value):
    """An intent's value as it is stored: what is asked for, and who wrote it.

    `who` asks for it. `by` wrote it, where that is somebody else: an undo puts an intent back that
    was another operator's. `origin` is where the writer came from, `replaces` the revision that was
    there before, `undoes` the revision of the change that this one takes back.
    """

    version: Literal[1]
    who: str = ""
    why: str = ""
    until: float | None = None
    replicas: int | None = None
    keep: int | None = None
    tokens: int | None = None
    by: str = ""
    origin: str = ""
    replaces: int | None = None
    undoes: int | None = None


class Withdrawal(Value):
    """What is left where an intent was: who took it away and why. `expired`: it had ended, and this
    writer only cleared it away.
    """

    who: str = ""
    why: str = ""
    origin: str = ""
    expired: bool = False
    replaces: int | None = None
    undoes: int | None = None


_BODY: Final = msgspec.json.Decoder(IntentBody)
_WITHDRAWAL: Final = msgspec.json.Decoder(Withdrawal)


def parse_key(key: str) -> IntentKey:
    """What a key of the bucket stands for. Raises ValueError."""
    prefix, _, rest = key.partition(".")
    word, *names = rest.split(".")
    if prefix != PREFIX or word not in list(IntentKind) or len(names) > 2:
        raise ValueError("stands for no intent")
    kind = IntentKind(word)
    checked = [dns_label(name) for name in names]
    if kind in _OF_POOLS and len(checked) != 2:
        raise ValueError(f"only a pool can have a {kind}")
    if kind is IntentKind.BUDGET and len(checked) != 1:
        raise ValueError("only a tenant can have a budget")
    if len(checked) == 2:
        return IntentKey(kind, Scope(pool=pool_key(checked[0], checked[1])))
    return IntentKey(kind, Scope(tenant=checked[0] if checked else None))


def stands_for_intent(key: str) -> bool:
    """Whether `parse_key` knows it."""
    try:
        parse_key(key)
    except ValueError:
        return False
    return True


def key_text(key: IntentKey) -> str:
    """The key in the bucket. Raises ValueError for names that would leave their place, and for a
    scope that this kind of intent cannot have.
    """
    kind, scope = key
    if scope.pool is not None:
        tenant, _, name = scope.pool.partition("/")
        names = [tenant, name]
    else:
        names = [] if scope.tenant is None else [scope.tenant]
    text = ".".join([PREFIX, kind, *map(dns_label, names)])
    parse_key(text)
    return text


def decode_body(value: bytes) -> IntentBody:
    """A value as it is stored, its texts cleaned. Raises ValueError."""
    try:
        body = decoded(_BODY, value, most_bytes=MOST_INTENT_BYTES)
    except UndecodableError as error:
        raise ValueError(f"{UNREADABLE}: {error}") from None
    for count in (body.replicas, body.keep):
        if count is not None and not 0 <= count <= INT32_MAX:
            raise ValueError(f"{UNREADABLE}: {count} replicas")
    if body.tokens is not None and not 0 <= body.tokens <= MOST_TOKENS:
        raise ValueError(f"{UNREADABLE}: {body.tokens} tokens")
    return msgspec.structs.replace(
        body, who=clean(body.who), why=clean(body.why), by=clean(body.by), origin=clean(body.origin)
    )


def decode_intent(key: IntentKey, value: bytes) -> Intent:
    """The intent that a value states, its texts cleaned. Raises ValueError."""
    return intent_of(key, decode_body(value))


def intent_of(key: IntentKey, body: IntentBody) -> Intent:
    """The intent that this body states at this key. Raises ValueError."""
    numbers = {IntentKind.PAUSE: body.keep, IntentKind.BUDGET: body.tokens}
    number = numbers.get(key.kind, body.replicas)
    try:
        intent = intent_for(key, number=number, until=body.until, why=body.why)
    except ValueError as error:
        raise ValueError(f"{UNREADABLE}: {error}") from None
    return msgspec.structs.replace(intent, who=body.who)


def encode_intent(
    intent: Intent,
    *,
    by: str = "",
    origin: str = "",
    replaces: int | None = None,
    undoes: int | None = None,
) -> bytes:
    """The value to write."""
    return msgspec.json.encode(
        IntentBody(
            version=1,
            who=intent.who,
            why=intent.why,
            until=intent.until,
            replicas=intent.replicas if isinstance(intent, Pin | Cap) else None,
            keep=intent.keep if isinstance(intent, Pause) else None,
            tokens=intent.tokens if isinstance(intent, DayBudget) else None,
            by="" if by == intent.who else by,
            origin=origin,
            replaces=replaces,
            undoes=undoes,
        )
    )


def decode_withdrawal(value: bytes) -> Withdrawal:
    """Who took it away, as far as it is known: other tools leave no note."""
    try:
        left = decoded(_WITHDRAWAL, value, most_bytes=MOST_INTENT_BYTES)
    except UndecodableError:
        return Withdrawal()
    return msgspec.structs.replace(
        left, who=clean(left.who), why=clean(left.why), origin=clean(left.origin)
    )
