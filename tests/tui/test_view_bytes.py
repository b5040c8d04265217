"""How many bytes each view writes to the terminal. No time is measured.

The figures are those of a driver that keeps what a terminal would get, at 160x45 in 16 colours,
where the terminal erases in the background colour, as all common ones do. In true colour a change
of view is up to 12.8 kB (pools).
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from agentdash.tui.names import VIEWS
from controller.model.ids import PoolKey
from controller.model.observation import QueueDepth
from controller.model.readings import Fresh
from controller.model.snapshot import PoolView, Snapshot
from tui import fleet_scenarios, operators, scenarios
from tui.dashboards import dashboard
from tui.plain import typed
from tui.recording import Recording, recorded

WIDE = (160, 45)
IDLE, TICK, CONFIRM, CHANGE, PALETTE = 120, 1_500, 3_000, 15_000, 10_000
NAMES = tuple(view.name for view in VIEWS)
CHANGED = 10


def fleet(sequence: int, *, changed: int = 0, at: float = scenarios.NOW - 0.4) -> Snapshot:
    """Fifty pools in all views. Of the first ones, a queue and its rates, or a tenant's tokens and
    a model's draws, change with the sequence.
    """
    snapshot = replace(
        fleet_scenarios.burst(sequence, at), pools=scenarios.many_pools(50, sequence, at=at).pools
    )
    pools = list(snapshot.pools)
    for place in range(changed):
        pools[place] = with_pending(pools[place], 100 + sequence)
    rates = [
        fleet_scenarios.rates(str(view.key), 10.0 + (sequence if index < changed else 0), 4.0)
        for index, view in enumerate(pools)
    ]
    moves = sequence if changed else 0
    tenants = tuple(
        replace(each, name=f"tenant-{index:03d}", usd_per_hour=10.0 + moves)
        for index, each in enumerate(fleet_scenarios.calm_tenants() * 4)
    )
    models = tuple(
        replace(
            fleet_scenarios.MODELS[2],
            key=f"model-{index}",
            draws=(fleet_scenarios.draw(str(pools[index].key), 10 + moves),),
        )
        for index in range(CHANGED)
    )
    return replace(
        snapshot, pools=tuple(pools), queues=tuple(rates), tenants=tenants, models=models
    )


def with_pending(view: PoolView, pending: int) -> PoolView:
    reading = view.observation.queue
    assert isinstance(reading, Fresh)
    depth: QueueDepth = replace(reading.value, pending=pending)
    seen = replace(view.observation, queue=replace(reading, value=depth))
    return replace(view, key=PoolKey(view.key), observation=seen)


async def go(pilot: Pilot[None], recording: Recording, keys: list[str]) -> int:
    """Press these keys; the bytes that they cost."""
    recording.read()
    for key in keys:
        await pilot.press(key)
    await pilot.pause()
    return len(recording.read().encode())


async def prompt_with(pilot: Pilot[None], text: str) -> None:
    for key in typed(f":{text}"):
        await pilot.press(key)
    await pilot.pause()


@pytest.mark.parametrize("view", NAMES)
@pytest.mark.parametrize("changed", [0, CHANGED])
async def test_a_tick_writes_few_bytes_in_every_view(view: str, changed: int) -> None:
    clock = scenarios.FixedClock()
    feed = scenarios.FakeFeed(fleet(1, changed=changed))
    app = dashboard(feed, clock, erases_in_color=True)
    async with recorded(app, WIDE) as (pilot, recording):
        await prompt_with(pilot, view)
        await pilot.press("enter")
        await pilot.pause()
        recording.read()
        seconds = 5
        for sequence in range(2, 2 + seconds):
            clock.now += 1
            app._redraw()
            feed.publish(fleet(sequence, changed=changed, at=clock.now - 0.4))
            await pilot.pause()
        cost = len(recording.read().encode()) / seconds
    print(f"{view}: {cost:.0f} B a tick with {changed} changes")
    assert 0 < cost <= (TICK if changed else IDLE)


@pytest.mark.parametrize("view", NAMES)
async def test_a_change_of_view_writes_few_bytes(view: str) -> None:
    app = dashboard(scenarios.FakeFeed(fleet(1)), erases_in_color=True)
    async with recorded(app, WIDE) as (pilot, recording):
        await prompt_with(pilot, "pools" if view == "overview" else view)
        if view == "overview":
            await pilot.press("enter")
            await prompt_with(pilot, view)
        there = await go(pilot, recording, ["enter"])
        back = await go(pilot, recording, ["escape"])
    print(f"{view}: there {there} B, back {back} B")
    assert 0 < there <= CHANGE
    assert back <= CHANGE


def with_histories(snapshot: Snapshot, slots: int = 0) -> Snapshot:
    """The snapshot when so many slots of 15 s have ended since the first one."""

    def later(series: tuple[int, ...]) -> tuple[int, ...]:
        return (*series[slots:], *series[:slots])

    histories = {
        key: replace(
            history,
            recent=replace(
                history.recent,
                pending=later(history.recent.pending),
                ready=later(history.recent.ready),
                target=later(history.recent.target),
                wait_s=later(history.recent.wait_s),
            ),
        )
        for key, history in scenarios.histories(snapshot.pools).items()
    }
    return replace(snapshot, histories=histories)


@pytest.mark.parametrize("view", ["overview", "pools", "history"])
async def test_15_minutes_of_every_pool_stay_within_the_bytes_of_a_tick_and_of_a_view(
    view: str,
) -> None:
    clock = scenarios.FixedClock()
    feed = scenarios.FakeFeed(with_histories(fleet(1)))
    app = dashboard(feed, clock, erases_in_color=True)
    async with recorded(app, WIDE) as (pilot, recording):
        if view == "overview":
            await prompt_with(pilot, "tenants")
            await pilot.press("enter")
        await prompt_with(pilot, view)
        there = await go(pilot, recording, ["enter"])
        slots = 4
        for slot in range(1, 1 + slots):
            clock.now += 15
            feed.publish(with_histories(fleet(1 + slot, at=clock.now - 0.4), slot))
            await pilot.pause()
        cost = len(recording.read().encode()) / slots / 15
    print(f"{view}: there {there} B, {cost:.0f} B/s while every slot differs")
    assert 0 < there <= CHANGE
    assert 0 < cost <= TICK


async def test_the_doctor_writes_few_bytes() -> None:
    operator, clock = operators.FakeOperator(), scenarios.FixedClock()
    operator.progress = operators.some_checks()
    feed = scenarios.FakeFeed(fleet(1))
    app = dashboard(feed, clock, operator=operator, erases_in_color=True)
    async with recorded(app, WIDE) as (pilot, recording):
        await prompt_with(pilot, "doctor")
        there = await go(pilot, recording, ["enter"])
        recording.read()
        for sequence in range(2, 7):
            clock.now += 1
            app._redraw()
            feed.publish(fleet(sequence, changed=CHANGED, at=clock.now - 0.4))
            await pilot.pause()
        tick = len(recording.read().encode()) / 5
        back = await go(pilot, recording, ["escape"])
    print(f"doctor: there {there} B, a tick {tick:.0f} B, back {back} B")
    assert 0 < there <= CHANGE
    assert 0 < tick <= IDLE
    assert back <= CHANGE


@pytest.mark.parametrize("view", ["overview", "pools", "queues", "tenants", "pods", "models"])
async def test_the_palette_writes_few_bytes(view: str) -> None:
    app = dashboard(
        scenarios.FakeFeed(fleet(1)), operator=operators.FakeOperator(), erases_in_color=True
    )
    async with recorded(app, WIDE) as (pilot, recording):
        await prompt_with(pilot, view)
        await pilot.press("enter")
        await pilot.pause()
        opened = await go(pilot, recording, ["ctrl+p"])
        closed = await go(pilot, recording, ["escape"])
    print(f"{view}: palette opens {opened} B, closes {closed} B")
    assert 0 < opened <= PALETTE
    assert closed <= PALETTE


@pytest.mark.parametrize("effect", ["POOL", "TENANT", "FLEET"])
@pytest.mark.parametrize("view", ["pools", "queues", "tenants"])
async def test_a_confirmation_writes_few_bytes(view: str, effect: str) -> None:
    operator = operators.FakeOperator()
    operator.effect = getattr(operators, effect)
    app = dashboard(scenarios.FakeFeed(fleet(1)), operator=operator, erases_in_color=True)
    async with recorded(app, WIDE) as (pilot, recording):
        await prompt_with(pilot, view)
        await pilot.press("enter")
        await prompt_with(pilot, "pause until 2h why OPS-881 loop of a tool")
        asked = await go(pilot, recording, ["enter"])
        done = await go(pilot, recording, ["y", "enter"])
    print(f"{view}: asks {asked} B, done {done} B")
    assert len(operator.written) == 1
    assert 0 < asked <= CONFIRM
    assert 0 < done <= CONFIRM
