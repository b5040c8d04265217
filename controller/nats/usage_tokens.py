"""Tokens by kind: added exactly, and weighted only when they are counted."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from controller.model.scarcity import TokenCount
from controller.model.usage_event import UsedTokens


class Tokens(NamedTuple):
    """How many of each kind."""

    input: int = 0
    cached_input: int = 0
    output: int = 0

    def plus(self, used: UsedTokens) -> Tokens:
        """These and one task's."""
        return Tokens(
            self.input + used.input,
            self.cached_input + used.cached_input,
            self.output + used.output,
        )

    def counted(self, count: TokenCount) -> Decimal:
        """As a tenant's budget counts them."""
        return (
            self.input * count.input
            + self.cached_input * count.cached_input
            + self.output * count.output
        )
