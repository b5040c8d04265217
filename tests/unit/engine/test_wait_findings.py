"""Messages that wait longer than their pool's aim are a finding."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from controller.engine.show.findings import wait_findings
from controller.model.decision import Bound, Decision
from controller.model.ids import PoolKey
from controller.model.snapshot import QueueRates, Severity
from support.world import START, make_pool

POOL, OTHER = replace(make_pool("research"), aim_s=20.0), make_pool("browser")
AIMS = {POOL.key: 20.0}


def rates(oldest_s: float | None = None, p95_s: float | None = None, number: int = 0) -> QueueRates:
    oldest_at = None if oldest_s is None else START - oldest_s
    return QueueRates(pool=POOL.key, oldest_at=oldest_at, waited_p95_s=p95_s, number=number)


def texts(*seen: QueueRates, bound: Bound = Bound.MAX) -> list[str]:
    decision = Decision(
        pool=POOL.key, current=1, demand=3, recommendation=3, target=1, next=1, bound=bound
    )
    found = list(wait_findings(AIMS, seen, {POOL.key: decision}, START))
    assert all(each[:3] == (Severity.WARNING, POOL.key, "waits") for each in found)
    return [each[3] for each in found]


def test_a_pool_without_an_aim_has_none() -> None:
    waits = QueueRates(pool=OTHER.key, oldest_at=START - 9000, waited_p95_s=9000.0)
    assert list(wait_findings(AIMS, (waits,), {}, START)) == []


def test_a_message_that_waits_longer_than_the_aim_is_told_with_both_times() -> None:
    assert texts(rates(oldest_s=20)) == []
    (text,) = texts(rates(oldest_s=48))
    assert text == (
        "messages wait for more than 45 s, its aim is 20 s; "
        "`agentdash why acme/research` says what holds it"
    )


def test_the_waits_of_messages_that_were_delivered_count_too() -> None:
    assert texts(rates(oldest_s=1, p95_s=19.9)) == []
    (text,) = texts(rates(oldest_s=1, p95_s=33))
    assert "more than 30 s, its aim is 20 s;" in text


def test_the_longest_wait_of_several_queues_counts() -> None:
    (text,) = texts(rates(oldest_s=2), rates(oldest_s=700, number=1))
    assert "more than 11 min" in text


@pytest.mark.parametrize(("wait_s", "told"), [(21, "20 s"), (24.9, "20 s"), (25, "25 s")])
def test_the_text_changes_in_steps_and_never_tells_less_than_the_aim(
    wait_s: float, told: str
) -> None:
    (text,) = texts(rates(oldest_s=wait_s))
    assert f"more than {told}," in text


def test_work_that_an_operator_paused_is_meant_to_wait() -> None:
    assert texts(rates(oldest_s=900), bound=Bound.PAUSE) == []


def test_a_pool_that_is_not_decided_yet_is_told_too() -> None:
    found = list(wait_findings({PoolKey("acme/research"): 20.0}, (rates(oldest_s=30),), {}, START))
    assert len(found) == 1
