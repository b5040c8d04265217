"""Why a source has no value to give."""

from __future__ import annotations

from controller.model.readings import Why


class QueryError(Exception):
    """A query brought no number that can be used. `why` and the message go into the reading."""

    def __init__(self, why: Why, message: str) -> None:
        super().__init__(message)
        self.why = why
