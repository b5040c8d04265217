"""What a pool's own rule recommends: what an HPA or KEDA would set."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from controller.model.decision import Bound, Code, Number, Reason
from controller.model.memory import PoolMemory
from controller.planning.inputs import PoolInput
from controller.planning.recommend.history import History, ended
from controller.planning.values import Recommendation


class Sized(msgspec.Struct, frozen=True, gc=False):
    """A size after windows and policies, and the history with it."""

    replicas: int
    unstabilized: int
    history: History
    bound: Bound = Bound.DEMAND


def add_reason(
    reasons: list[Reason], code: Code, value: int | None = None, **numbers: Number
) -> None:
    """Add the reason of a rule that was applied, with the replicas after it."""
    reasons.append(Reason(code=code, value=value, numbers=numbers))


def kept_size(
    given: PoolInput, replicas: int | None = None, *, memory: PoolMemory | None = None
) -> Sized:
    """A size without a recommendation: the present one, unless `replicas` is given."""
    size = given.current if replicas is None else replicas
    history = (given.memory if memory is None else memory).recommendations
    return Sized(size, given.current, ended(history, given.planned_at))


def made(
    given: PoolInput,
    sized: Sized,
    reasons: list[Reason],
    *,
    replicas: int | None = None,
    memory: PoolMemory | None = None,
    minimum: int | None = None,
) -> Recommendation:
    """The recommendation with this size; `replicas`, `memory` and `minimum` replace defaults."""
    memory = given.memory if memory is None else memory
    if sized.history is not memory.recommendations:
        memory = replace(memory, recommendations=sized.history)
    return Recommendation(
        replicas=sized.replicas if replicas is None else replicas,
        bound=sized.bound,
        min=given.override.bounds.min if minimum is None else minimum,
        unstabilized=sized.unstabilized,
        left_alone=False,
        memory=memory,
        reasons=tuple(reasons),
    )
