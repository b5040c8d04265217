"""Waits between attempts grow, stay below their limit, and differ between clients."""

from __future__ import annotations

import pytest

from controller.model.backoff import Backoff


def test_the_limit_doubles_up_to_the_most() -> None:
    backoff = Backoff(0.1, 1.0, random=lambda: 1.0)
    waits = [backoff.next_s() for _ in range(6)]
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_after_a_reset_the_first_wait_comes_again() -> None:
    backoff = Backoff(0.1, 1.0, random=lambda: 1.0)
    for _ in range(5):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() == pytest.approx(0.1)


def test_a_wait_is_drawn_from_zero_up_to_the_limit() -> None:
    draws = iter([0.0, 0.5, 0.25])
    backoff = Backoff(1.0, 60.0, random=lambda: next(draws))
    assert [backoff.next_s() for _ in range(3)] == [0.0, 1.0, 1.0]


def test_two_clients_do_not_wait_alike() -> None:
    one, other = Backoff(1.0, 60.0), Backoff(1.0, 60.0)
    assert [one.next_s() for _ in range(8)] != [other.next_s() for _ in range(8)]


def test_very_many_failures_do_not_exceed_the_most() -> None:
    backoff = Backoff(0.1, 5.0, random=lambda: 1.0)
    assert [backoff.next_s() for _ in range(5000)][-1] == 5.0
