"""Replicas that stand by for pools: how many there should be, and what of a pool's work is left to
them.

A pool whose work takes no more than a share of one standby's time stays at zero. Its message is
left to the standbys that are free; if it still waits after LEFT_S, or none is free, the pool starts
a replica of its own as if none stood by.

So many stand by that a first message finds none of them free with a chance of at most 1 %: those at
work, and the Poisson quantile of what the sleeping pools send together while one that was taken is
replaced.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from controller.model.decision import Code
from controller.model.memory import PoolMemory
from controller.model.observation import Workers
from controller.model.readings import Fresh, last_known
from controller.planning.demand.learned import cold_start_s
from controller.planning.demand.native import arrivals_per_s, service_s, spares_for_arrivals
from controller.planning.inputs import Moment, PoolInput
from controller.planning.values import Demand, because

FOUND_FREE: Final = 0.99
"""The share of first messages that find one that is free."""
LEFT_S: Final = 2.0
"""JetStream hands a message over in milliseconds; one that waits so long is not taken."""
LOOK_S: Final = 5.0
_DIGITS: Final = 3


def demand_to_stand_by(given: PoolInput, moment: Moment) -> Demand:
    """How many replicas should stand by; without a fresh word of those that do a lower bound."""
    pool, others, reading = given.terms.pool, given.others or {}, given.seen.workers
    workers = None if reading is None else last_known(reading)
    busy = sum(state.busy > 0 for state in (workers or Workers()).states)
    ready_s = cold_start_s(given.seen, None)
    moment.note(moment.now + LOOK_S)
    rates = [_rate_and_load(others.get(key), moment.now) for key in pool.serves]
    left = [rate for rate, load in rates if load <= pool.share]
    free = spares_for_arrivals(round(sum(left) * ready_s, _DIGITS), FOUND_FREE)
    reason = because(
        Code.STANDS_BY,
        busy + free,
        pools=len(pool.serves),
        busy=busy,
        free=free,
        arrivals_per_min=round(sum(left) * 60, 2),
        ready_s=round(ready_s, _DIGITS),
    )
    return Demand(
        messages=busy,
        counted=isinstance(reading, Fresh),
        woken=False,
        replicas=busy + free,
        needed=busy,
        active=True,
        forced=False,
        memory=given.memory,
        reasons=(reason,),
    )


def left_to_standbys(given: PoolInput, demand: Demand, moment: Moment) -> Demand:
    """The demand without what those that stand by do, or will take at once."""
    seen, queue, share = given.seen.stand_by, given.seen.queue, given.terms.standby_share
    if seen is None or share is None or not demand.counted or not isinstance(queue, Fresh):
        return demand
    depth, memory = queue.value, demand.memory
    # its state may reach us after the count of the queue
    waits = max(depth.pending, int(demand.woken)) + max(depth.in_flight - seen.busy, 0)
    _, load = _rate_and_load(memory, moment.now)
    since = memory.left_since if waits and memory.left_since is not None else moment.now
    is_left = load <= share and waits <= (0 if given.current else seen.free)
    is_left = is_left and not (waits and moment.reached(since + LEFT_S))
    after = since if waits and not given.current else None
    if after != memory.left_since:
        memory = replace(memory, left_since=after)
    if not is_left or not seen.busy + seen.free:
        return demand if memory is demand.memory else replace(demand, memory=memory)
    reason = because(
        Code.LEFT_TO_STANDBYS, 0, busy=seen.busy, free=seen.free, load=round(load, 2), share=share
    )
    return replace(
        demand,
        messages=0,
        replicas=0,
        needed=0,
        active=demand.forced,
        expects_work=False,
        memory=memory,
        reasons=(*demand.reasons, reason),
    )


def _rate_and_load(memory: PoolMemory | None, now: float) -> tuple[float, float]:
    """The expected messages a second of a pool, and how many standbys they keep busy on average."""
    if memory is None or memory.native is None:
        return 0.0, 0.0
    learned = memory.native.learned
    rate = arrivals_per_s(learned, now)
    return rate, rate * service_s(learned)
