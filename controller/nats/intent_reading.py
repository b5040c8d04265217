"""The intents of all entries of a bucket, and what happens if an entry cannot be read."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, MutableMapping
from typing import Final

from controller.model.intents import (
    Cap,
    DayBudget,
    Freeze,
    Intent,
    IntentKey,
    IntentKind,
    NoGrowth,
    Pin,
    gathered,
)
from controller.model.stored import IntentFault, StoredIntents
from controller.model.text import clean
from controller.nats.bucket import BucketEntry
from controller.nats.intent_codec import decode_intent, parse_key

KEY_SHOWN: Final = 160
FAULTS_SHOWN: Final = 20
"""Each is a finding and a series of the metrics; of more, only the number is told."""


def read_entry(
    entry: BucketEntry,
    last: Intent | None,
    read: MutableMapping[str, Intent],
    faults: MutableMapping[str, str],
) -> None:
    """Add to `read` what an entry asks for and to `faults` what is wrong with it. `last` is the
    intent that this key held before.
    """
    intent, fault = _interpret(entry, last)
    if intent is not None:
        read[entry.key] = intent
    if fault:
        faults[entry.key] = fault


def collect(
    read: Mapping[str, Intent], faults: Mapping[str, str], *, kept: int = 0
) -> StoredIntents:
    """All of them, in the order of the keys, and the first of the faults. `kept`: as many are not
    in the bucket that is there now.
    """
    values = [read[key] for key in sorted(read)]
    first = heapq.nsmallest(FAULTS_SHOWN, faults.items())
    return StoredIntents(
        intents=gathered(values),
        faults=tuple(IntentFault(key=clean(key, KEY_SHOWN), text=text) for key, text in first),
        more_faults=len(faults) - len(first),
        kept=kept,
        read=True,
    )


def _interpret(entry: BucketEntry, last: Intent | None) -> tuple[Intent | None, str]:
    """The intent that an entry stands for, and what is wrong with it; empty if nothing is.

    An entry that cannot be read leaves things as they are: a freeze freezes, a pause freezes too
    (work is neither stopped nor started on a guess), and a pin, a cap and a budget keep their last
    value. Without one, what is capped or has a budget does not grow.
    """
    try:
        key = parse_key(entry.key)
    except ValueError as error:
        return None, f"is ignored: the key {error}"
    try:
        return decode_intent(key, entry.value), ""
    except ValueError as error:
        return _replacement(key, last, str(error))


def _replacement(key: IntentKey, last: Intent | None, why: str) -> tuple[Intent | None, str]:
    match key.kind:
        case IntentKind.PIN if isinstance(last, Pin):
            return last, f"{why}; the pin of {last.replicas} before it stays"
        case IntentKind.PIN:
            return None, f"{why}; nothing is pinned"
        case IntentKind.PAUSE | IntentKind.FREEZE:
            held = Freeze(scope=key.scope, why=f"a {key.kind} that cannot be read")
            return held, f"{why}; it freezes until it is corrected or deleted"
        case IntentKind.CAP if isinstance(last, Cap):
            return last, f"{why}; the cap of {last.replicas} before it stays"
        case IntentKind.BUDGET if isinstance(last, DayBudget):
            return last, f"{why}; the budget of {last.tokens} tokens before it stays"
        case IntentKind.CAP | IntentKind.BUDGET | IntentKind.NO_GROWTH:
            still = NoGrowth(scope=key.scope, why=f"a {key.kind} that cannot be read")
            return still, f"{why}; nothing grows until it is corrected or deleted"
