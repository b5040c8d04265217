"""Whether an engine decides for its fleet, what its role is, and what is wrong with its lease."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from controller.engine.findings import Found
from controller.model.decision import Decision
from controller.model.ids import PoolKey
from controller.model.lease import LeaseView
from controller.model.memory import Memory
from controller.model.snapshot import Role, Severity
from controller.planning.gate import followed
from controller.planning.memory import without_writes
from controller.ports import Leadership


class Lead:
    """`has_memory` is True while this engine's memory is the fleet's: since it has taken over from
    the previous leader, and until another process leads.
    """

    def __init__(self, leadership: Leadership | None, *, writes: bool) -> None:
        """Without a leadership an engine that `writes` always decides."""
        self._leadership = leadership
        self._writes = writes
        self.has_memory = writes and leadership is None

    def begin(self, on_change: Callable[[bool], None], *, has_led: bool = False) -> None:
        """Call back when this process becomes the leader, or no longer is; now if it is already,
        unless it `has_led` with the memory that this engine begins with.
        """
        if self._leadership is not None and self._writes:
            self._leadership.on_change(on_change)
            if self._leadership.may_write():
                self.has_memory = has_led
                if not has_led:
                    on_change(True)

    def is_elected(self) -> bool:
        """Whether this process may write, apart from its memory."""
        return self._leadership is None or self._leadership.may_write()

    def may_write(self) -> bool:
        """Whether writes may begin now: to the cluster, and of memory."""
        return self.has_memory and self.is_elected()

    def lacks_memory(self) -> bool:
        """Whether this process is elected, and has not taken over the fleet's memory."""
        return self._writes and self.is_elected() and not self.has_memory

    @property
    def role(self) -> Role:
        """What this process may do now."""
        if not self._writes:
            return Role.READ_ONLY
        if self._leadership is None:
            return Role.ACTIVE
        return Role.LEADER if self.may_write() else Role.FOLLOWER

    def view(self) -> LeaseView | None:
        """The lease for people; None without an election."""
        return None if self._leadership is None else self._leadership.view()

    def to_plan_with(self, memory: Memory) -> Memory:
        """The memory for a plan: without the requests of a process that writes nothing."""
        return memory if self.has_memory else without_writes(memory)

    def held(self, decisions: Mapping[PoolKey, Decision]) -> Mapping[PoolKey, Decision]:
        """The decisions as they are; of a follower, all are held."""
        if self.has_memory or not self._writes or self._leadership is None:
            return decisions
        lease = self._leadership.view()
        return followed(decisions, "" if lease.is_ours else lease.holder)

    def findings(self) -> Iterator[Found]:
        """What is wrong with the lease."""
        view = self.view()
        if view is not None and view.problem:
            text = f"cannot be kept, so this process writes nothing: {view.problem}"
            severity = Severity.WARNING if self.may_write() else Severity.CRITICAL
            yield severity, "lease", "lease", text
