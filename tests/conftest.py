"""What all tests share: one worker for each core, the profiles of Hypothesis, the switch of the
mutants, and a cache of bytecode for the programs that tests start.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings

from support.examples import CI_EXAMPLES, THOROUGH_EXAMPLES

# No deadline and no health check of speed: a test is not wrong because the machine is busy.
settings.register_profile(
    "default",
    max_examples=CI_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
# Hypothesis loads this one by itself where the environment has CI: the same examples each time.
settings.register_profile(
    "ci", settings.get_profile("default"), derandomize=True, database=None, print_blob=True
)
settings.register_profile(
    "thorough", settings.get_profile("default"), max_examples=THOROUGH_EXAMPLES
)

TESTS = Path(__file__).parent
SLOWEST_FIRST = ("kubesim", "integration", "tui", "property")
NARROWING_OPTIONS = ("keyword", "markexpr", "lf", "last_failed", "update_snapshots")
"""With one of these, either few tests run or their results must stay in one process."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--mutants",
        action="store_true",
        help="run only the mutants: each removes one rule from the product, and a test must notice",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Do once what each test, or each program that a test starts, would do again.

    Bytecode: where the environment forbids it beside the sources, it is kept in pytest's own cache.
    Certificates: every TLS client would read all authorities of the machine, 30 ms each time; the
    tests trust only the authorities that they name.
    """
    os.environ["SSL_CERT_FILE"] = os.environ["SSL_CERT_DIR"] = os.devnull
    cache = getattr(config, "cache", None)
    if sys.dont_write_bytecode and cache is not None:
        sys.dont_write_bytecode = False
        sys.pycache_prefix = str(cache.mkdir("bytecode"))
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """No workers where a few tests are asked for: they end before the workers have started.

    None is xdist's own number, one worker for each core.
    """
    options, arguments = config.option, config.invocation_params.args
    if any(argument.startswith(("-n", "--numprocesses")) for argument in arguments):
        return None
    narrowed = any(getattr(options, name, None) for name in NARROWING_OPTIONS)
    folders = all(Path(argument).is_dir() for argument in config.args)
    return 0 if narrowed or not folders or options.capture == "no" else None


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, None, None]:
    """Select the mutants or all others; begin with the folders whose single tests take longest, so
    that no worker is left alone with one at the end.
    """
    wanted = bool(config.getoption("--mutants"))
    selected, others = [], []
    for item in items:
        is_mutant = item.get_closest_marker("mutants") is not None
        (selected if is_mutant == wanted else others).append(item)
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = selected
    yield
    items.sort(key=_slowest_folders_first)


def _slowest_folders_first(item: pytest.Item) -> int:
    folder = item.path.relative_to(TESTS).parts[0]
    return SLOWEST_FIRST.index(folder) if folder in SLOWEST_FIRST else len(SLOWEST_FIRST)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish() -> Generator[None, object, object]:
    """Hide the environment from the report on differing pictures: it would print all of it."""
    prefixes = ("TEXTUAL_", "PYTEST_XDIST_")
    kept = {name: value for name, value in os.environ.items() if name.startswith(prefixes)}
    with mock.patch.dict(os.environ, kept, clear=True):
        return (yield)
