"""Step 2, limits: the ceilings and the floors of one pool; a ceiling wins over a floor."""

from __future__ import annotations

from controller.model.decision import Bound, Code
from controller.planning.draft import Draft


def limit(draft: Draft) -> None:
    """Bring the recommendation between min and max, at once, and say which of them decides."""
    if draft.left_alone:
        return
    pool = draft.pool
    if draft.bound is Bound.MAX or draft.replicas > pool.max:
        draft.replicas, draft.bound = pool.max, Bound.MAX
        draft.because(Code.AT_MAX, pool.max, max=pool.max)
    elif draft.bound is Bound.MIN or draft.replicas < pool.min:
        draft.replicas, draft.bound = pool.min, Bound.MIN
        draft.because(Code.AT_MIN, pool.min, min=pool.min)
    draft.target = draft.replicas
