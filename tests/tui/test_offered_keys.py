"""What the hints and `?` offer in a view does something there, whichever row has the cursor."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from agentdash.tui.actions import PAGE_TABS, UserAction
from controller.model.snapshot import Snapshot
from tui import fleet_scenarios
from tui.all_views import VIEWS
from tui.operators import FakeOperator, some_changes
from tui.plain import typed
from tui.sessions import Session, session

UNREADY = "acme/browser-gpu"
TABS = [*enumerate(PAGE_TABS, 1)]
WAYS = {
    **{view.name: [*typed(f":{view.name}"), "enter"] for view in VIEWS},
    **{f"pool at {tab}": [*typed(f":pool {UNREADY}"), "enter", str(n)] for n, tab in TABS},
    "history": [*typed(":tn"), "enter", "t"],
    "audit": [*typed(":audit"), "enter"],
    "detail": [*typed(":audit"), "enter", "enter"],
    "logs": [*typed(":po/00001"), "enter", "l"],
    "help": ["?"],
}
TRIED = frozenset({"open", "filter", "copy", "copy_row", "why", "logs", "history"})
REFUSALS = re.compile("nothing|no pool|no pod|this table|shift-. sorts by no|.* does nothing here")


def burst() -> Snapshot:
    found = fleet_scenarios.burst()
    return replace(found, pools=tuple(sorted(found.pools, key=lambda view: view.key != UNREADY)))


async def refusal(running: Session, action: UserAction) -> str:
    """What the last line says where the key did nothing."""
    await running.keys(action.keys[0].split(",")[-1])
    said = running.app._flash.text
    if running.app.view.prompt.mode:
        await running.keys("escape")
    return said if REFUSALS.match(said) else ""


@pytest.mark.timeout(240)
async def test_each_key_that_a_view_offers_does_something_there() -> None:
    operator = FakeOperator()
    operator.changes = some_changes()
    async with session(burst(), size=(120, 36), operator=operator) as running:
        for way, keys in WAYS.items():
            await running.app.views.go_to(running.app.views.overview)
            await running.keys(*keys)
            running.app.flash("")
            view = running.app.view
            assert way.partition(" ")[0] == view.VIEW
            for action in [action for action in view.actions if action.id in TRIED]:
                assert not await refusal(running, action), f"{action.id} {action.argument} in {way}"
                if running.app.view is not view:
                    await running.app.views.go_to(view)
                    running.app.flash("")


async def test_a_fact_opens_nothing_and_its_name_is_copied_not_a_pools_key() -> None:
    async with session(burst()) as running:
        await running.keys(*WAYS["health"], "tab")
        offered = {action.id: action.help for action in running.app.view.actions}
        assert "open" not in offered
        assert offered["copy"] == "copy the name of the row"


@pytest.mark.parametrize(
    ("way", "why"),
    [
        ([*typed(":nodes"), "enter"], "no pool under the cursor"),
        ([*typed(":audit"), "enter", "enter"], "no pool under the cursor"),
        ([*typed(":tenants"), "enter"], "no pool under the cursor"),
    ],
)
async def test_a_row_without_a_pool_does_not_offer_to_explain_one_and_says_why(
    way: list[str], why: str
) -> None:
    operator = FakeOperator()
    operator.changes = some_changes()
    async with session(burst(), size=(120, 36), operator=operator) as running:
        await running.keys(*way)
        assert "why" not in {action.id for action in running.app.view.actions}
        assert "<d>why" not in running.text("#hints")
        await running.keys("d")
        assert why in running.text("#crumbs")


async def test_the_hints_follow_the_cursor_to_a_pool_and_away_from_it() -> None:
    async with session(burst(), size=(120, 36), operator=FakeOperator()) as running:
        await running.keys(*typed(":nodes"), "enter")
        assert "<d>why" not in running.text("#hints")
        await running.keys("tab")
        assert "<d>why" in running.text("#hints")
        assert "why" in {action.id for action in running.app.view.actions}


async def test_a_pod_that_is_not_known_offers_no_log() -> None:
    async with session(burst(), size=(120, 36)) as running:
        await running.keys(*typed(":pods"), "enter")
        assert running.app.view.pod_under_cursor is None
        assert "logs" not in {action.id for action in running.app.view.actions}
        await running.keys("l")
        assert "no pod under the cursor" in running.text("#crumbs")
        await running.keys("j")
        assert "<l>logs" in running.text("#hints")
