"""Tokens by kind: added exactly, and weighed only when they are asked for."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from controller.model.scarcity import TokenCount
from controller.sources.usage_events import Usage


class Tokens(NamedTuple):
    """How many of each kind."""

    input: int = 0
    cached_input: int = 0
    output: int = 0

    def plus(self, usage: Usage) -> Tokens:
        """These and one task's."""
        return Tokens(
            self.input + usage.input,
            self.cached_input + usage.cached_input,
            self.output + usage.output,
        )

    def counted(self, count: TokenCount) -> Decimal:
        """As a tenant's budget counts them."""
        return (
            self.input * count.input
            + self.cached_input * count.cached_input
            + self.output * count.output
        )
