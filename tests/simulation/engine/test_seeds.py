"""Controllers that share a cluster, with the faults of many seeds, keep all promises.

`--seeds 1000` plays so many, divided over the workers. A seed that breaks a promise is played again
with ever fewer faults, and the shortest history is printed.
"""

from __future__ import annotations

import pytest

from simulation.engine.history import play
from simulation.engine.shrink import shrunk, told

SEEDS_OF_A_TEST = 10
TELLING_SEEDS = (62, 81, 255, 365, 367, 1101, 1119, 2381, 4499, 6154, 6212, 6525, 7720)
"""Seeds beyond those played by default, in which a rule of the engine alone kept a promise."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "first_seed" in metafunc.fixturenames:
        seeds = range(0, metafunc.config.getoption("--seeds"), SEEDS_OF_A_TEST)
        metafunc.parametrize("first_seed", seeds)


@pytest.mark.parametrize("seed", TELLING_SEEDS)
def test_this_seed_keeps_all_promises(seed: int) -> None:
    assert play(seed).broken is None


@pytest.mark.timeout(300)  # of a busy machine; a test takes some seconds
def test_all_promises_are_kept_under_faults(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + SEEDS_OF_A_TEST):
        ended = play(seed)
        if ended.broken is not None:
            pytest.fail(told(shrunk(ended)), pytrace=False)
