"""How far a view may be trusted: after silence, gaps and refusals its readings are not fresh."""

from __future__ import annotations

from typing import Any

import pytest

from controller.kube.client import LinkTracker
from controller.kube.watch import WATCH_GRACE_S, Freshness
from controller.model.readings import Absent, Fresh, Stale, Why


@pytest.fixture
def link(clock: Any) -> LinkTracker:
    return LinkTracker(clock)


@pytest.fixture
def view(link: LinkTracker) -> Freshness:
    return Freshness(link)


def listed(view: Freshness, link: LinkTracker) -> None:
    link.answered()
    view.completed()
    view.opened()
    view.confirmed()


def test_before_the_first_list_nothing_is_known(view: Freshness) -> None:
    assert view.judge(3) == Absent(why=Why.NEVER_READ, at=1_000_000.0)


@pytest.mark.parametrize("why", [Why.REFUSED, Why.DISCONNECTED, Why.TIMED_OUT, Why.UNREADABLE])
def test_a_first_list_that_fails_says_why(view: Freshness, why: Why) -> None:
    view.broke(why, "words")
    reading = view.judge(3)
    assert isinstance(reading, Absent)
    assert (reading.why, reading.detail) == (why, "words")


def test_with_an_open_watch_a_reading_is_of_now(
    view: Freshness, link: LinkTracker, clock: Any
) -> None:
    listed(view, link)
    clock.advance(60)
    link.answered()
    assert view.judge(3) == Fresh(value=3, at=1_000_060.0)


def test_while_a_watch_is_opened_again_its_view_is_fresh_for_the_grace(
    view: Freshness, link: LinkTracker, clock: Any
) -> None:
    listed(view, link)
    clock.advance(60)
    view.broke(Why.DISCONNECTED, "reset")
    clock.advance(WATCH_GRACE_S)
    assert view.judge(3) == Fresh(value=3, at=1_000_000.0)
    clock.advance(0.1)
    stale = view.judge(3)
    assert isinstance(stale, Stale)
    assert (stale.why, stale.detail, stale.at) == (Why.DISCONNECTED, "reset", 1_000_000.0)


@pytest.mark.parametrize("is_opened", [False, True])
def test_failing_again_and_again_does_not_renew_the_grace(
    view: Freshness, link: LinkTracker, clock: Any, *, is_opened: bool
) -> None:
    listed(view, link)
    for _ in range(4):
        if is_opened:
            view.opened()
        view.broke(Why.DISCONNECTED, "torn")
        clock.advance(5)
    torn = view.judge(3)
    assert isinstance(torn, Stale)
    assert torn.detail == "torn"


def test_a_quiet_watch_that_stays_open_is_fresh_again(
    view: Freshness, link: LinkTracker, clock: Any
) -> None:
    listed(view, link)
    view.broke(Why.DISCONNECTED, "reset")
    view.opened()
    clock.advance(WATCH_GRACE_S + 1)
    link.answered()
    assert isinstance(view.judge(3), Fresh)


def test_known_gaps_are_stale_at_once_and_until_the_next_complete_list(
    view: Freshness, link: LinkTracker
) -> None:
    listed(view, link)
    view.missed()
    stale = view.judge(3)
    assert isinstance(stale, Stale)
    assert stale.why is Why.VIEW_INCOMPLETE
    view.opened()
    view.confirmed()
    assert isinstance(view.judge(3), Stale)
    listed(view, link)
    assert isinstance(view.judge(3), Fresh)


def test_a_step_of_the_clock_changes_no_age(view: Freshness, link: LinkTracker, clock: Any) -> None:
    listed(view, link)
    view.broke(Why.DISCONNECTED, "reset")
    clock.wall += 3600
    assert view.judge(3) == Fresh(value=3, at=1_003_600.0)
    clock.wall -= 7200
    clock.advance(WATCH_GRACE_S + 1)
    assert isinstance(view.judge(3), Stale)


def test_changes_of_the_link_are_logged_once_each(
    link: LinkTracker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    link.answered()
    link.answered()
    for _ in range(3):
        link.silent(Why.TIMED_OUT, "no answer in time")
    link.answered()
    link.refused("Unauthorized")
    link.refused("Unauthorized")
    link.accepted()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "kubernetes connected"),
        ("WARNING", "kubernetes disconnected: no answer in time"),
        ("INFO", "kubernetes connected"),
        ("WARNING", "kubernetes refuses our credentials: Unauthorized"),
        ("INFO", "kubernetes takes our credentials again"),
    ]
