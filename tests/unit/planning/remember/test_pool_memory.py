"""What a plan remembers; while nothing happens the memory stays the same."""

from __future__ import annotations

from controller.model.fleet import Fleet
from controller.model.intents import Intents
from controller.model.observation import Observation
from support.planning import plan
from support.table import tabled
from unit.planning.story import START, Story, behavior, make_pool

COOLING = make_pool(cooldown_s=60.0, behavior=behavior(down_window_s=0))


@tabled("work", [0, 4])
def test_while_nothing_happens_the_memory_is_the_same_however_often_it_is_planned(
    work: int,
) -> None:
    story = Story(make_pool(), replicas=work).warmed_up(pending=work)
    before = story.memory.pools
    story.ticks(600, pending=work)
    assert story.memory.pools is before


def test_every_plan_says_when_it_was_made_also_one_that_observed_nothing() -> None:
    story = Story(make_pool(), replicas=4)
    for _ in range(3):
        at = story.now
        story.tick(4)
        assert story.memory.planned_at == at
    fleet = Fleet(pools=(story.pool,))
    _, after = plan(Observation(), fleet, Intents(), story.memory, story.now)
    assert after.planned_at == story.now
    assert after.pools is story.memory.pools


def test_activity_is_open_while_there_is_work_and_ends_with_the_last_plan_that_saw_it() -> None:
    story = Story(COOLING, replicas=1).tell("30* 1 : 1")
    assert story.remembered.active_since == START
    story.tell("0 wait=20 : 1 until=89")
    assert story.remembered.active_since is None
    assert story.remembered.last_active_at == START + 29
    beside = Story(COOLING, replicas=1).tell("""
        0 : 1
        40* 1 workload=? : None
        0 : 1""")
    assert beside.remembered.last_active_at == START + 40, "beside an unknown Deployment"
