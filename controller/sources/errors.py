"""The error of a source without a usable value."""

from __future__ import annotations

from controller.model.readings import Why


class QueryError(Exception):
    """A query gave no usable number. `why` and the message go into the reading."""

    def __init__(self, why: Why, message: str) -> None:
        super().__init__(message)
        self.why = why
