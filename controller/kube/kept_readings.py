"""Readings that stay the same objects while nothing about them changes.

The planner skips a pool whose readings are the same objects as at the tick before.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from controller.kube.freshness import Freshness, Trust
from controller.model.readings import Reading

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class KeptReadings(Generic[K, T]):
    """Readings of one view by key, each made once and kept until its object changes (`forget`) or
    the view may be trusted otherwise than before.
    """

    def __init__(
        self,
        freshness: Freshness,
        make: Callable[[K], Reading[T]],
        dropped: Callable[[K], None] = lambda _key: None,
    ) -> None:
        """`dropped` is called with each key whose reading is no longer the latest."""
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
        """The object changed: make its reading anew."""
        if self._readings.pop(key, None) is not None:
            self._dropped(key)

    def keys(self) -> set[K]:
        """The keys that were asked for since they changed last."""
        return set(self._readings)

    def clear(self) -> None:
        """Any object may have changed: make every reading anew."""
        readings, self._readings = self._readings, {}
        for key in readings:
            self._dropped(key)

    def settle(self) -> None:
        """Drop every reading if the view may be trusted otherwise than when they were made."""
        trust = self._freshness.trust()
        if trust is not self._trust:
            self._trust = trust
            self.clear()
