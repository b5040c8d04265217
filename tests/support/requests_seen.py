"""Requests that the simulated API has logged, counted."""

from __future__ import annotations

import re

from fakes.cluster import RequestLog


def count(
    log: RequestLog,
    *,
    method: str | None = None,
    path_regex: str = "",
    verb: str | None = None,
    status: int | None = None,
) -> int:
    """How many requests match all that is given; the expression is searched in the path."""
    pattern = re.compile(path_regex)
    return sum(
        method in {None, request.method}
        and verb in {None, request.verb}
        and status in {None, request.status}
        and pattern.search(request.path) is not None
        for request in log
    )
