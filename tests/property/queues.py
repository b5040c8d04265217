"""What happens in queues: strategies for it, and the counters that JetStream keeps of it."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import strategies as st

from controller.model.observation import QueueDepth


class Load(NamedTuple):
    """What waits and what is worked on in one pool, and what its other metric shows.

    `through` came, were worked on and are done since the last look, `again` were only delivered
    again; where `anew`, the consumer was made anew and has counted none of it before.
    """

    pending: int
    in_flight: int
    lag: int
    through: int = 0
    again: int = 0
    anew: bool = False

    @property
    def standing(self) -> Load:
        """The same queue, in which nothing more happens."""
        return self._replace(through=0, again=0, anew=False)


class Counted(NamedTuple):
    """A consumer's counters, and the queue as it was when they were last looked at."""

    delivered: int = 0
    sequence: int = 0
    pending: int = 0
    in_flight: int = 0

    def after(self, load: Load) -> Counted:
        """With the fewest deliveries that can have led to this load: what waited no longer waits,
        and what is worked on now was not before.
        """
        fewest = max(self.pending - load.pending, load.in_flight - self.in_flight, 0)
        sequence = self.sequence + fewest + load.through
        delivered = 0 if load.anew else self.delivered + fewest + load.through + load.again
        return Counted(delivered, sequence, load.pending, load.in_flight)

    def depth(self, load: Load) -> QueueDepth:
        return QueueDepth(
            pending=load.pending,
            in_flight=load.in_flight,
            redelivered=min(load.again, load.in_flight),
            delivered=self.delivered,
            sequence=self.sequence,
        )


loads = st.builds(
    Load,
    pending=st.one_of(st.integers(0, 3), st.integers(0, 8), st.integers(0, 30)),
    in_flight=st.sampled_from([0, 0, 1, 4]),
    lag=st.integers(0, 12),
    through=st.sampled_from([0, 0, 1, 7, 40]),
    again=st.sampled_from([0, 0, 0, 1, 9]),
    anew=st.sampled_from([False] * 7 + [True]),
)
moments = st.tuples(st.sampled_from([1.0, 4.0, 31.0]), st.lists(loads, min_size=1, max_size=3))
"""Seconds to the next tick, and the loads now: pools take them in turn."""
Past = list[tuple[float, list[Load]]]
pasts = st.lists(moments, max_size=5)
SETTLING: Past = [(4.0, [Load(0, 0, 0)]), (4.0, [Load(0, 1, 0, through=12)])]
"""From here on a pool whose queue is counted goes by its past."""
