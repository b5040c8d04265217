"""Since when something is as it is: kept while it is, begun anew when it differs."""

from __future__ import annotations

from controller.engine.show.lasting import LEFT_FOR_S, Since
from controller.model.decision import Bound, Condition
from support.world import START, make_pool
from unit.engine.conftest import Harness

POOL = make_pool("research", minimum=1, maximum=10)


def test_a_state_keeps_its_time_until_it_is_another_one() -> None:
    since = Since()
    assert since.of("pool", "ok", START) == START
    assert since.of("pool", "ok", START + 60) == START
    assert since.of("other", "ok", START + 60) == START + 60
    assert since.of("pool", "held", START + 90) == START + 90
    since.shift(-3600.0)
    assert since.of("pool", "held", START - 3500) == START - 3510
    since.forget_all_but(["other"])
    assert since.of("pool", "held", START) == START


def test_what_another_process_has_left_is_gone_on_from_for_a_while() -> None:
    since = Since()
    assert since.of("early", "ok", START) == START
    left = [(name, "ok", START - 300) for name in ("early", "blind", "held", "late")]
    since.begin_with([*left, ("future", "ok", START + 9)], START)
    assert since.of("early", "ok", START + 1) == START - 300
    # first readings may be missing: then it stands again as it did
    assert since.of("blind", "blind", START + 1, is_sure=False) == START + 1
    assert since.of("blind", "ok", START + 2) == START - 300
    assert since.of("held", "held", START + 1) == START + 1
    assert since.of("held", "ok", START + 2) == START + 2
    assert since.of("future", "ok", START + 3) == START + 3
    assert since.of("late", "ok", START + LEFT_FOR_S + 1) == START + LEFT_FOR_S + 1


async def test_a_pools_condition_and_its_bound_begin_each_at_its_own_time() -> None:
    world = Harness(POOL, replicas=3)
    world.queue(POOL, pending=3)
    async with world.running():
        await world.snapshot()
        await world.clock.advance(30.0)
        calm = (await world.snapshot()).pools[0].standing
        world.queue(POOL, pending=30)
        await world.clock.advance(5.0)
        assert calm is not None
        assert (calm.condition, calm.since, calm.bound) == (Condition.OK, START, Bound.DEMAND)
        grown = (await world.snapshot()).pools[0].standing
    assert grown is not None
    assert (grown.bound, grown.gate) == (Bound.MAX, None)
    assert START < (grown.bound_since or 0) == grown.since
