"""The lease of a fleet: the record that says which process leads, and the times of the election."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from controller.model.value import Counter, Time, Value

LONGEST_DURATION_S: Final = 300.0
LONGEST_WRITE_S: Final = 5.0
RELEASED_DURATION_S: Final = 1.0
"""The duration in the record of a process that has ended: Kubernetes allows none below 1 s."""
JITTER: Final = 1.2
"""Waits are between `retry` and 1.2 · `retry`, so that processes do not try at the same moment."""


class LeaseStore(StrEnum):
    """Where the lease is: an object of the cluster, a key of the fleet's bucket, or nowhere."""

    KUBERNETES = "kubernetes"
    NATS = "nats"
    NONE = "none"


class LeaseTimes(Value):
    """The times of an election, in seconds (client-go: LeaseDuration, RenewDeadline, RetryPeriod).

    Others take the lease after `duration_s` without a change of its record. The holder stops
    `renew_deadline_s` after its last renewal, and renews every `retry_s`.
    """

    duration_s: float = 15.0
    renew_deadline_s: float = 10.0
    retry_s: float = 2.0

    @property
    def write_s(self) -> float:
        """The longest time that a write to the cluster may take."""
        return min(LONGEST_WRITE_S, self.renew_deadline_s / 2)

    @property
    def right_s(self) -> float:
        """How long a renewal gives the right to begin a write: it ends before the deadline."""
        return self.renew_deadline_s - self.write_s

    @property
    def request_s(self) -> float:
        """The longest time for one try to renew, so that one lost request ends no right."""
        return 0.4 * self.right_s

    def problem(self) -> str | None:
        """What is wrong with the ratios, in words; None if nothing is."""
        if self.duration_s < self.renew_deadline_s + 1.0:
            return (
                f"duration ({self.duration_s:g}s) must be at least 1s more than renew_deadline "
                f"({self.renew_deadline_s:g}s): a late write must end before another process leads"
            )
        if self.right_s <= JITTER * self.retry_s:
            return (
                f"retry ({self.retry_s:g}s) is too long for renew_deadline "
                f"({self.renew_deadline_s:g}s): it must be below {self.right_s / JITTER:.3g}s, or "
                "the right to write would end before each renewal"
            )
        return None


class LeaseRecord(Value):
    """What the holder writes. `acquired_at` and `renewed_at` are Unix seconds by its own clock:
    people read them, no process judges by them. `transitions` counts the changes of the holder.
    """

    holder: str
    duration_s: float
    acquired_at: Time
    renewed_at: Time
    transitions: Counter = 0


class SeenLease(Value):
    """A lease as it was read. `stamp` differs after each renewal; `version` is for
    compare-and-set. What cannot be understood is empty: then `holder` is empty, too.
    """

    holder: str
    duration_s: float
    transitions: int
    stamp: str
    version: str

    @property
    def is_released(self) -> bool:
        """Whether its holder has given it back."""
        return not self.holder and 0 < self.duration_s <= RELEASED_DURATION_S

    def is_same_as(self, other: SeenLease | None) -> bool:
        """Whether it was not renewed in between. The version does not count, because it also
        changes with labels and annotations.
        """
        return other is not None and (self.holder, self.stamp, self.transitions) == (
            other.holder,
            other.stamp,
            other.transitions,
        )


class LeaseView(Value):
    """The lease for people: its name, the process that holds it (empty if that is not known),
    whether that is this process, and the `problem` with it, in words; empty if there is none.
    """

    name: str
    holder: str = ""
    is_ours: bool = False
    problem: str = ""
