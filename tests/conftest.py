"""What all tests share: two workers for each core, profiles of Hypothesis, the switches of the
seeds and the soak, and a cache of bytecode for the programs that tests start.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import time
from collections.abc import Generator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings

from controller.logs import LIBRARIES

# what their assertions compare is shown as in a test
pytest.register_assert_rewrite("support", "tests.support", "property", "tui.terminal")

# The same examples for everyone and each time, so that a failure is there for all who look. No
# deadline and no health check of speed: a test is not wrong because the machine is busy.
settings.register_profile(
    "default",
    max_examples=50,
    derandomize=True,
    database=None,
    print_blob=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
# Hypothesis loads `ci` by itself where the environment has CI
settings.register_profile("ci", settings.get_profile("default"))
# To look for new failures is a command of its own: other examples each time, and 20 times as many
settings.register_profile(
    "explore", settings.get_profile("default"), max_examples=1000, derandomize=False
)

SLOWEST_FIRST = ("simulated", "integration", "tui", "property")
NARROWING_OPTIONS = ("keyword", "markexpr", "lf", "last_failed", "update_snapshots")
"""With one of these, either few tests run or their results must stay in one process."""
LONGEST_ID = 60
COLLECTED_WITHIN_S = 60.0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seeds",
        type=int,
        default=20,
        help="how many histories of tests/simulation/engine are played (default: %(default)s)",
    )
    parser.addoption(
        "--soak",
        type=float,
        default=0.0,
        metavar="MINUTES",
        help="how long the soak test runs; by default a quarter of a minute",
    )
    parser.addoption(
        "--pools",
        type=int,
        default=100,
        help="how many pools the soak under faults has (default: %(default)s)",
    )
    parser.addoption(
        "--kills",
        type=int,
        default=2,
        help="how many controllers are killed under a moving load (default: %(default)s)",
    )
    parser.addoption(
        "--soak-days",
        type=float,
        default=1.0,
        metavar="DAYS",
        help="how many days of virtual time the simulated soak test plays (default: %(default)s)",
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


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> Generator[None, int, int]:
    """No workers for a few tests, which end before workers have started; else two for each core.

    Half of the time tests wait for other processes. `-n auto` by hand is one for each core.
    """
    cores = yield
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ or any(
        argument.startswith(("-n", "--numprocesses"))
        for argument in config.invocation_params.args
        if isinstance(argument, str)
    ):
        return cores
    narrowed = any(getattr(config.option, name, None) for name in NARROWING_OPTIONS)
    folders = all(Path(argument).is_dir() for argument in config.args)
    if narrowed or not folders or config.option.capture == "no":
        return 0
    return 2 * cores


def pytest_make_parametrize_id(val: object) -> str | None:
    """A long value is named by its beginning: each worker sends the names of all tests."""
    if isinstance(val, str | bytes) and len(val) > LONGEST_ID:
        return f"{val[:LONGEST_ID]!a}..."
    return None


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Let one worker for each core collect first: where nothing is compiled, they do for all."""
    run, number = os.environ.get("PYTEST_XDIST_TESTRUNUID"), os.environ.get("PYTEST_XDIST_WORKER")
    cache = getattr(session.config, "cache", None)
    if run is None or number is None or cache is None:
        return (yield)
    collected, latest = cache.mkdir("collected") / "run", time.monotonic() + COLLECTED_WITHIN_S
    if int(number.removeprefix("gw")) >= (os.cpu_count() or 1):
        while time.monotonic() < latest and not (
            collected.exists() and collected.read_text("utf-8") == run
        ):
            time.sleep(0.05)
    try:
        return (yield)
    finally:
        collected.write_text(run, "utf-8")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the random order of tests into an order of folders.

    The folders whose single tests take longest come first, so that no worker is left alone with one
    at the end. A folder's tests stay together: some share a server that takes seconds to start.
    """
    items.sort(key=_by_folder)


def pytest_collection_finish() -> None:
    """What is imported by now stays: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


def _by_folder(item: pytest.Item) -> tuple[int, str]:
    folder = item.nodeid.partition("::")[0].rpartition("/")[0]
    rank = {f"tests/{name}": place for place, name in enumerate(SLOWEST_FIRST)}
    return rank.get("/".join(folder.split("/")[:2]), len(rank)), folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Put the levels of logging back: a verb that runs in the test's own process silences them."""
    loggers = [logging.getLogger(name) for name in (None, *LIBRARIES)]
    levels = [each.level for each in loggers]
    try:
        return (yield)
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish() -> Generator[None, object, object]:
    """Hide the environment from the report on differing pictures: it would print all of it."""
    prefixes = ("TEXTUAL_", "PYTEST_XDIST_")
    kept = {name: value for name, value in os.environ.items() if name.startswith(prefixes)}
    with mock.patch.dict(os.environ, kept, clear=True):
        return (yield)
