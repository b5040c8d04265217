"""What the entries of a bucket ask for together, and what is done where nobody can read one."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Final

from controller.bus.intent_codec import Intent, Kind, Place, decode_intent, place_at
from controller.bus.kv import Entry
from controller.model.intents import Freeze, Intents, Pause, Pin
from controller.model.kept import IntentFault, Standing
from controller.model.text import clean

KEY_SHOWN: Final = 160


def note(
    entry: Entry,
    last: Intent | None,
    read: MutableMapping[str, Intent],
    faults: MutableMapping[str, str],
) -> None:
    """Add what an entry asks for, or what is wrong with it; `last` is what stood there before."""
    intent, fault = interpret(entry, last)
    if intent is not None:
        read[entry.key] = intent
    if fault:
        faults[entry.key] = fault


def standing(read: Mapping[str, Intent], faults: Mapping[str, str]) -> Standing:
    """All of it, in the order of the keys."""
    values = [read[key] for key in sorted(read)]
    return Standing(
        intents=Intents(
            pins=tuple(each for each in values if isinstance(each, Pin)),
            pauses=tuple(each for each in values if isinstance(each, Pause)),
            freezes=tuple(each for each in values if isinstance(each, Freeze)),
        ),
        faults=tuple(
            IntentFault(key=clean(key, KEY_SHOWN), text=text)
            for key, text in sorted(faults.items())
        ),
        read=True,
    )


def interpret(entry: Entry, last: Intent | None) -> tuple[Intent | None, str]:
    """The intent that an entry stands for, and in words what is wrong with it, if anything is.

    What cannot be read errs on the side of leaving things as they are: a freeze freezes, a pause
    freezes too (work is neither stopped nor started on a guess), a pin stays what it was last.
    """
    try:
        place = place_at(entry.key)
    except ValueError as error:
        return None, f"is ignored: the key {error}"
    try:
        return decode_intent(place, entry.value), ""
    except ValueError as error:
        return _instead(place, last, str(error))


def _instead(place: Place, last: Intent | None, why: str) -> tuple[Intent | None, str]:
    match place.kind:
        case Kind.PIN if isinstance(last, Pin):
            return last, f"{why}; the pin of {last.replicas} before it stays"
        case Kind.PIN:
            return None, f"{why}; nothing is pinned"
        case Kind.PAUSE | Kind.FREEZE:
            held = Freeze(scope=place.scope, why=f"a {place.kind} that cannot be read")
            return held, f"{why}; it freezes until it is mended or taken away"
