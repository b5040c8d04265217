"""A clock that is set: every remembered time moves with it."""

from __future__ import annotations

from controller.model.decision import Decision, Number
from support.table import tabled
from unit.planning.story import START, Story, behavior, codes, make_pool, pods

LIMITED = make_pool(behavior=behavior(up=(pods(4, 60),), down_window_s=0, down=(pods(2, 60),)))
ABSURD_STEPS = ("1e12", "-1e12", "1e300", "-1e300")


def ages(decision: Decision, now: float) -> dict[str, Number]:
    """The numbers of the last reason, its times as seconds from now."""
    return {
        name: number - now if name in {"until", "since"} else number  # type: ignore[operator]
        for name, number in decision.reasons[-1].numbers.items()
    }


@tabled("step_s", [3_600.0, -3_600.0])
def test_a_step_of_the_clock_changes_no_age(step_s: float) -> None:
    steady, stepped = (Story(make_pool(cooldown_s=60.0), replicas=5) for _ in range(2))
    for second in range(900):
        work = 5 if second < 320 else 0
        plain = steady.tick(work)
        moved = stepped.tick(work, clock_step_s=step_s if second in {200, 350, 610} else 0.0)
        assert (moved.next, codes(moved)) == (plain.next, codes(plain))
        assert ages(moved, stepped.now) == ages(plain, steady.now)
    assert steady.replicas == 0


def test_a_step_gives_no_policy_a_new_period_and_ages_no_activity() -> None:
    Story(LIMITED, 3).tell("""
        3* 20 : 7
        20 step=3600 : 7 rate_limited_up""")
    for idle in ("0 step=3600 : 1 cooldown", "11* 0 : 1\n0 step=3600 : 1 cooldown"):
        pool = make_pool(cooldown_s=60.0, behavior=behavior(down_window_s=0))
        Story(pool, 1).tell(f"100* 1 : 1\n{idle}")


@tabled("step", ABSURD_STEPS)
def test_a_step_that_no_clock_can_make_is_not_followed(step: str) -> None:
    story = Story(make_pool(cooldown_s=60.0), replicas=8).warmed_up(pending=8)
    before = story.remembered
    story.tell(f"8 step={step} : 8")
    assert story.remembered == before
    story.tell(f"0 step={step} : 8 stabilized_down until=601")


@tabled("step", [1e9, -1e9])
def test_a_step_of_thirty_years_is_followed(step: float) -> None:
    story = Story(make_pool(cooldown_s=60.0), replicas=8).warmed_up(pending=8)
    story.tell(f"8 step={step} : 8")
    assert story.remembered.since == START + step
