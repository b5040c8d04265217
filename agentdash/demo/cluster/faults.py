"""Faults of the API that can be switched on, and the log of its requests."""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from agentdash.demo.cluster.objects import StatusError

_KEPT_REQUESTS: Final = 100_000
_WRITES: Final = ("create", "patch", "delete")
_WORDS: Final[dict[int, tuple[str, str]]] = {
    401: ("Unauthorized", "Unauthorized"),
    403: ("Forbidden", "forbidden by the simulation"),
    404: ("NotFound", "the server could not find the requested resource"),
    409: ("Conflict", "the object has been modified; please apply your changes again"),
    422: ("Invalid", "the server rejected our request due to an error in our request"),
    429: (
        "TooManyRequests",
        "the server has received too many requests and has asked us to try again later",
    ),
    500: ("InternalError", "Internal error occurred: simulated"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "Timeout: request did not complete within the requested timeout"),
}


@dataclass(frozen=True, slots=True)
class ApiFault:
    """What happens to matching requests. `verb` is an expression for the whole verb, `path` one
    that is searched in the path and its query.

    First comes a delay of `latency_s`, then one of `status`, `hang`, `cut` (half the body, then
    the connection ends) and `garble` (no JSON). With `after`, the request is carried out before it
    fails; requests whose answers are cut or garbled always are.
    """

    verb: str = ".*"
    path: str = ""
    latency_s: float = 0.0
    status: int = 0
    retry_after: int | None = None
    hang: bool = False
    cut: bool = False
    garble: bool = False
    after: bool = False
    share: float = 1.0
    times: int | None = None

    def concerns(self, verb: str, path: str) -> bool:
        """Whether a request matches, apart from `share`."""
        return bool(re.fullmatch(self.verb, verb) and re.search(self.path, path))

    def error(self) -> StatusError:
        """The refusal, as a Status."""
        reason, words = _WORDS.get(self.status, ("", f"simulated status {self.status}"))
        details = None
        if self.retry_after is not None:
            details = {"retryAfterSeconds": self.retry_after}
        return StatusError(self.status, reason, words, details, retry_after=self.retry_after)


class ApiFaults:
    """The faults that are on."""

    def __init__(
        self, rng: random.Random, *, drop: Callable[[bool], int], expire: Callable[[], None]
    ) -> None:
        """`drop` ends all watches, cleanly or not; `expire` forgets history."""
        self._rng, self._drop, self.expire_history = rng, drop, expire
        self._active: dict[int, ApiFault] = {}
        self._left: dict[int, int] = {}
        self._next_id = 1

    @property
    def active(self) -> dict[int, ApiFault]:
        """Faults that are on, by number."""
        return dict(self._active)

    def add(self, fault: ApiFault) -> int:
        """Switch a fault on; returns the number by which it is switched off."""
        number, self._next_id = self._next_id, self._next_id + 1
        self._active[number] = fault
        if fault.times is not None:
            self._left[number] = fault.times
        return number

    def remove(self, number: int) -> None:
        """Switch one fault off; nothing happens if it is off already."""
        self._active.pop(number, None)
        self._left.pop(number, None)

    def clear(self) -> None:
        """Switch all off."""
        self._active.clear()
        self._left.clear()

    def take(self, verb: str, path: str) -> list[ApiFault]:
        """The faults that this request meets; each counts as used once."""
        met = []
        for number, fault in list(self._active.items()):
            if not fault.concerns(verb, path) or self._rng.random() >= fault.share:
                continue
            met.append(fault)
            if number in self._left:
                self._left[number] -= 1
                if self._left[number] <= 0:
                    self.remove(number)
        return met

    def drop_watches(self, *, clean: bool = False) -> int:
        """End every watch now, cleanly or by a broken connection. Returns how many there were."""
        return self._drop(clean)


class Request(NamedTuple):
    """One request and the status of its answer. `verb`, `group` and `resource` (the plural, with a
    subresource as in `pods/log`) are as RBAC names them; no resource for paths without one.
    """

    method: str
    path: str
    verb: str
    group: str
    resource: str
    status: int


class RequestLog:
    """The latest requests, oldest first; a watch is added when it begins."""

    def __init__(self) -> None:
        self._requests: deque[Request] = deque(maxlen=_KEPT_REQUESTS)

    def add(self, request: Request) -> None:
        """Add a request that was answered."""
        self._requests.append(request)

    def __iter__(self) -> Iterator[Request]:
        return iter(tuple(self._requests))

    def __len__(self) -> int:
        return len(self._requests)

    def writes(self) -> list[Request]:
        """Requests that asked for a change, refused ones included."""
        return [request for request in self._requests if request.verb in _WRITES]

    def clear(self) -> None:
        """Forget all of them."""
        self._requests.clear()
