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

    def __init__(
        self,
        freshness: Freshness,
        make: Callable[[K], Reading[T]],
        dropped: Callable[[K], None] = lambda _key: None,
    ) -> None:
        """`dropped` is called with each key whose reading is dropped."""
        self._freshness = freshness
        self._make = make
        self._dropped = dropped
        self._trust: Trust | None = None
        self._readings: dict[K, Reading[T]] = {}

    def get(self, key: K) -> Reading[T]:
        """The latest reading."""
        if self._freshness.trust() is not self._trust:
            self.settle()
        reading = self._readings.get(key)
        if reading is None:
            reading = self._readings[key] = self._make(key)
        return reading

    def forget(self, key: K) -> None:
        """Drop the reading of an object that changed."""
        if self._readings.pop(key, None) is not None:
            self._dropped(key)

    def keys(self) -> set[K]:
        """The keys with a kept reading."""
        return set(self._readings)

    def clear(self) -> None:
        """Drop all readings."""
        readings, self._readings = self._readings, {}
        for key in readings:
            self._dropped(key)

    def settle(self) -> None:
        """Drop all readings if the view's trust has changed since they were made."""
        trust = self._freshness.trust()
        if trust is not self._trust:
            self._trust = trust
            self.clear()
