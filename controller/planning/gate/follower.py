"""The last gate, of a process that does not lead: it plans as the leader would, and holds all."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from controller.model.decision import Code, Decision, Gate, Reason
from controller.model.ids import PoolKey


def followed(decisions: Mapping[PoolKey, Decision], holder: str) -> dict[PoolKey, Decision]:
    """The decisions of a follower: `next` is the present size, and the reason says what it would
    set. `holder` is the process that leads, empty if that is not known.
    """
    return {
        key: _held(decision, holder) if decision.changes else decision
        for key, decision in decisions.items()
    }


def _held(decision: Decision, holder: str) -> Decision:
    reason = Reason(
        code=Code.FOLLOWER,
        value=decision.current,
        numbers={"holder": holder or "no known process", "wanted": decision.next or 0},
    )
    return replace(
        decision,
        next=decision.current,
        gate=Gate.FOLLOWER,
        wake=False,
        reasons=(*decision.reasons, reason),
    )
