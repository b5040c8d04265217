"""Signals: named values from outside that the metrics and the formula of a pool may read."""

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
    """A signal's name, which metrics, formulas and readings use, and where it is read."""

    name: str
    source: SignalSource
