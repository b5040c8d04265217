"""What answers and errors of providers' clients say: tokens used, and when to come again.

Nothing of these clients is imported: the attributes are those of the openai and anthropic packages.
"""

from __future__ import annotations

import math
from typing import Any, Final

from controller.model.usage_event import UsedTokens

TOO_MANY_REQUESTS: Final = 429


def is_refusal(error: Exception) -> bool:
    """Whether the provider refused a call because of its rate limits (HTTP 429).

    A quota that is used up has the same status at OpenAI, but waiting does not help there.
    """
    status = getattr(error, "status_code", None)
    return status == TOO_MANY_REQUESTS and getattr(error, "code", None) != "insufficient_quota"


def retry_after_s(error: Exception) -> float | None:
    """The seconds after which the provider wants the call again; None if it does not say."""
    headers = getattr(getattr(error, "response", None), "headers", None)
    if headers is None:
        return None
    for name, per_second in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / per_second
        except (TypeError, ValueError):
            continue  # missing, or a date: then the usual pause applies
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    return None


def used_tokens(answer: object) -> UsedTokens | None:
    """The tokens in an answer's `usage`; None if it has none.

    OpenAI counts cached input within the input, Anthropic beside it.
    """
    usage = getattr(answer, "usage", None)
    if usage is None:
        return None
    if getattr(usage, "prompt_tokens", None) is not None:
        cached = _count(getattr(usage, "prompt_tokens_details", None), "cached_tokens")
        return UsedTokens(
            input=max(0, _count(usage, "prompt_tokens") - cached),
            cached_input=cached,
            output=_count(usage, "completion_tokens"),
        )
    if getattr(usage, "input_tokens", None) is None:
        return None
    details = getattr(usage, "input_tokens_details", None)
    within = _count(details, "cached_tokens")
    return UsedTokens(
        input=max(0, _count(usage, "input_tokens") - within)
        + _count(usage, "cache_creation_input_tokens"),
        cached_input=within + _count(usage, "cache_read_input_tokens"),
        output=_count(usage, "output_tokens"),
    )


def _count(holder: Any, name: str) -> int:
    count = getattr(holder, name, None)
    return count if isinstance(count, int) and count > 0 else 0
