"""The view of what needs attention: every finding, and what each leads to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from controller.model.snapshot import Finding, Severity, Snapshot
from tui import fleet_scenarios, scenarios
from tui.dashboards import dashboard
from tui.plain import shown, typed
from tui.sessions import session

NOW = scenarios.NOW
FOUND = (
    ("globex", Severity.WARNING, 300.0, "the day's tokens are nearly spent"),
    ("globex/canary", Severity.CRITICAL, 60.0, "its queue is not known"),
    ("nats", Severity.CRITICAL, 90.0, "the connection is lost"),
    ("fleet file", Severity.INFO, 900.0, "an earlier one is in force: line 3 names no tier"),
)
Picture = Callable[..., bool]


def troubled() -> Snapshot:
    findings = tuple(
        Finding(severity=severity, subject=subject, kind="test", text=text, since=NOW - ago)
        for subject, severity, ago, text in FOUND
    )
    return replace(fleet_scenarios.burst(), findings=findings)


async def test_the_worst_comes_first_with_what_it_leads_to() -> None:
    lines = await shown(
        dashboard(scenarios.FakeFeed(troubled())), [*typed(":att"), "enter"], (120, 36)
    )
    first = next(number for number, text in enumerate(lines) if "LEADS TO" in text)
    rows = [" ".join(text.strip("│> ").split()) for text in lines[first + 1 : first + 5]]
    assert rows == [
        "!! nats the connection is lost 12:03Z health",
        "!! globex/canary its queue is not known 12:03Z why",
        "! globex the day's tokens are nearly spent 11:59Z its pools",
        "i fleet file an earlier one is in force: line 3 names no tier 11:49Z all of it",
    ]


@pytest.mark.parametrize(
    ("down", "stack"),
    [
        (0, ["overview", "attention", "health"]),
        (1, ["overview", "attention", "pool"]),
        (2, ["overview", "attention", "pools"]),
        (3, ["overview", "attention", "detail"]),
    ],
)
async def test_every_finding_leads_somewhere(down: int, stack: list[str]) -> None:
    async with session(troubled()) as running:
        await running.keys(*typed(":attention"), "enter", *["j"] * down, "enter")
        assert running.stack == stack


async def test_a_tenants_finding_opens_the_pools_of_that_tenant_only() -> None:
    async with session(troubled()) as running:
        await running.keys(*typed(":attention"), "enter", "j", "j", "enter")
        pools = running.app.view.table.visible_keys
        assert pools
        assert all(key.startswith("globex/") for key in pools)
