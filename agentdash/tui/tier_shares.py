"""What a tenant uses of each class of models today, and what its routers save, as text."""

from __future__ import annotations

from agentdash.tui import amounts
from agentdash.tui.labels import labelled
from agentdash.tui.lines import Line, Span, Tone
from agentdash.tui.view import Frame
from controller.model.observation import TierUsage
from controller.model.scarcity import ModelTier
from controller.model.snapshot import TenantView


def tier_share(view: TenantView, tier: ModelTier) -> float | None:
    """The tier's part of the tokens of today, 0 to 1; None before any are known."""
    used = view.tiers
    total = 0 if used is None else sum(used.tokens.values())
    return None if used is None or not total else used.tokens.get(tier, 0) / total


def saved_usd(view: TenantView) -> float | None:
    """What routers saved today against the best model alone; None before that is known."""
    return None if view.tiers is None else view.tiers.saved_usd


def shares_span(view: TenantView, frame: Frame) -> Span:
    """`62/30/8`: the percentage of each tier, the smallest models first."""
    shares = [tier_share(view, tier) for tier in ModelTier]
    known = [amounts.percent(share).rstrip("%") for share in shares if share is not None]
    return _cell("/".join(known), view, frame)


def saved_span(view: TenantView, frame: Frame) -> Span:
    """`4.10` USD; less than 0 where it would have been cheaper to ask the best model at once."""
    saved = saved_usd(view)
    span = _cell("" if saved is None else amounts.usd(saved), view, frame)
    return span._replace(tone=Tone.WARN) if saved is not None and saved < 0 else span


def tier_lines(view: TenantView, frame: Frame, width: int) -> list[Line]:
    """The share of each tier that was used, and the saving; nothing before any are known."""
    used, shares = view.tiers, {tier: tier_share(view, tier) for tier in ModelTier}
    if used is None or None in shares.values():
        return []
    parts = [
        f"{tier.value} {amounts.percent(share)}"
        for tier, share in shares.items()
        if share is not None
    ]
    missing = "some of today's may be missing" if _old(view, frame) else ""
    return labelled("tiers", (*parts, _saving(used), Span(missing, Tone.WARN)), width)


def _saving(used: TierUsage) -> Span:
    text = f"{amounts.usd(abs(used.saved_usd))} USD today"
    if used.saved_usd < 0:
        return Span(f"cost {text} more than premium alone", Tone.WARN)
    return Span(f"saved {text}")


def _cell(text: str, view: TenantView, frame: Frame) -> Span:
    if not text:
        return Span(frame.glyphs.none, Tone.DIM)
    old = _old(view, frame)
    return Span(text + old, Tone.WARN if old else Tone.PLAIN)


def _old(view: TenantView, frame: Frame) -> str:
    is_old = frame.stale or (view.tiers is not None and view.tiers.is_old)
    return frame.glyphs.stale if is_old else ""
