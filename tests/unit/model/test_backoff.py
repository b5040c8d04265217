"""Waits between retries: they double up to a cap, vary at random, and start anew on success."""

from __future__ import annotations

import random

from controller.model.servers import Backoff, no_jitter


def test_jitter_spreads_the_waits_over_the_whole_range() -> None:
    backoff = Backoff(0.5, 15.0, random=random.Random(1).random)
    waits = [backoff.next_s() for _ in range(200)]
    assert waits[0] <= 0.5
    assert waits[1] <= 1.0
    assert max(waits) <= 15.0
    assert 5.0 < sum(waits[10:]) / 190 < 10.0
    assert len(set(waits)) == 200


def test_after_a_success_the_first_wait_comes_again() -> None:
    backoff = Backoff(0.5, 15.0, random=no_jitter)
    for _ in range(2000):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() == 0.5
