"""The event that a worker publishes about the token usage of one task."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

USAGE_STREAM: Final = "AGENTDASH_USAGE"
"""The stream that keeps usage events."""
USAGE_SUBJECT_PREFIX: Final = "agentdash.usage"
"""Events are published to `agentdash.usage.TENANT.ROLE`. The NATS server decides who may publish
for a tenant.
"""
MOST_TOKENS_OF_A_TASK: Final = 10**9
"""The most tokens of one kind in an event; a larger number is refused as an error."""
MOST_CALLS: Final = 10**6
LONGEST_TASK_S: Final = 7 * 86_400.0
MOST_SAVED_USD: Final = 1e5
"""The most that one event may say a task has saved, or has cost more."""
LONGEST_TIER: Final = 32

TokenNumber = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS_OF_A_TASK)]
CallNumber = Annotated[int, msgspec.Meta(ge=0, le=MOST_CALLS)]
ReportedSeconds = Annotated[float, msgspec.Meta(ge=0, le=LONGEST_TASK_S)]
SavedUsd = Annotated[float, msgspec.Meta(ge=-MOST_SAVED_USD, le=MOST_SAVED_USD)]
TierName = Annotated[str, msgspec.Meta(max_length=LONGEST_TIER)]


class UsedTokens(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The tokens that one task used, by kind, and its number of model calls.

    The limits of the fields are checked when an event is decoded.
    """

    input: TokenNumber = 0
    cached_input: TokenNumber = 0
    output: TokenNumber = 0
    calls: CallNumber = 1


class UsageEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The usage of one finished task. `role` is the name of the pool; `seconds` is how long the
    task occupied its slot. Unknown fields of later versions are ignored.

    `tier` is that of the model, empty where it is not known. `saved_usd` is what a router has saved
    against the best model alone; less than 0 if tries with this model were not accepted.
    """

    tenant: str
    role: str
    usage: UsedTokens
    model: str = ""
    seconds: ReportedSeconds | None = None
    tier: TierName = ""
    saved_usd: SavedUsd = 0.0


def usage_subject(tenant: str, role: str) -> str:
    """The subject for the workers of one role of a tenant. Subjects are separate, so that the NATS
    server can restrict a worker to its own tenant.
    """
    return f"{USAGE_SUBJECT_PREFIX}.{tenant}.{role}"
