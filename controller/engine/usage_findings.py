"""Findings about the tenants' token usage. Pure functions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from controller.engine.findings import Found, listed
from controller.model.observation import RefusedEvents, TenantObservation, TokenUsage
from controller.model.readings import Absent, Fresh, Stale, Why
from controller.model.snapshot import Severity

# usage of tenants without a budget is not read, and a lost connection has its own finding
_ELSEWHERE: Final = frozenset({Why.NEVER_READ, Why.DISCONNECTED})


def usage_findings(
    tenants: Mapping[str, TenantObservation], refused: RefusedEvents
) -> Iterator[Found]:
    """One finding for all tenants whose usage cannot be read for the same reason, and one for usage
    events that were not counted.
    """
    silent: defaultdict[Why, dict[str, Stale[TokenUsage] | Absent]] = defaultdict(dict)
    for name, seen in tenants.items():
        if not isinstance(seen.usage, Fresh) and seen.usage.why not in _ELSEWHERE:
            silent[seen.usage.why][name] = seen.usage
    for why, readings in silent.items():
        yield Severity.WARNING, "nats", f"usage {why.value}", _silence(why, readings)
    if refused.count:
        text = f"{refused.count} usage events were not counted; the last: {refused.last}"
        yield Severity.WARNING, "nats", "refused events", text


def _silence(why: Why, readings: Mapping[str, Stale[TokenUsage] | Absent]) -> str:
    names, first = list(readings), next(iter(readings.values()))
    kind = "unknown" if isinstance(first, Absent) else "stale"
    return f"token usage of {listed(names)} {kind} ({why.value.replace('_', ' ')}): {first.detail}"
