"""A second simulator, as plain as can be: one slot, all replicas take equally long to become ready.

It follows tasks and replicas rather than events, and shares nothing with the first.
"""

from __future__ import annotations

from controller.simulate.trace import TraceTask


def static_waits(tasks: list[TraceTask], size: int, ready_s: float) -> list[float]:
    """The waits with `size` replicas that are asked for at 0: each task takes the one that is free
    first.
    """
    free_at, waits = [ready_s] * size, []
    for task in tasks:
        free_at.sort()
        begins = max(task.arrival_s, free_at[0])
        free_at[0] = begins + task.service_s
        waits.append(begins - task.arrival_s)
    return waits


def reactive_waits(tasks: list[TraceTask], most: int, ready_s: float) -> list[float]:
    """The waits with as many replicas as unfinished tasks, at most `most`.

    While there are fewer tasks than `most`, each arrival asks for one more replica, and each task
    that ends gives one back: the newest that still starts, or else the one that has become idle.
    """
    ready: list[float] = []  # when the free replicas became free
    starting: list[float] = []  # when replicas that were asked for are ready, in order
    ends: list[float] = []
    waiting: list[TraceTask] = []
    waits: dict[TraceTask, float] = {}
    arrivals = list(tasks)
    while arrivals or waiting or ends:
        now = min(
            *(arrivals[0].arrival_s,) if arrivals else (float("inf"),),
            *starting,
            *ends,
            float("inf"),
        )
        if arrivals and arrivals[0].arrival_s == now:
            waiting.append(arrivals.pop(0))
        elif now in ends:
            ends.remove(now)
            ready.append(now)
        else:
            starting.remove(now)
            ready.append(now)
        while waiting and ready:
            ready.pop()
            task = waiting.pop(0)
            waits[task] = now - task.arrival_s
            ends.append(now + task.service_s)
        wanted = min(len(waiting) + len(ends), most)
        while len(ready) + len(starting) + len(ends) > wanted:
            (starting or ready).pop()
        while len(ready) + len(starting) + len(ends) < wanted:
            starting.append(now + ready_s)
    return [waits[task] for task in tasks]


def least_s(tasks: list[TraceTask], ready_s: float) -> float:
    """The least replica-seconds without a wait: each task takes the replica that became free last,
    which has waited for it or started anew, whichever costs less.
    """
    free_at: list[float] = []
    paid_s = 0.0
    for task in tasks:
        gone = [each for each in free_at if each <= task.arrival_s]
        gap_s = ready_s
        if gone:
            free_at.remove(max(gone))
            gap_s = min(task.arrival_s - max(gone), ready_s)
        paid_s += gap_s + task.service_s
        free_at.append(task.arrival_s + task.service_s)
    return paid_s
