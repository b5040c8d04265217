"""Rates and waits of queues, from nothing but the consumers' counters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.engine.show.past import RENEW_S, QueueMeters
from controller.model.ids import PoolKey
from controller.model.observation import QueueDepth
from controller.model.readings import Absent, Fresh, Why
from controller.model.snapshot import QueueRates

POOL, OTHER = PoolKey("acme/research"), PoolKey("acme/coder")
UNKNOWN = QueueRates(pool=POOL)


class Queue:
    """A consumer that a test fills and empties, read once a second."""

    def __init__(self, pending: int = 0) -> None:
        self.meters = QueueMeters([POOL, OTHER])
        self.pending, self.in_flight, self.redelivered = pending, 0, 0
        self.delivered = self.sequence = 100
        self.now = 1000.0
        self.read()

    def read(self) -> None:
        depth = QueueDepth(
            pending=self.pending,
            in_flight=self.in_flight,
            redelivered=self.redelivered,
            delivered=self.delivered,
            sequence=self.sequence,
        )
        self.meters.saw(POOL, Fresh(value=depth, at=self.now))

    def second(self, *, arrive: int = 0, deliver: int = 0, finish: int = 0) -> None:
        self.now += 1
        self.pending += arrive - deliver
        self.in_flight += deliver - finish
        self.delivered += deliver
        self.sequence += deliver
        self.read()

    def quiet(self, seconds: float) -> None:
        """Nothing moves, so no new reading comes."""
        self.now += seconds

    def rates(self) -> QueueRates:
        self.now += RENEW_S
        rates, other = self.meters.rates(self.now)
        assert other == QueueRates(pool=OTHER)
        return rates


def test_a_queue_says_since_when_it_holds_work_is_empty_or_is_paused() -> None:
    queue = Queue()
    assert queue.rates().since == 1000
    filled = queue.now + 1
    queue.second(arrive=2)
    queue.second(deliver=1)
    assert queue.rates().since == filled
    emptied = queue.now + 1
    queue.second(deliver=1, finish=2)
    assert queue.rates().since == emptied
    at = queue.now + 1
    queue.meters.saw(POOL, Fresh(value=QueueDepth(pending=0, in_flight=0, paused=True), at=at))
    assert queue.rates().since == at


def test_a_consumer_without_counters_says_since_when_it_holds_work() -> None:
    meters = QueueMeters([POOL])
    for at in (1000.0, 1010.0, 1020.0):
        meters.saw(POOL, Fresh(value=QueueDepth(pending=int(at), in_flight=0), at=at))
    assert meters.rates(1030.0)[0].since == 1000


def test_before_ten_seconds_have_been_seen_no_rate_is_known() -> None:
    queue = Queue()
    queue.second(arrive=5, deliver=5)
    assert queue.rates().arrivals_per_minute is None
    queue.quiet(10)
    assert queue.rates().arrivals_per_minute is not None


def test_a_wait_is_from_the_arrival_of_the_same_message_to_its_delivery() -> None:
    queue = Queue()
    queue.second(arrive=10)
    queue.quiet(8)
    queue.second(deliver=10)
    for _ in range(90):
        queue.second(arrive=1, deliver=1)
    rates = queue.rates()
    assert (rates.waited_p50_s, rates.waited_p95_s) == (0, 9)
    queue.quiet(400)
    assert queue.rates().waited_p50_s is None


def test_redeliveries_are_no_arrivals_and_make_the_waits_unknown_for_what_is_there() -> None:
    queue = Queue()
    queue.second(arrive=4, deliver=2)
    queue.now += 1
    queue.delivered += 2  # again, so the sequence stays
    queue.redelivered = 2
    queue.read()
    queue.quiet(10)
    assert queue.rates().arrivals_per_minute == 60 * 4 / 14
    queue.now += 1
    queue.delivered += 3
    queue.sequence += 3  # of a stream with other consumers: which of them are new is not known
    queue.pending -= 1
    queue.read()
    assert queue.rates().oldest_is_older


def test_a_consumer_that_was_created_again_begins_anew() -> None:
    queue = Queue()
    for _ in range(20):
        queue.second(arrive=1, deliver=1)
    queue.delivered = queue.sequence = 0
    queue.second(arrive=7)
    assert queue.rates() == QueueRates(
        pool=POOL, oldest_at=1021.0, oldest_is_older=True, since=1001.0
    )


def test_a_purge_is_neither_a_delivery_nor_a_completion() -> None:
    queue = Queue()
    queue.second(arrive=50)
    queue.quiet(10)
    queue.pending = 0
    queue.second()
    rates = queue.rates()
    assert (rates.completions_per_minute, rates.oldest_at, rates.waited_p50_s) == (0, None, None)


def test_a_step_of_the_clock_begins_anew() -> None:
    queue = Queue()
    for _ in range(20):
        queue.second(arrive=1, deliver=1)
    queue.meters.forget()
    assert queue.rates() == UNKNOWN


def test_a_consumer_that_does_not_count_its_deliveries_has_no_rates() -> None:
    meters = QueueMeters([POOL])
    for second in range(30):
        depth = QueueDepth(pending=second, in_flight=0)
        meters.saw(POOL, Fresh(value=depth, at=1000.0 + second))
    (rates,) = meters.rates(1030.0)
    assert rates.arrivals_per_minute is None
    assert rates.oldest_is_older


def test_a_queue_that_stands_for_a_day_takes_little_room() -> None:
    queue = Queue()
    for _ in range(20_000):
        queue.second(arrive=1)
    meter = queue.meters._meters[POOL, 0]
    assert len(meter._waiting) < 2000
    assert sum(each.messages for each in meter._waiting) == 20_000


moves = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=90
)


@given(moves)
def test_waits_are_those_of_a_queue_whose_messages_carry_their_times(
    history: list[tuple[int, int, int]],
) -> None:
    queue = Queue()
    line: list[float] = []
    waits: list[float] = []
    for arrive, deliver, finish in history:
        possible = min(deliver, len(line) + arrive)
        queue.second(arrive=arrive, deliver=possible, finish=min(finish, queue.in_flight))
        line += [queue.now] * arrive
        waits += [queue.now - line.pop(0) for _ in range(possible)]
    rates = queue.rates()
    assert rates.oldest_at == (line[0] if line else None)
    waits.sort()
    if waits:
        assert rates.waited_p50_s == waits[-(-len(waits) // 2) - 1]
        assert rates.waited_p95_s == waits[-(-len(waits) * 95 // 100) - 1]
    else:
        assert rates.waited_p95_s is None


def test_each_of_a_pools_queues_has_rates_of_its_own_and_the_oldest_message_counts() -> None:
    meters = QueueMeters([POOL, POOL, OTHER])
    for second in range(20):
        for number, pending in enumerate((0, second)):
            depth = QueueDepth(pending=pending, in_flight=0, delivered=0)
            meters.saw(POOL, Fresh(value=depth, at=1000.0 + second), number)
    rates = meters.rates(1020.0)
    assert [(each.pool, each.number) for each in rates] == [(POOL, 0), (POOL, 1), (OTHER, 0)]
    assert [each.arrivals_per_minute for each in rates] == [0.0, 57.0, None]
    assert meters.oldest_at(POOL) == 1001.0
    meters.saw(POOL, Absent(why=Why.TIMED_OUT, at=1020.0), 0)
    assert meters.oldest_at(POOL) is None
