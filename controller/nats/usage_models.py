"""What tenants use of each model, by kind of token and by the tenants' days, in fixed space."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from controller.model.observation import ModelTokens, TokensByModel
from controller.model.usage_event import UsageEvent
from controller.nats.usage_burn import BurnRate
from controller.nats.usage_days import Daily

MOST_MODELS: Final = 16
"""So many models of a tenant are counted by name, in the order of their first event; what others
use is counted together.
"""
_PACE_DIGITS: Final = 2
_NOTHING: Final[Mapping[str, ModelTokens]] = {}


class ModelDays:
    """The tokens of one tenant by model and kind, unweighted. Models that are not `known`, which
    the fleet file does not name, count together under an empty name.
    """

    def __init__(self, timezone: str, known: AbstractSet[str]) -> None:
        self._known = known
        self._sums = Daily(ZoneInfo(timezone), _NOTHING)
        self._burn = BurnRate()
        self._told: tuple[Mapping[str, ModelTokens], TokensByModel] | None = None

    def day_start(self, at: float) -> float:
        """When the day of this moment began (both Unix seconds)."""
        return self._sums.day(at).start

    def take(self, event: UsageEvent, at: float) -> None:
        """Count an event that was reported at `at`."""
        sums, used = self._sums.sum(at), event.usage
        name = event.model if event.model in self._known else ""
        if name not in sums and len(sums) >= MOST_MODELS:
            name = ""
        before = sums.get(name) or ModelTokens(model=name)
        after = replace(
            before,
            input=before.input + used.input,
            cached_input=before.cached_input + used.cached_input,
            output=before.output + used.output,
            calls=before.calls + used.calls,
        )
        self._sums.put(at, {**sums, name: after})
        self._burn.add(used.input + used.cached_input + used.output, at)

    def used(self, now: float) -> TokensByModel | None:
        """The sums of the day, the most used model first, and the recent pace; None while nothing
        was used in the day. It is the same object while it says the same.
        """
        sums = self._sums.sum(now)
        if not sums:
            return None
        pace = _rounded(float(self._burn.per_minute(now)))
        if self._told is not None and self._told[0] is sums and self._told[1].per_minute == pace:
            return self._told[1]
        models = tuple(sorted(sums.values(), key=lambda each: (-each.total, each.model)))
        found = TokensByModel(models=models, per_minute=pace)
        self._told = sums, found
        return found


def _rounded(pace: float) -> int:
    """To two digits: a pace that only decays would be another one in each snapshot."""
    whole = round(pace)
    return round(whole, _PACE_DIGITS - len(str(whole)))
