"""A cache of readings, so that a reading stays the same object until it changes.

The planner skips a pool whose readings are the same objects as at the previous tick.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from controller.kube.freshness import Freshness, Trust
from controller.model.readings import Reading

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class KeptReadings(Generic[K, T]):
    """The readings of one view by key. Each is made once and kept until its object changes
    (`forget`) or the view's trust changes.
    """

    def __init__(self, freshness: Freshness, make: Callable[[K], Reading[T]]) -> None:
        self._freshness = freshness
        self._make = make
        self._trust: Trust | None = None
        self._readings: dict[K, Reading[T]] = {}

    def get(self, key: K) -> Reading[T]:
        """The latest reading."""
        trust = self._freshness.trust()
        if trust is not self._trust:
            self._trust = trust
            self._readings.clear()
        reading = self._readings.get(key)
        if reading is None:
            reading = self._readings[key] = self._make(key)
        return reading

    def forget(self, key: K) -> None:
        """The object changed: make its reading anew."""
        self._readings.pop(key, None)
