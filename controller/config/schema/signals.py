"""Signals: named values from outside that a pool's metrics and formula may speak of."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from controller.config.scalars import FreeText, Query
from controller.config.schema.metrics import MetricSelectorEntry
from controller.config.schema.section import Section


class ExternalSignalEntry(Section):
    """Series of the external metrics API."""

    looks_like = "{name: firestore_active, selector: {matchLabels: {team: globex}}}"

    name: FreeText = Field(description="The metric's name there.")
    selector: MetricSelectorEntry | None = Field(
        default=None, description="Which of its series count. Default: all."
    )


class SignalEntry(Section):
    """Where one signal is read: one way."""

    looks_like = '{prometheus: "sum(agent_backlog)"} or {external: {name: ...}}'

    prometheus: Query | None = Field(
        default=None,
        description="A PromQL query that comes to one number, asked of the server that "
        "prometheus.url names.",
    )
    external: ExternalSignalEntry | None = Field(
        default=None,
        description="A metric of the external metrics API, such as one of a KEDA scaler.",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.prometheus is None) == (self.external is None):
            raise ValueError("give exactly one of prometheus and external")
        return self
