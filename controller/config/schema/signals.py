"""Signals: named values from outside that the metrics and the formula of a pool may read."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from controller.config.scalars import FreeText, PromQuery
from controller.config.schema.metrics import MetricSelectorEntry
from controller.config.schema.section import Section


class ExternalSignalEntry(Section):
    """Series of the external metrics API."""

    looks_like = "{name: firestore_active, selector: {matchLabels: {team: globex}}}"

    name: FreeText = Field(description="The metric's name in that API.")
    selector: MetricSelectorEntry | None = Field(
        default=None, description="Selects among its series; they are added up. Default: all."
    )


class SignalEntry(Section):
    """Where one signal is read: from Prometheus, or from the external metrics API."""

    looks_like = '{prometheus: "sum(agent_backlog)"} or {external: {name: ...}}'

    prometheus: PromQuery | None = Field(
        default=None,
        description="A PromQL query whose result is one number; the server of prometheus.url "
        "answers it.",
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
