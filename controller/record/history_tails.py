"""A history as what came at its end: what a journal has of it while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

from controller.model.snapshot import History, Timeline
from controller.model.value import Value

_MOST_SHIFT: Final = 4
_SERIES: Final = Timeline.__struct_fields__
_Key = TypeVar("_Key", bound=str)


class HistoryTail(Value):
    """What a history has at its end that it had not before; as much is gone in front."""

    recent: Timeline = Timeline()
    day: Timeline = Timeline()


class MissingHistoryError(Exception):
    """The tail continues a history that is not there."""


def split(
    before: Mapping[_Key, History], changed: Mapping[_Key, History]
) -> tuple[dict[_Key, History], dict[_Key, HistoryTail]]:
    """Of the changed histories, those that became others, and the tails of those that went on."""
    others: dict[_Key, History] = {}
    tails: dict[_Key, HistoryTail] = {}
    for key, history in changed.items():
        had = before.get(key)
        tail = None if had is None else _history_tail(had, history)
        if tail is None:
            others[key] = history
        else:
            tails[key] = tail
    return others, tails


def joined(
    before: Mapping[_Key, History],
    others: Mapping[_Key, History],
    tails: Mapping[_Key, HistoryTail],
) -> dict[_Key, History]:
    """The changed histories again. Raises MissingHistoryError."""
    changed = dict(others)
    for key, tail in tails.items():
        known = before.get(key)
        if known is None:
            raise MissingHistoryError
        changed[key] = History(
            recent=_after_tail(known.recent, tail.recent), day=_after_tail(known.day, tail.day)
        )
    return changed


def _history_tail(before: History, after: History) -> HistoryTail | None:
    recent = _tail(before.recent, after.recent)
    day = _tail(before.day, after.day)
    return None if recent is None or day is None else HistoryTail(recent=recent, day=day)


def _tail(before: Timeline, after: Timeline) -> Timeline | None:
    """The few numbers that came at the end of each series, as many as went in front; None where
    the series is another one.
    """
    if before == after:
        return Timeline()
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in _SERIES}
    kept = {name: pair for name, pair in pairs.items() if pair[0] or pair[1]}
    lengths = {len(series) for pair in kept.values() for series in pair}
    if len(lengths) != 1:
        return None
    for shift in range(1, min(_MOST_SHIFT, *lengths) + 1):
        if all(had[shift:] == has[:-shift] for had, has in kept.values()):
            return Timeline(**{name: has[-shift:] for name, (_, has) in kept.items()})
    return None


def _after_tail(before: Timeline, tail: Timeline) -> Timeline:
    added = {name: series for name in _SERIES if (series := getattr(tail, name))}
    if not added:
        return before
    series = {name: getattr(before, name) for name in _SERIES}
    return Timeline(
        **{
            name: had[len(added[name]) :] + added[name] if name in added else had
            for name, had in series.items()
        }
    )
