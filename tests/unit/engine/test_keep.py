"""Memory and intents over the life of an engine: loaded once, saved beside the ticks, obeyed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from msgspec.structs import replace

from controller.engine.memory import SAVE_EVERY_S, SAVE_MILESTONES_EVERY_S, SEEN_EVERY_S
from controller.model.decision import Code
from controller.model.fleet import Behavior, ScalingRules
from controller.model.intents import IntentFault, Intents, Scope, StoredIntents
from controller.model.memory import Memory, PoolMemory, QueueMark, SavedMemory
from controller.model.readings import Absent, Why
from controller.model.snapshot import Severity
from controller.planning.memory import follow_clock
from controller.ports import StoreAwayError, StoreConflictError, StoreUnreadableError
from support.asked import a_budget, a_cap, a_freeze, a_pause, a_pin, intents_of, no_growth_of
from support.world import START, make_pool, settle
from unit.engine.conftest import Harness

WINDOW_S = 100.0
PATIENT = Behavior(
    scale_up=ScalingRules(stabilization_window_s=0),
    scale_down=ScalingRules(stabilization_window_s=int(WINDOW_S)),
)
POOL = make_pool("research", minimum=1, maximum=10, behavior=PATIENT)
OTHER = make_pool("browser", minimum=1, maximum=10)


async def findings(world: Harness, subject: str) -> list[str]:
    return [each.text for each in (await world.snapshot()).findings if each.subject == subject]


async def reasons(world: Harness) -> set[Code]:
    [view, *_] = (await world.snapshot()).pools
    assert view.decision is not None
    return {reason.code for reason in view.decision.reasons}


async def left_by_a_quiet_fleet(ended_s_ago: float) -> SavedMemory:
    """What a process leaves that saw four replicas idle for 60 s."""
    before = Harness(POOL, replicas=4)
    before.queue(POOL, pending=4)
    async with before.running():
        await before.clock.advance(300.0)
        before.queue(POOL, pending=1)
        await before.clock.advance(60.0)
    kept = before.memories.kept
    assert kept is not None
    assert before.cluster.writes == []
    shift = START - ended_s_ago - before.clock.now()
    return SavedMemory(memory=follow_clock(kept.memory, shift), saved_at=kept.saved_at + shift)


@pytest.mark.parametrize("ahead_s", [None, 3600.0, 45.0, -45.0, -3600.0])
async def test_a_new_process_goes_on_in_the_middle_of_the_window(ahead_s: float | None) -> None:
    """Also where the clock of the process before it was another one."""
    world = Harness(POOL, replicas=4)
    world.queue(POOL, pending=1)
    left = await left_by_a_quiet_fleet(ended_s_ago=5.0 - (ahead_s or 0.0))
    age_s = None if ahead_s is None else START + ahead_s - left.saved_at
    world.memories.kept = replace(left, age_s=age_s)
    async with world.running():
        await world.clock.advance(30.0)
        assert world.cluster.writes == []
        await world.clock.advance(10.0)
        assert world.cluster.writes == [(POOL.key, 1, False)]


@pytest.mark.parametrize("ended_s_ago", [None, 7200.0])
async def test_without_a_memory_of_the_window_a_whole_one_is_held(
    ended_s_ago: float | None,
) -> None:
    world = Harness(POOL, replicas=4)
    world.queue(POOL, pending=1)
    if ended_s_ago is not None:
        world.memories.kept = await left_by_a_quiet_fleet(ended_s_ago)
    async with world.running():
        await world.clock.advance(WINDOW_S - 1)
        assert world.cluster.writes == []
        assert Code.HELD_WARM_UP in await reasons(world)
        await world.clock.advance(3.0)
        assert world.cluster.writes == [(POOL.key, 1, False)]


SHORT_S = 15.0
BUSY = make_pool(
    "research",
    minimum=1,
    maximum=20,
    behavior=Behavior(
        scale_up=ScalingRules(stabilization_window_s=0),
        scale_down=ScalingRules(stabilization_window_s=int(SHORT_S)),
    ),
)
QUEUE = (10, 10, 10, 10, 10, 6, 7, 6, 8, 6, 6, 10, 6, 7, 6, 6, 6, 9, 6, 10, 8, 6)
"""Of each of two seconds; ten is never gone for as long as the window."""


async def moving_queue(world: Harness) -> AsyncIterator[tuple[float, int]]:
    """The queue moves again and again, second by second."""
    for pending in QUEUE * 2:
        world.queue(BUSY, pending)
        for _ in range(2):
            await world.clock.advance(1.0)
            yield world.clock.now(), pending


@pytest.mark.parametrize("slow", [False, True], ids=["prompt", "slow"])
@pytest.mark.parametrize("down_s", [0.5, 2.7])
async def test_what_stood_in_the_window_before_a_kill_is_not_lowered_by_the_next_process(
    down_s: float, *, slow: bool
) -> None:
    """It is killed at some second; the next process begins so much later, with six."""
    before = Harness(BUSY, replicas=10)
    if slow:
        before.memories.gate = asyncio.Event()
    killed: list[tuple[float, float, SavedMemory]] = []
    async with before.running():
        last_ten_at = START
        async for at, pending in moving_queue(before):
            last_ten_at = at if pending == 10 else last_ten_at
            if slow and int(at - START) % 5 == 0:
                before.memories.gate.set()
                await settle()
                before.memories.gate.clear()
            if (kept := before.memories.kept) is not None:
                killed.append((at, last_ten_at, kept))
    for at, last_ten_at, kept in killed[::5]:
        by_s = START - down_s - at
        world = Harness(BUSY, replicas=10)
        world.queue(BUSY, pending=6)
        memory = follow_clock(kept.memory, by_s)
        world.memories.kept = replace(kept, memory=memory, saved_at=kept.saved_at + by_s)
        async with world.running():
            await world.clock.advance(max(0.0, last_ten_at + by_s + SHORT_S - START - 1.0))
            assert world.cluster.writes == [], (at, last_ten_at)
            await world.clock.advance(2 * SHORT_S + down_s)
            assert world.cluster.writes[-1][:2] == (BUSY.key, 6), "it is not held for ever"


async def test_while_nothing_changes_it_is_noted_until_when_it_was_watched() -> None:
    world = Harness(POOL, replicas=1)
    world.queue(POOL, pending=1)
    async with world.running():
        await world.clock.advance(600.0)
        kept = world.memories.kept
        assert kept is not None
        assert world.clock.now() - kept.saved_at <= SEEN_EVERY_S + 1.0
        assert len(world.memories.saves) <= 2


async def test_a_memory_from_the_future_holds_no_longer_than_its_window() -> None:
    world = Harness(POOL, replicas=4)
    world.queue(POOL, pending=1)
    world.memories.kept = await left_by_a_quiet_fleet(ended_s_ago=-86_400.0)
    async with world.running():
        await world.clock.advance(WINDOW_S + 1)
        assert world.cluster.writes == [(POOL.key, 1, False)]


async def test_a_memory_that_cannot_be_read_is_lost_and_said_so() -> None:
    error = StoreUnreadableError("it has format 2")
    world = Harness(POOL, replicas=4)
    world.queue(POOL, pending=1)
    world.memories.error = error
    async with world.running():
        world.memories.error = None
        await world.clock.advance(WINDOW_S - 1)
        assert world.cluster.writes == []
        assert Code.HELD_WARM_UP in await reasons(world)
        [text] = await findings(world, "memory")
        assert str(error) in text
        await world.clock.advance(3.0)
        assert await findings(world, "memory") == []


async def test_a_store_that_answers_late_gives_its_memory_before_any_save() -> None:
    world = Harness(POOL, replicas=4)
    world.queues.depths[POOL.key] = Absent(why=Why.DISCONNECTED, at=START)
    left = world.memories.kept = await left_by_a_quiet_fleet(ended_s_ago=5.0)
    world.memories.error = StoreAwayError("not connected")
    async with world.running():
        await world.clock.advance(20.0)
        assert world.memories.saves == []
        [text] = await findings(world, "memory")
        assert "not connected" in text
        assert "go on from it when it can" in text
        world.memories.error = None
        world.queue(POOL, pending=1)
        await world.clock.advance(10.0)
        assert world.cluster.writes == []
        assert await findings(world, "memory") == []
        await world.clock.advance(10.0)
        assert world.cluster.writes == [(POOL.key, 1, False)], "the window of before goes on"
    assert world.memories.kept is not left
    assert world.memories.kept is not None
    assert world.memories.kept.memory.pools[POOL.key].since < START


async def test_a_store_that_never_answers_loses_nothing_of_what_it_holds() -> None:
    world = Harness(POOL, replicas=1)
    world.queue(POOL, pending=5)
    left = world.memories.kept = await left_by_a_quiet_fleet(ended_s_ago=5.0)
    world.memories.error = StoreAwayError("not connected")
    async with world.running():
        await world.clock.advance(60.0)
        world.memories.error = None
    assert world.memories.kept is left
    assert world.cluster.writes == [(POOL.key, 5, False)]


async def test_an_empty_store_that_answers_late_is_saved_to() -> None:
    world = Harness(POOL, replicas=1)
    world.queue(POOL, pending=5)
    world.memories.error = StoreAwayError("not connected")
    async with world.running():
        await world.clock.advance(5.0)
        world.memories.error = None
        await world.clock.advance(20.0)
        assert world.memories.kept is not None
        assert await findings(world, "memory") == []


async def test_a_store_that_never_answers_delays_the_first_tick_by_seconds_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("controller.engine.memory.RECALL_S", 0.05)
    world = Harness(POOL, replicas=1)
    world.queue(POOL, pending=5)

    async def never() -> SavedMemory | None:
        return await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(world.memories, "load", never)
    async with world.running():
        await asyncio.sleep(0.1)
        await settle()
        assert world.cluster.writes == [(POOL.key, 5, False)]


async def test_memory_is_saved_when_it_changes_and_never_while_nothing_does() -> None:
    world = Harness(POOL, OTHER, replicas=1)
    world.queue(POOL, pending=1)
    async with world.running():
        await world.snapshot()
        await world.clock.advance(600.0)
        assert [at - START for at in world.memories.saves] == [SAVE_EVERY_S]
        world.queue(POOL, pending=5)
        await world.clock.advance(2.0)
        assert world.memories.saves[1:] == [START + 601.0]
        kept = world.memories.kept
        assert kept is not None
        assert kept.memory.pools[POOL.key].asked is not None


async def test_a_burst_of_decisions_is_saved_once_a_second() -> None:
    world = Harness(POOL, OTHER, replicas=1)
    async with world.running():
        for size in range(2, 10):
            world.queue(POOL, pending=size)
            await world.clock.advance(0.5)
            world.intents.set(intents_of(pins=(a_pin(pool=OTHER.key, replicas=size),)), Scope())
            await world.clock.advance(0.5)
        gaps = [after - before for before, after in pairwise(world.memories.saves)]
        assert min(gaps) >= 1.0
        assert len(gaps) >= 4


async def test_a_slow_save_delays_no_tick_and_the_latest_memory_follows_it() -> None:
    world = Harness(POOL, replicas=1)
    world.queue(POOL, pending=1)
    world.memories.gate = asyncio.Event()
    async with world.running():
        await world.clock.advance(20.0)
        assert len(world.memories.saves) == 1
        world.queue(POOL, pending=6)
        await world.clock.advance(20.0)
        assert world.cluster.writes == [(POOL.key, 6, False)]
        assert (await world.snapshot()).loop.late_ticks == 0
        assert len(world.memories.saves) == 1
        world.memories.gate.set()
        await world.clock.advance(600.0)
        kept = world.memories.kept
        assert kept is not None
        assert kept.memory.pools[POOL.key].recommendations[-1].replicas == 6


async def test_what_a_graceful_stop_leaves_is_the_last_tick() -> None:
    world = Harness(POOL, replicas=1)
    world.queue(POOL, pending=1)
    async with world.running():
        await world.clock.advance(7.0)
        assert world.memories.saves == []
    kept = world.memories.kept
    assert kept is not None
    assert kept.saved_at >= START + 7.0


async def test_a_memory_that_cannot_be_saved_is_a_finding_until_it_can() -> None:
    world = Harness(POOL, replicas=1)
    world.queue(POOL, pending=5)
    async with world.running():
        world.memories.error = StoreAwayError("bucket agentdash: no space left")
        await world.clock.advance(20.0)
        [text] = await findings(world, "memory")
        assert "no space left" in text
        tries = len(world.memories.saves)
        assert 2 <= tries <= 5
        world.memories.error = None
        await world.clock.advance(6.0)
        assert await findings(world, "memory") == []
        assert world.memories.kept is not None


async def test_a_second_controller_that_saves_too_is_a_finding_and_is_followed_soon() -> None:
    world = Harness(POOL, replicas=1)
    world.queue(POOL, pending=5)
    async with world.running():
        world.memories.error = StoreConflictError("another memory stands there")
        await world.clock.advance(20.0)
        [text] = await findings(world, "memory")
        assert "another memory" in text
        assert 3 <= len(world.memories.saves) <= 5


async def test_an_intent_is_obeyed_at_once_and_by_the_pools_it_concerns() -> None:
    world = Harness(POOL, OTHER, replicas=1)
    async with world.running():
        await world.clock.advance(1.5)
        world.queues.reads.clear()
        pin = a_pin(pool=OTHER.key, replicas=3, who="ann")
        world.intents.set(intents_of(pins=(pin,)), Scope(pool=OTHER.key))
        await settle()
        assert world.cluster.writes == [(OTHER.key, 4, False)]
        # none of its workers was heard, so its queue alone says whether they are busy now
        assert world.queues.reads == [(OTHER.key,)]


@pytest.mark.parametrize(
    "scope", [Scope(), Scope(tenant="acme"), Scope(pool=POOL.key)], ids=["fleet", "tenant", "pool"]
)
async def test_a_freeze_stops_writes_from_the_moment_it_is_seen(scope: Scope) -> None:
    world = Harness(POOL, replicas=1)
    async with world.running():
        await world.clock.advance(1.5)
        world.intents.set(
            intents_of(freezes=(a_freeze(scope=scope, who="eve", why="incident"),)), scope
        )
        world.queue(POOL, pending=9)
        await world.clock.advance(30.0)
        assert world.cluster.writes == []
        assert Code.FROZEN in await reasons(world)
        world.intents.set(Intents(), scope)
        await settle()
        assert world.cluster.writes == [(POOL.key, 9, False)]


async def test_intents_that_cannot_be_read_end_never_and_nothing_goes_down() -> None:
    world = Harness(OTHER, replicas=4)
    pin = a_pin(pool=OTHER.key, replicas=3, until=START + 60)
    world.intents.now = StoredIntents(
        intents=intents_of(pins=(pin,)), read=True, lost_at=START + 5, detail="no answer"
    )
    async with world.running():
        await world.clock.advance(900.0)
        assert world.cluster.writes == []
        [text] = await findings(world, "intents")
        assert "those known before stay in force" in text
        world.intents.set(intents_of(pins=(pin,)), Scope(pool=OTHER.key))
        await world.clock.advance(1.0)
        assert world.cluster.writes == [(OTHER.key, 1, False)]


async def test_an_intent_that_ended_before_it_became_unreadable_stays_ended() -> None:
    world = Harness(OTHER, replicas=1)
    pause = a_pause(scope=Scope(), keep=5, until=START - 60)
    world.intents.now = StoredIntents(intents=intents_of(pauses=(pause,)), read=True, lost_at=START)
    async with world.running():
        await world.clock.advance(10.0)
        assert world.cluster.writes == []


async def test_an_intent_that_cannot_be_understood_is_a_finding() -> None:
    world = Harness(OTHER, replicas=1)
    fault = IntentFault(key="intent.freeze", text="what is written there cannot be read")
    world.intents.now = StoredIntents(read=True, faults=(fault,))
    async with world.running():
        [finding] = [
            each for each in (await world.snapshot()).findings if each.subject == "intents"
        ]
    assert finding.severity is Severity.WARNING
    assert finding.text == "intent.freeze: what is written there cannot be read"


async def test_new_kinds_of_intents_without_effect_are_warnings_too() -> None:
    world = Harness(OTHER, replicas=1)
    intents = intents_of(
        caps=(a_cap(pool="acme/browzer", replicas=2),),
        no_growths=(no_growth_of(scope=Scope(tenant="acmee")),),
        budgets=(a_budget(tenant="acmee", tokens=1), a_budget(tenant="acme", tokens=1)),
    )
    world.intents.now = StoredIntents(intents=intents, read=True)
    async with world.running():
        found = [each for each in (await world.snapshot()).findings if each.subject == "intents"]
    assert [finding.text.partition(":")[0] for finding in found] == [
        "the cap of acme/browzer has no effect",
        "the no-growth of tenant acmee has no effect",
        "the budget of tenant acmee has no effect",
        "the budget of tenant acme has no effect",
    ]
    assert "no tokens_per_day" in found[-1].text


async def test_an_intent_for_a_name_that_the_fleet_does_not_have_is_a_warning() -> None:
    world = Harness(OTHER, replicas=1)
    typo = a_pin(pool="acme/browzer", replicas=2)
    stranger = a_pause(scope=Scope(tenant="acmee"))
    ended = a_freeze(scope=Scope(pool="acme/gone"), until=START - 1)
    ends = a_freeze(scope=Scope(pool="acme/broser"), until=START + 60)
    good = a_freeze(scope=Scope(tenant="acme"))
    world.intents.now = StoredIntents(
        intents=intents_of(pins=(typo,), pauses=(stranger,), freezes=(ended, ends, good)), read=True
    )
    async with world.running():
        found = [each for each in (await world.snapshot()).findings if each.subject == "intents"]
        assert [finding.text for finding in found] == [
            (
                "the pin of acme/browzer has no effect: the fleet has no pool acme/browzer;"
                " nearest: acme/browser"
            ),
            "the pause of tenant acmee has no effect: the fleet has no tenant acmee; nearest: acme",
            (
                "the freeze of acme/broser protects nothing: the fleet has no pool acme/broser;"
                " nearest: acme/browser"
            ),
        ]
        assert {finding.severity for finding in found} == {Severity.WARNING}
        await world.clock.advance(61.0)
        kinds = {each.kind for each in (await world.snapshot()).findings}
        assert kinds == {"pin acme/browzer", "pause tenant acmee"}


SETTLED_S = 10 * SAVE_EVERY_S
"""After this time without news there is nothing left to save."""


def mark(created: str) -> QueueMark:
    """Where the pool's queue stands in its history."""
    [queue] = POOL.queues
    return QueueMark(
        stream=queue.stream,
        consumer=queue.consumer,
        created=created,
        at=START,
        pending=0,
        in_flight=4,
    )


def kept_marks(world: Harness) -> tuple[QueueMark, ...]:
    assert world.memories.kept is not None
    return world.memories.kept.memory.pools[POOL.key].queues


async def test_where_a_queue_stands_in_its_history_is_saved_and_left_to_the_next_process() -> None:
    before = Harness(POOL, replicas=4)
    before.queue(POOL, pending=4)
    before.histories.known = {POOL.queues[0]: mark("monday")}
    async with before.running():
        await before.clock.advance(SAVE_EVERY_S + 1)
    assert kept_marks(before) == (mark("monday"),)
    assert before.memories.kept is not None
    world = Harness(POOL, replicas=4)
    world.queue(POOL, pending=4)
    world.memories.kept = SavedMemory(memory=before.memories.kept.memory, saved_at=START)
    async with world.running():
        await world.clock.advance(1.0)
        look = world.engine.look()
    assert world.histories.given == [mark("monday")]
    assert look is not None
    assert look.memory is not None
    assert look.memory.pools[POOL.key].queues == (), "nothing is planned by it"


async def test_a_milestone_of_a_queue_is_saved_though_nothing_else_changes() -> None:
    world = Harness(POOL, replicas=4)
    world.queue(POOL, pending=4)
    saves = []
    async with world.running():
        for _ in range(2):
            await world.clock.advance(SETTLED_S)
            saves.append(len(world.memories.saves))
        world.histories.known = {POOL.queues[0]: mark("tuesday")}
        for _ in range(2):  # one long after the last save, and one soon after
            world.histories.milestones += 1
            await world.clock.advance(SAVE_MILESTONES_EVERY_S + 1)
            saves.append(len(world.memories.saves))
        await world.clock.advance(SETTLED_S)
        saves.append(len(world.memories.saves))
    assert [count - saves[0] for count in saves] == [0, 0, 1, 2, 2]
    assert kept_marks(world) == (mark("tuesday"),)


async def test_a_memory_that_is_read_late_hands_over_where_queues_stood() -> None:
    world = Harness(POOL, replicas=4)
    world.queue(POOL, pending=4)
    world.memories.error = StoreAwayError("no answer")
    memory = Memory(pools={POOL.key: PoolMemory(since=START - 9, queues=(mark("monday"),))})
    world.memories.kept = SavedMemory(memory=memory, saved_at=START)
    async with world.running():
        await world.clock.advance(5.0)
        early = list(world.histories.given)
        world.memories.error = None
        await world.clock.advance(5.0)
    assert (early, world.histories.given) == ([], [mark("monday")])
