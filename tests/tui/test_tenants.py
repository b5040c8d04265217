"""What the table and the details of tenants say of operators."""

from __future__ import annotations

from msgspec.structs import replace

from agentdash.tui.lines import Span, Tone
from agentdash.tui.tables.tenants import TENANTS, TenantState, asked_for, tenant_lines, tenant_state
from agentdash.tui.view import Frame
from controller.model.intents import Scope
from controller.model.observation import TierUsage
from controller.model.scarcity import ModelTier
from controller.model.snapshot import TenantView
from support.asked import a_budget, a_freeze, a_pause, no_growth_of
from tui.scenarios import NOW

ACME = TenantView(name="acme", tier="growth", namespace="acme", pools=3)
FREEZE = a_freeze(scope=Scope(tenant="acme"), until=NOW + 3311, who="jon", why="upgrade")
HOLD = no_growth_of(scope=Scope(), who="mara")
BUDGET = a_budget(tenant="acme", tokens=8_000_000, who="eve")


def cell(title: str, view: TenantView) -> Span:
    column = next(each for each in TENANTS.columns if each.title == title)
    return column.span(view, Frame(NOW, NOW))


def said(view: TenantView) -> str:
    lines = tenant_lines(view, Frame(NOW, NOW), 120)
    return "\n".join("".join(span.text for span in each.spans) for each in lines)


def test_each_thing_asked_for_a_tenant_says_who_until_when_and_why() -> None:
    text = said(replace(ACME, freeze=FREEZE, no_growth=HOLD, day_budget=BUDGET))
    assert "jon until 13:00Z: upgrade" in text
    assert "the whole fleet by mara" in text
    assert "8,000,000 tokens a day, eve" in text


def test_the_state_is_the_strongest_and_a_budget_changes_none() -> None:
    assert tenant_state(replace(ACME, day_budget=BUDGET)) is TenantState.OK
    assert tenant_state(replace(ACME, no_growth=HOLD)) is TenantState.HELD
    pause = a_pause(scope=Scope(tenant="acme"), who="eve")
    both = replace(ACME, pause=pause, no_growth=HOLD)
    assert tenant_state(both) is TenantState.PAUSED
    assert [each.label for each in asked_for(both)] == ["paused", "held"]


def of_tiers(saved: float, *, is_old: bool = False) -> TenantView:
    tokens = {ModelTier.NANO: 620, ModelTier.STANDARD: 300, ModelTier.PREMIUM: 80}
    return replace(ACME, tiers=TierUsage(tokens=tokens, saved_usd=saved, is_old=is_old))


def test_the_details_say_the_share_of_each_tier_and_what_was_saved() -> None:
    text = said(of_tiers(4.1))
    assert "nano 62%   standard 30%   premium 8%   saved 4.10 USD today" in text
    assert "may be missing" not in text
    assert "tiers" not in said(ACME)


def test_a_router_that_costs_more_than_the_best_model_alone_says_so() -> None:
    view = of_tiers(-0.4)
    assert "cost 0.40 USD today more than premium alone" in said(view)
    span = cell("SAVED", view)
    assert (span.text, span.tone) == ("-0.40", Tone.WARN)


def test_shares_that_may_miss_events_are_marked() -> None:
    view = of_tiers(4.1, is_old=True)
    assert cell("N/S/P %", view) == Span("62/30/8~", Tone.WARN)
    assert cell("SAVED", view) == Span("4.10~", Tone.WARN)
    assert "some of today's may be missing" in said(view)
    assert cell("N/S/P %", ACME).text == "-"
