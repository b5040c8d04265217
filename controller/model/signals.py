"""Signals: named values from outside that a pool's metrics and formula may speak of."""

from __future__ import annotations

from typing import TypeAlias

from controller.model.value import Value


class PrometheusQuery(Value, tag="prometheus"):
    """A PromQL query that comes to one number: a scalar, or a vector of one series."""

    query: str


class ExternalSeries(Value, tag="external"):
    """Series of the external metrics API in the pool's namespace; their sum counts. `selector` is
    the label selector as text, empty for none.
    """

    name: str
    selector: str = ""


SignalSource: TypeAlias = PrometheusQuery | ExternalSeries


class Signal(Value):
    """A value by the name under which metrics, formulas and readings know it."""

    name: str
    source: SignalSource
