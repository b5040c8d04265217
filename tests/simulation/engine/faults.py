"""The faults of a history: drawn from its seed, as values that can be left out one by one."""

from __future__ import annotations

import random
from enum import StrEnum
from typing import Final, NamedTuple


class Kind(StrEnum):
    """What goes wrong. Beside these, all messages are late by a random time at all times."""

    PAUSE = "pause"
    KILL = "kill"
    STOP = "stop"
    CLOCK = "clock"
    API_CUT = "api cut"
    API_LOST = "api answers lost"
    API_SLOW = "api slow"
    API_TWICE = "api requests twice"
    API_BUSY = "api busy"
    WATCH_GAP = "watch gap"
    HALF_LIST = "half list"
    QUEUE_HANGS = "queue hangs"
    QUEUE_ABSENT = "queue absent"
    QUEUE_STALE = "queue stale"
    QUEUE_PARTIAL = "queue partial"
    QUEUE_ABSURD = "queue absurd"
    NATS_CUT = "nats cut"
    NATS_LOST = "nats answers lost"
    PERSON = "person scales"
    INTENT = "intent"
    LEASE_DAMAGED = "lease damaged"
    INTENTS_UNHEARD = "intents unheard"
    BUCKET_GONE = "bucket deleted"
    BUCKET_BACK = "bucket restored"
    JOURNAL = "journal full"
    RELOAD = "fleet reloaded"


class Fault(NamedTuple):
    """One fault: when it begins and how long it lasts (seconds), whom it hits, and how much."""

    at: float
    kind: Kind
    seconds: float
    machine: int
    pool: int
    amount: float


FAULTY_S: Final = 60.0
"""The faults of a history have ended by then."""
_WEIGHTS: Final[dict[Kind, int]] = {
    Kind.PAUSE: 10,
    Kind.KILL: 5,
    Kind.STOP: 4,
    Kind.CLOCK: 5,
    Kind.API_CUT: 6,
    Kind.API_LOST: 10,
    Kind.API_SLOW: 6,
    Kind.API_TWICE: 4,
    Kind.API_BUSY: 4,
    Kind.WATCH_GAP: 8,
    Kind.HALF_LIST: 6,
    Kind.QUEUE_HANGS: 4,
    Kind.QUEUE_ABSENT: 5,
    Kind.QUEUE_STALE: 6,
    Kind.QUEUE_PARTIAL: 4,
    Kind.QUEUE_ABSURD: 3,
    Kind.NATS_CUT: 6,
    Kind.NATS_LOST: 5,
    Kind.PERSON: 4,
    Kind.INTENT: 18,
    Kind.LEASE_DAMAGED: 2,
    Kind.INTENTS_UNHEARD: 4,
    Kind.BUCKET_GONE: 1,
    Kind.BUCKET_BACK: 2,
    Kind.JOURNAL: 5,
}

_LONGER_S: Final = {Kind.INTENT: 8.0, Kind.JOURNAL: 12.0}
"""What lasts long enough that a process must act on it, or give its lease up."""


def drawn(seed: int, *, machines: int, pools: int, seconds: float = FAULTY_S) -> tuple[Fault, ...]:
    """The faults of this seed, in their order."""
    chance = random.Random(f"{seed}/faults")
    kinds, weights = list(_WEIGHTS), list(_WEIGHTS.values())
    count = round(chance.uniform(0.06, 0.4) * seconds)
    of_all = [(kind, chance) for kind in chance.choices(kinds, weights, k=count)]
    later = random.Random(
        f"{seed}/reloads"
    )  # so that the other faults of a seed stay what they are
    of_all += [(Kind.RELOAD, later)] * later.choice((0, 0, 1))
    found = []
    for kind, chance in of_all:
        at = chance.uniform(3.0, seconds - 5.0)
        lasts = chance.choice((0.5, 2.0, 5.0, 8.0, 25.0)) * chance.random()
        lasts = min(lasts + _LONGER_S.get(kind, 0.0), seconds - at)
        found.append(
            Fault(
                at=round(at, 3),
                kind=kind,
                seconds=round(lasts, 3),
                machine=chance.randrange(machines),
                pool=chance.randrange(pools),
                amount=round(chance.random(), 3),
            )
        )
    return tuple(sorted(found))
