"""The provider's limits: requests and tokens per minute as token buckets, and parallel requests.

As with real providers a request is admitted or refused at once, never queued; a refused one says
when to come again, and it counts against the requests too. Its tokens are reserved by an estimate,
which is replaced by what it used.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

import msgspec

MINUTE_S: Final = 60.0


class ProviderModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model: its limits (None: none), its speed, and how good it is.

    - `burst`: requests that may come at once; the bucket of tokens holds a minute of them.
    - `first_token_s`, `tokens_per_s`: how long an answer takes.
    - `skill`: the part of its answers that are right.
    """

    name: str
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    parallel: int | None = None
    burst: int = 1
    first_token_s: float = 0.4
    tokens_per_s: float = 80.0
    skill: float = 1.0


class Refusal(NamedTuple):
    """A request that is not admitted: the limit it meets, and when to come again."""

    limit: str
    retry_after_s: float


class _Allowance:
    """An amount that flows in steadily, up to `holds`."""

    def __init__(self, per_minute: float, holds: float) -> None:
        self._per_s, self._holds = per_minute / MINUTE_S, holds
        self._level, self._at = holds, float("-inf")

    def missing_s(self, amount: float, now: float) -> float:
        """The seconds until the amount is there; more than it ever holds needs all it holds."""
        if self._at > float("-inf"):
            self._level = min(self._level + (now - self._at) * self._per_s, self._holds)
        self._at = now
        missing = min(amount, self._holds) - self._level
        return missing / self._per_s if missing > 1e-9 else 0.0

    def take(self, amount: float) -> None:
        """Take the amount, even if it is not there; a negative amount is put back."""
        self._level = min(self._level - amount, self._holds)

    def take_what_is_there(self, amount: float) -> None:
        """Take as much of the amount as there is."""
        self._level -= min(amount, max(self._level, 0.0))


class ModelAdmission:
    """What one model admits now. Times are seconds of any steady clock."""

    def __init__(self, model: ProviderModel) -> None:
        self._model = model
        self._under_way = 0
        self._requests = self._tokens = None
        if model.requests_per_minute is not None:
            self._requests = _Allowance(model.requests_per_minute, model.burst)
        if model.tokens_per_minute is not None:
            self._tokens = _Allowance(model.tokens_per_minute, model.tokens_per_minute)
        self.admitted = 0
        self.refused: Counter[str] = Counter()

    def enter(self, tokens: int, now: float) -> Refusal | None:
        """Admit a request with so many tokens by its estimate, or say why not. An admitted one must
        `leave`.
        """
        refusal = self._refusal(tokens, now)
        if refusal is not None:
            self.refused[refusal.limit] += 1
            if self._requests is not None:
                self._requests.take_what_is_there(1)
            # what it has taken is missing when it comes again
            return self._refusal(tokens, now) or refusal
        if self._requests is not None:
            self._requests.take(1)
        if self._tokens is not None:
            self._tokens.take(tokens)
        self.admitted += 1
        self._under_way += 1
        return None

    def leave(self, estimate: int, used: int) -> None:
        """The request has ended; what it used replaces its estimate."""
        self._under_way -= 1
        if self._tokens is not None:
            self._tokens.take(used - estimate)

    def _refusal(self, tokens: int, now: float) -> Refusal | None:
        requests_s = self._requests.missing_s(1, now) if self._requests is not None else 0.0
        tokens_s = self._tokens.missing_s(tokens, now) if self._tokens is not None else 0.0
        if requests_s > 0:
            return Refusal("requests", requests_s)
        if tokens_s > 0:
            return Refusal("tokens", tokens_s)
        if self._model.parallel is not None and self._under_way >= self._model.parallel:
            return Refusal("parallel", self._model.first_token_s)
        return None
