"""What the why view says of the next change and of what would be without each rule."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agentdash.foreseen import Ahead
from agentdash.operate import NotDoneError
from tui import fleet_scenarios, scenarios
from tui.dashboards import dashboard
from tui.operators import FakeOperator
from tui.plain import press, screen_lines, typed

NOW = scenarios.NOW
POOL, GROWS = "globex/research", "acme/browser-gpu"
WITHOUT = ("without the budget: 6 (bound by max)", "without max: 4")


def asked(ahead: Ahead) -> FakeOperator:
    operator = FakeOperator()
    operator.ahead = ahead
    return operator


async def why(operator: FakeOperator | None, *keys: str, pool: str = POOL) -> str:
    """The why view of one pool as text."""
    app = dashboard(scenarios.FakeFeed(fleet_scenarios.burst()), operator=operator)
    async with app.run_test(size=(120, 36)) as pilot:
        await press(pilot, *typed(f":why {pool}"), "enter", *keys)
        await app.workers.wait_for_complete()
        await pilot.pause()
        return "\n".join(screen_lines(app))


SHIFTED = "3 replicas are not ready yet; they start one after the other"
TOLD = [
    (Ahead(WITHOUT, "3 → 1", NOW + 42, "stabilised downwards"), POOL,
     ("3→1 in 42s (stabilised downwards ends)", *WITHOUT)),
    (Ahead((), "0 → 4", NOW + 43_200, "budget spent"), POOL, ("at 00:04Z (budget spent ends)",)),
    (Ahead((), "3 → 1", None, "draining"), POOL, ("3→1 waits (draining)",)),
    (Ahead(starting=SHIFTED), POOL, (SHIFTED,)),
    (Ahead(), POOL, ("no change foreseen while the work and the limits stay as they are",)),
    (Ahead(), GROWS, ("15→20 now",)),
]  # fmt: skip


@pytest.mark.parametrize(("ahead", "pool", "told"), TOLD)
async def test_the_next_change_its_time_and_the_size_without_each_rule_are_told(
    ahead: Ahead, pool: str, told: tuple[str, ...]
) -> None:
    operator = asked(ahead)
    text = (await why(operator, pool=pool)).replace(" → ", "→")
    assert operator.looked_ahead == [pool]
    assert all(each in text for each in told)
    assert ("not ready yet" in text) is bool(ahead.starting)


async def test_where_nobody_can_say_it_the_reason_is_told() -> None:
    operator = asked(Ahead())
    operator.failure = NotDoneError("the controller does not answer")
    assert "the controller does not answer" in await why(operator)


async def test_of_the_past_it_is_said_that_it_is_not_known() -> None:
    text = await why(asked(Ahead(WITHOUT)), *typed(":at -1m"), "enter")
    assert "no change" not in text
    assert "known only of now" in text
    assert WITHOUT[0] not in text


async def test_without_an_operator_nothing_is_claimed() -> None:
    text = await why(None)
    assert "foreseen" not in text
    assert "otherwise" not in text


async def test_it_is_asked_again_for_another_decision_but_not_in_every_tick() -> None:
    clock = scenarios.FixedClock()
    operator = asked(Ahead())
    snapshot = fleet_scenarios.burst()
    feed = scenarios.FakeFeed(snapshot)
    app = dashboard(feed, clock, operator=operator)
    async with app.run_test(size=(120, 36)) as pilot:
        await press(pilot, *typed(f":why {POOL}"), "enter")
        for second in range(1, 5):
            clock.now += 1
            snapshot = replace(snapshot, sequence=snapshot.sequence + 1, at=NOW + second)
            feed.publish(snapshot)
            await pilot.pause()
        assert len(operator.looked_ahead) == 1
        pools = tuple(
            replace(each, decision=replace(each.decision, target=9)) if each.decision else each
            for each in snapshot.pools
        )
        feed.publish(replace(snapshot, sequence=snapshot.sequence + 1, at=NOW + 5, pools=pools))
        await pilot.pause()
        await app.workers.wait_for_complete()
        assert len(operator.looked_ahead) == 2
        assert "no change foreseen" in "\n".join(screen_lines(app))
        clock.now += 1
        pools = tuple(
            replace(each, decision=replace(each.decision, target=8)) if each.decision else each
            for each in snapshot.pools
        )
        feed.publish(replace(snapshot, sequence=snapshot.sequence + 2, at=NOW + 6, pools=pools))
        await pilot.pause()
        assert len(operator.looked_ahead) == 2
        assert "no change foreseen" not in "\n".join(screen_lines(app)), "that was of another one"
