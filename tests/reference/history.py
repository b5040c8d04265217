"""An HPA's log of recommendations, as runs of the same number."""

from __future__ import annotations

from controller.model.memory import RecommendationRun


def remember(
    history: tuple[RecommendationRun, ...], replicas: int, now: float, window_s: float
) -> tuple[RecommendationRun, ...]:
    """The history with one more recommendation, without what can no longer decide anything.

    A window always reaches up to now, so an older run can only be the highest of some window if no
    later one is as high, and only the lowest if no later one is as low. The others are dropped:
    however much the demand varies, few runs remain and every window answers the same.
    """
    cutoff = now - window_s
    if history and history[-1].replicas == replicas:
        last = RecommendationRun(replicas=replicas, first_at=history[-1].first_at, last_at=now)
        if history[0].last_at > cutoff or len(history) == 1:
            return (*history[:-1], last)
        return (*(run for run in history[:-1] if run.last_at > cutoff), last)
    kept = [RecommendationRun(replicas=replicas, first_at=now, last_at=now)]
    lowest = highest = replicas
    for run in reversed(history):
        if run.last_at <= cutoff:
            break
        if run.replicas < lowest or run.replicas > highest:
            kept.append(run)
            lowest, highest = min(lowest, run.replicas), max(highest, run.replicas)
    return tuple(reversed(kept))
