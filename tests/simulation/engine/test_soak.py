"""A fleet that lives for days under faults takes no more memory, files, tasks and log lines.

A day is played by default; `--soak-days 30` plays a month.
"""

from __future__ import annotations

import pytest

from simulation.engine.soak import soaked

WARM_H = 12.0
"""By then the records of bounded length are full."""
SEED = 5
"""Its fleet is reloaded in that time already."""
MOST_BLOCKS_A_DAY = 3_000
"""Of 200,000; an engine that a restart leaves behind has some thousands."""
MOST_LINES_A_MINUTE = 10


@pytest.mark.timeout(7200)
def test_memory_files_tasks_and_log_stay_flat_for_days(request: pytest.FixtureRequest) -> None:
    hours = 24.0 * request.config.getoption("--soak-days")
    looks = list(soaked(SEED, hours, WARM_H))
    before, after = looks[0], looks[-1]
    days = (after.hours - before.hours) / 24.0
    assert after.blocks - before.blocks < MOST_BLOCKS_A_DAY * days
    assert after.files == before.files
    assert after.tasks == before.tasks
    assert after.lines <= MOST_LINES_A_MINUTE
