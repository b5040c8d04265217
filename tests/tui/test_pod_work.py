"""Whether the pods of the view `pods` are busy or idle, as their workers say."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from controller.model.observation import Workers
from controller.model.readings import Absent, Fresh, Stale, Why
from controller.model.snapshot import Snapshot
from controller.model.worker_messages import WorkerState
from tui import fleet_scenarios, scenarios
from tui.plain import typed
from tui.sessions import Session, session

NOW = scenarios.NOW
POOL = "acme/browser-gpu"
POD = "browser-gpu-7c9f-00001"


def saying(busy: int | None, sequence: int = 0, *, stale: bool = False, lost: int = 0) -> Snapshot:
    """The worker in one pod has so many tasks in two slots; None: workers say nothing."""
    reading: Fresh[Workers] | Stale[Workers] | Absent = Absent(why=Why.NEVER_READ)
    if busy is not None:
        state = WorkerState(worker=POD, slots=2, busy=busy, pulling=True, lost=lost)
        reading = Fresh(value=Workers(states=(state,)), at=NOW)
        if stale:
            reading = Stale(value=reading.value, at=NOW - 40, why=Why.TIMED_OUT)
    burst = fleet_scenarios.burst()
    pools = tuple(
        replace(view, observation=replace(view.observation, workers=reading))
        if view.key == POOL
        else view
        for view in burst.pools
    )
    return replace(burst, pools=pools, sequence=burst.sequence + sequence)


def row_and_details(running: Session) -> tuple[str, str]:
    table = running.text("#pods").splitlines()
    row = next(text for text in table if "browser-gp" in text and "ready" in text)
    return row, running.text("#details")


@pytest.mark.parametrize(
    ("busy", "stale", "told"), [(1, False, "busy 1/2 "), (0, False, "idle "), (0, True, "idle~ ")]
)
async def test_a_pod_is_busy_or_idle_in_its_row_and_in_its_details(
    busy: int, stale: bool, told: str
) -> None:
    async with session(saying(busy, stale=stale)) as running:
        await running.keys(*typed(f":po/{POD}"), "enter")
        row, details = row_and_details(running)
        assert told in row
        assert told in details


async def test_a_slot_that_an_agent_holds_for_ever_is_shown() -> None:
    async with session(saying(1, lost=1)) as running:
        await running.keys(*typed(f":po/{POD}"), "enter")
        row, details = row_and_details(running)
        assert "lost 1/2" in row
        assert "lost 1/2" in details


async def test_what_a_worker_says_next_is_shown_although_its_pod_did_not_change() -> None:
    async with session(saying(0)) as running:
        await running.keys(*typed(f":po/{POD}"), "enter")
        await running.publish(saying(2, 1))
        row, details = row_and_details(running)
        assert "busy 2/2" in row
        assert "busy 2/2" in details


async def test_a_pod_whose_worker_says_nothing_is_neither() -> None:
    async with session(saying(None)) as running:
        await running.keys(*typed(f":po/{POD}"), "enter")
        row, details = row_and_details(running)
        assert " ? " in row
        assert "busy or idle is not told" in details
