"""Step 1, second half: the recommendation for one pool, as an HPA and KEDA would give it."""

from __future__ import annotations

from msgspec.structs import replace

from controller.model.decision import Code, Reason
from controller.model.fleet import Rule
from controller.planning.inputs import Moment, PoolInput
from controller.planning.recommend.hpa import recommend_hpa
from controller.planning.recommend.idle import is_switched_off, resting_size
from controller.planning.recommend.native import recommend_native
from controller.planning.recommend.recommendation import kept_size, made
from controller.planning.values import Demand, Recommendation


def recommend(given: PoolInput, demand: Demand, moment: Moment) -> Recommendation:
    """The size that the pool's own rule recommends for its demand: activation and cooldown,
    windows, rate policies, min and max.
    """
    rest = resting_size(given)
    if is_switched_off(given, demand, rest):
        return _left_alone(given)
    if given.terms.pool.rule is Rule.HPA:
        return recommend_hpa(given, demand, rest, moment)
    return recommend_native(given, demand, rest, moment)


def _left_alone(given: PoolInput) -> Recommendation:
    """The pool was scaled to zero by hand: it stays so until it is raised by hand."""
    minimum = given.override.bounds.min
    reason = Reason(code=Code.SCALED_TO_ZERO_BY_HAND, value=0, numbers={"min": minimum})
    return replace(made(given, kept_size(given), [reason]), left_alone=True)
