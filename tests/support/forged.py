"""Records in which a hostile writer has changed values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final

ODD: Final[tuple[Any, ...]] = (
    *(2**31, 2**53, 2**63 - 1, 2**63, 10**25, -1, -(2**31), -(2**63), 0, True, None),
    *(1e300, -1e18, 253_402_300_800, 1_795_000_000_000, -62_135_596_801, 0.5, 1e-300),
    *("", "[/]", "\x1b[31m\u202e", "x" * 3_000, "=cmd", "nan", "acme/nosuch", [], {}, [[]]),
)


def places(plain: Any) -> Iterator[tuple[Any, Any]]:
    """Each dict or list, at any depth, with each of its keys."""
    of_list = enumerate(plain) if isinstance(plain, list) else ()
    for key, each in plain.items() if isinstance(plain, dict) else of_list:
        yield plain, key
        yield from places(each)


def forge(dice: Random, plain: Any, is_taken: Callable[[], bool]) -> None:
    """Change one value of each third name, mostly to another of its type. What `is_taken` refuses
    becomes what it was: of what is refused, nothing could be shown.
    """
    by_name: dict[str, list[tuple[Any, Any]]] = {}
    for place in places(plain):
        by_name.setdefault(str(place[1]), []).append(place)
    for name in dice.sample(sorted(by_name), len(by_name) // 3):
        held, key = dice.choice(by_name[name])
        was = held[key]
        kinds = {type(was), int} if isinstance(was, float) else {type(was)}
        alike = [each for each in ODD if type(each) in kinds]
        held[key] = dice.choice(alike if alike and dice.random() < 0.9 else ODD)
        if not is_taken():
            held[key] = was
