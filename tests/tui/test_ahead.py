"""What the why view says of the next change and of what would be without each rule."""

from __future__ import annotations

from collections.abc import Callable

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
Picture = Callable[..., bool]


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


async def test_the_next_change_and_the_size_without_each_rule_are_told() -> None:
    operator = asked(Ahead(WITHOUT, "3 → 1", NOW + 42, "stabilised downwards"))
    text = await why(operator)
    assert operator.looked_ahead == [POOL]
    assert "3→1 in 42s (stabilised downwards ends)" in text.replace(" → ", "→")
    assert all(each in text for each in WITHOUT)


async def test_a_change_hours_away_is_told_by_the_clock() -> None:
    text = await why(asked(Ahead((), "0 → 4", NOW + 43_200, "budget spent")))
    assert "at 00:04Z (budget spent ends)" in text


async def test_replicas_that_start_are_told_with_their_time() -> None:
    words = "3 replicas are not ready yet; they start one after the other"
    assert words in await why(asked(Ahead(starting=words)))
    assert "not ready yet" not in await why(asked(Ahead()))


async def test_a_pool_that_does_not_change_says_so() -> None:
    text = await why(asked(Ahead()))
    assert "no change foreseen while the work and the limits stay as they are" in text


async def test_a_pool_that_changes_in_this_tick_says_now() -> None:
    assert "15→20 now" in await why(asked(Ahead()), pool=GROWS)


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


def _app() -> object:
    ahead = Ahead(("without max: 95",), "88 → 60", NOW + 42, "held blind")
    return dashboard(scenarios.FakeFeed(fleet_scenarios.burst()), operator=asked(ahead))
