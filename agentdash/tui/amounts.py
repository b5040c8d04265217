"""Shares, rates, money and resources as text for an operator."""

from __future__ import annotations

from typing import Final

from agentdash.tui import figures
from agentdash.tui.glyphs import Glyphs

_UNITS: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi")


def percent(share: float) -> str:
    """`94%`; a part of one percent is `<1%`, and what is not all yet is never `100%`."""
    value = share * 100
    if 0 < value < 1:
        return "<1%"
    return f"{99 if 99 < value < 100 else round(value)}%"


def rate(per_minute: float, width: int = 5) -> str:
    """Amounts per minute: `0.4`, `12`, `41.0k`."""
    if 0 < per_minute < 10:
        return f"{per_minute:.1f}"
    return figures.count(round(per_minute), width)


def wait(seconds: float, interval_s: float) -> str:
    """`9s`, `2m04s`; what is shorter than the polling interval is `<1s`."""
    least = max(interval_s, 1.0)
    return f"<{least:g}s" if seconds < least else figures.age(seconds)


def usd(per_hour: float) -> str:
    """`0.42`, `31.20`, `1,204`."""
    return f"{per_hour:,.2f}" if per_hour < 1000 else f"{per_hour:,.0f}"


def cores(milli: int) -> str:
    """`0.25`, `3.5`, `128`: CPUs."""
    value = milli / 1000
    if value >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.2f}" if value < 1 else f"{value:.1f}"


def memory(amount: int) -> str:
    """`512Mi`, `1.5Gi`: bytes."""
    value = float(amount)
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    return f"{value:.0f}{unit}" if value >= 100 or value == int(value) else f"{value:.1f}{unit}"


def bar(share: float, width: int, glyphs: Glyphs) -> str:
    """A bar that is full at 1; anything above nothing shows."""
    filled = round(min(max(share, 0.0), 1.0) * width)
    return glyphs.bar * max(filled, int(share > 0))
