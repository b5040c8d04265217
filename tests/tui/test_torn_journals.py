"""A journal that a person or a broken disk has changed: what can be read is shown, what cannot is
refused in words, and no view ever fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agentdash.tui.header import banner_lines, header_lines
from agentdash.tui.screens.why import now_decided_lines, now_lines, reading_lines
from agentdash.tui.sheets import SheetForm, sheets_of, written
from agentdash.tui.tables import views
from agentdash.tui.tables.tenants import tenant_lines
from agentdash.tui.view import Frame, pool_rows, totals
from controller.model.snapshot import Snapshot
from controller.model.value import is_time
from controller.record.frames import UnreadableLineError, change_line, read_line, whole_line
from support.past import busy_tick
from tui import fleet_scenarios

ODD = [
    *(-1, 0, 1e12, -1e12, 1e15, 253_402_300_800, 4e10, 10**18, 10**30, -(10**18), 1e308, 0.1),
    *("", "x", "-", None, True, [], {}, [[]], "\u202e", "9" * 40),
]
"""Values that stand in no journal where another one stood."""


def show(snapshot: Snapshot) -> None:
    """Draw everything that is drawn of a moment."""
    rows = pool_rows(snapshot)
    frame = Frame(snapshot.at, snapshot.at, snapshot, rows, totals(rows))
    header_lines(frame, 160, 2)
    banner_lines(frame, 80)
    for view in views():
        for form in SheetForm:
            written(view, sheets_of(views()[view], frame), frame, form)
    for row in rows:
        now_decided_lines(row, frame, 120, 40)
        now_lines(row, frame, 120)
        reading_lines(row, frame, 120)
    for tenant in snapshot.tenants:
        tenant_lines(tenant, frame, 120)


def lines() -> tuple[bytes, bytes]:
    """A whole snapshot, and the change after it."""
    before = fleet_scenarios.burst()
    after = busy_tick(before)
    return whole_line(before, None), change_line(before, after)


WHOLE, CHANGE = lines()


def places(plain: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value."""
    members = plain.items() if isinstance(plain, dict) else enumerate(plain)
    for key, value in members:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


PLACES = list(places(json.loads(WHOLE)))


def read_and_show(whole: bytes, change: bytes, *, is_clean: bool = False) -> str:
    """What becomes of the two lines: both shown, or why one is refused. `is_clean`: as from a
    controller over NATS, where a peer may have forged them.
    """
    before: Snapshot | None = None
    for line in (whole, change):
        try:
            before = read_line(line.removesuffix(b"\n"), before, is_clean=is_clean).snapshot
        except UnreadableLineError as error:
            return str(error)
        show(before)
    return "shown"


def test_a_journal_as_it_was_written_is_shown() -> None:
    assert read_and_show(WHOLE, CHANGE) == "shown"


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), is_clean=st.booleans())
def test_any_value_may_be_another_and_nothing_fails(seed: int, *, is_clean: bool) -> None:
    choose, plain = Random(seed), json.loads(WHOLE)
    for _ in range(choose.randint(1, 3)):
        *way, last = choose.choice(PLACES)
        part = plain
        try:
            for step in way:
                part = part[step]
            part[last] = choose.choice(ODD)
        except (KeyError, IndexError, TypeError):
            continue  # a value above it was replaced already
    assert read_and_show(json.dumps(plain).encode(), CHANGE, is_clean=is_clean)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), changes=st.booleans(), is_clean=st.booleans())
def test_any_bytes_may_be_others_and_nothing_fails(
    seed: int, *, changes: bool, is_clean: bool
) -> None:
    choose = Random(seed)
    data = bytearray(CHANGE if changes else WHOLE)
    for _ in range(choose.randint(1, 4)):
        start = choose.randrange(len(data))
        kind = choose.randrange(3)
        if kind == 0:
            data[start] = choose.randrange(256)
        elif kind == 1:
            del data[start : start + choose.randint(1, 30)]
        else:
            data[start:start] = choose.choice([b"9" * 12, b"-", b"e9", b"\\u0000", b"[[", b"null"])
    damaged = bytes(data)
    whole, change = (WHOLE, damaged) if changes else (damaged, CHANGE)
    assert read_and_show(whole, change, is_clean=is_clean)


def test_a_time_that_no_calendar_has_is_refused() -> None:
    plain = json.loads(WHOLE)
    for *way, last in (place for place in PLACES if is_time(str(place[-1]))):
        part = plain
        for step in way:
            part = part[step]
        known = part[last]
        if isinstance(known, int | float):
            part[last] = 4e12
            said = read_and_show(json.dumps(plain).encode(), CHANGE)
            assert said == "has a time that is none", (*way, last)
            part[last] = known
