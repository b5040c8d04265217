"""The log of requests: what each asked for, and its status."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass

_WRITES = ("create", "update", "patch", "delete", "deletecollection")
_KEPT_REQUESTS = 100_000


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `template` is the path with names replaced by {namespace} and {name}."""

    method: str
    path: str
    template: str
    verb: str
    status: int

    @property
    def is_write(self) -> bool:
        """Whether it asked for a change, refused ones included."""
        return self.verb in _WRITES


class RequestLog:
    """The latest 100,000 requests, oldest first."""

    def __init__(self) -> None:
        self._requests: deque[Request] = deque(maxlen=_KEPT_REQUESTS)

    def add(self, request: Request) -> None:
        """Add a request that was answered; a watch is added when it begins."""
        self._requests.append(request)

    def __iter__(self) -> Iterator[Request]:
        return iter(tuple(self._requests))

    def __len__(self) -> int:
        return len(self._requests)

    def writes(self) -> list[Request]:
        """Requests that asked for a change."""
        return [request for request in self._requests if request.is_write]

    def by_template(self) -> Counter[tuple[str, str, int]]:
        """Counts by method, path template and status."""
        return Counter((each.method, each.template, each.status) for each in self._requests)

    def clear(self) -> None:
        """Forget all of them."""
        self._requests.clear()
