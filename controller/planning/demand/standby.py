"""Replicas that stand by for pools: how many there should be, and what of a pool's work is left to
them.

A pool whose work takes no more than a share of one standby's time stays at zero. Its messages are
left to the standbys that are free; one that still waits after LEFT_S, or for which none is free,
starts a replica of its own, which goes when it is idle.

So many stand by that a first message finds one of them free with the chance that `slo` names: those
at work, and the Poisson quantile of what the sleeping pools send together while one that was taken
is replaced.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from controller.model.decision import Code
from controller.model.memory import PoolMemory
from controller.model.observation import Workers
from controller.model.readings import Fresh, last_known
from controller.planning.demand.learned import cold_start_s
from controller.planning.demand.native import (
    arrivals_per_s,
    replicas_needed,
    service_s,
    spares_for_arrivals,
)
from controller.planning.inputs import Moment, PoolInput
from controller.planning.values import Demand, because

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
    free = spares_for_arrivals(round(sum(left) * ready_s, _DIGITS), pool.slo)
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
    """The demand without what those that stand by do, or will take at once. A pool that needs more
    than its share of them has its whole demand, and they take what finds its replicas busy.
    """
    seen, queue, share = given.seen.stand_by, given.seen.queue, given.terms.standby_share
    if seen is None or share is None or not demand.counted or not isinstance(queue, Fresh):
        return demand
    depth, memory = queue.value, demand.memory
    own, waiting = max(depth.in_flight - seen.busy, 0), max(depth.pending, int(demand.woken))
    if not given.current:  # a standby's state may reach us after the count of the queue
        own, waiting = 0, waiting + own
    since = memory.left_since if waiting and memory.left_since is not None else moment.now
    after = since if waiting else None
    if after != memory.left_since:
        memory = replace(memory, left_since=after)
    _, load = _rate_and_load(memory, moment.now)
    if load > share or not seen.busy + seen.free:
        return demand if memory is demand.memory else replace(demand, memory=memory)
    free = 0 if waiting and moment.reached(since + LEFT_S) else seen.free
    messages = own + max(waiting - free, 0)
    replicas = replicas_needed(messages, max(given.terms.pool.slots, 1), messages)
    numbers = {"busy": seen.busy, "free": seen.free, "load": round(load, 2), "share": share}
    return replace(
        demand,
        messages=messages,
        replicas=replicas,
        needed=replicas,
        active=demand.forced or bool(messages),
        expects_work=False,
        memory=memory,
        reasons=(*demand.reasons, because(Code.LEFT_TO_STANDBYS, replicas, **numbers)),
    )


def _rate_and_load(memory: PoolMemory | None, now: float) -> tuple[float, float]:
    """The expected messages a second of a pool, and how many standbys they keep busy on average."""
    if memory is None or memory.native is None:
        return 0.0, 0.0
    learned = memory.native.learned
    rate = arrivals_per_s(learned, now)
    return rate, rate * service_s(learned)
