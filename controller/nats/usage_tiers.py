"""What tenants use of each class of models, and what their routers save, by the tenants' days."""

from __future__ import annotations

from typing import Final
from zoneinfo import ZoneInfo

from controller.model.observation import TierUsage
from controller.model.scarcity import ModelTier
from controller.model.usage_event import UsageEvent
from controller.nats.usage_days import Daily

_TIERS: Final = {tier.value: tier for tier in ModelTier}
_NOTHING: Final = TierUsage(tokens={})


class TierDays:
    """The tokens of one tenant by tier. Events of models whose tier is not known do not count."""

    def __init__(self, timezone: str) -> None:
        self._sums = Daily(ZoneInfo(timezone), _NOTHING)

    def day_start(self, at: float) -> float:
        """When the day of this moment began (both Unix seconds)."""
        return self._sums.day(at).start

    def take(self, event: UsageEvent, at: float) -> None:
        """Count an event that was reported at `at`."""
        tier = _TIERS.get(event.tier)
        if tier is None:
            return
        known, used = self._sums.sum(at), event.usage
        tokens = known.tokens.get(tier, 0) + used.input + used.cached_input + used.output
        total = TierUsage(
            tokens={**known.tokens, tier: tokens}, saved_usd=known.saved_usd + event.saved_usd
        )
        self._sums.put(at, total)

    def used(self, now: float) -> TierUsage | None:
        """The sums of the day; None while nothing of a known tier was used in it."""
        known = self._sums.sum(now)
        return known if known.tokens else None
