"""Signals: named external values that the metrics and the formula of a pool may use."""

from __future__ import annotations

from typing import TypeAlias

from controller.model.value import Value


class PrometheusQuery(Value, tag="prometheus"):
    """A PromQL query whose result is one number: a scalar, or a vector of one series."""

    query: str


class ExternalSeries(Value, tag="external"):
    """Series of the external metrics API in the pool's namespace; the signal is their sum.
    `selector` is the label selector as text, empty for none.
    """

    name: str
    selector: str = ""


SignalSource: TypeAlias = PrometheusQuery | ExternalSeries


class Signal(Value):
    """A signal: its name in metrics, formulas and readings, and its source."""

    name: str
    source: SignalSource
