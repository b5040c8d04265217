"""Whether the workers of a pool may pull: not while it is paused, nor while its budget is spent,
and not on a node that ends.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from controller.model.decision import Code
from controller.model.readings import last_known
from controller.model.worker_messages import PoolOrders
from controller.planning.inputs import Moment, PoolInput
from controller.planning.share.calendar import local_day
from controller.planning.values import Target

PULLING: Final = PoolOrders()


def pulling(given: PoolInput, target: Target, moment: Moment) -> PoolOrders:
    """The orders of a pool that does not shrink. They end with the pause, or with the day of the
    budget, so that work goes on even if no controller runs then.
    """
    orders, leaving = _of_pool(given, target, moment), _leaving(given)
    return replace(orders, leave=leaving) if leaving else orders


def _leaving(given: PoolInput) -> tuple[str, ...]:
    """The pods whose node ends: their workers hand their tasks back."""
    pods = last_known(given.seen.pods)
    ending = () if pods is None else (pod.name for pod in pods.items if pod.node_ends)
    return tuple(sorted(ending))


def _of_pool(given: PoolInput, target: Target, moment: Moment) -> PoolOrders:
    pause = given.override.pause
    if pause is not None and pause.keep is None:
        return PoolOrders(pull=False, because="pause", until=pause.until)
    if any(halt.keep == 0 for halt in given.override.halts):
        return PoolOrders(pull=False, because="pause")
    if any(reason.code is Code.BUDGET_SPENT for reason in target.reasons):
        until = local_day(moment.now, given.terms.zone).end
        return PoolOrders(pull=False, because="budget", until=until)
    return PULLING
