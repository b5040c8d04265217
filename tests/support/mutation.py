"""Rules removed from the product one at a time, to see that a test notices.

A mutant is the text of one rule in the product's source, and what stands there without the rule.
Nothing is written to disk. `Mutants` starts this module as a process, which forks for each mutant:
the child imports the changed text in the place of the file and calls the tests that guard the rule.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final, NamedTuple, Self

import pytest

TESTS: Final = Path(__file__).parents[1]
ROOT: Final = TESTS.parent
LIMIT_S: Final = 30
"""Without its rule a loop may have no end."""
PIPE_BYTES: Final = 4096
"""A pipe takes so much at once, while its reader waits for the end of the writer."""

NOTICED: Final = "noticed"
UNNOTICED: Final = "no test fails when it is removed"


class Mutant(NamedTuple):
    """One rule, how to remove it, and the tests that guard it.

    `text` stands exactly once in the file, or in all files of the folder, `place`, which is
    below `controller/` unless it begins with `agentdash/`; without the rule, `without` stands
    there. Of `tests`, each a call of a test function as `test_name(arguments)`, at least one must
    then fail by an assertion. The function is looked for in all files of tests;
    `module:test_name()` chooses one where several have the name.
    """

    rule: str
    place: str
    text: str
    without: str
    tests: tuple[str, ...]


class Mutants:
    """The process that tries mutants; `with Mutants() as mutants: mutants.fate(mutant)`."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.mutation"],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def fate(self, mutant: Mutant) -> str:
        """NOTICED, UNNOTICED, or why the rule could not be tried."""
        return self._ask(mutant._asdict())

    def unbroken(self, tests: Sequence[str]) -> str:
        """NOTICED where one of these calls fails although no rule is removed, else UNNOTICED."""
        return self._ask({"tests": tests})

    def _ask(self, question: object) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert isinstance(answer, str)
        return answer


class UnusableError(Exception):
    """The table names a text or a test that is not there."""


class _Changed(SourceFileLoader):
    """A module whose text is not the file's."""

    def __init__(self, name: str, path: Path, text: str) -> None:
        super().__init__(name, str(path))
        self._text = text

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._text, self.get_filename(fullname), "exec")


class _Finder(MetaPathFinder):
    """Puts one changed module in the place of the real one."""

    def __init__(self, path: Path, text: str) -> None:
        parts = path.relative_to(ROOT).with_suffix("").parts
        self._name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        self._path = path
        self._loader = _Changed(self._name, path, text)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002  # both are the finders' protocol
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        return spec_from_file_location(fullname, self._path, loader=self._loader)


def _finder(place: str, text: str, without: str) -> _Finder:
    root = ROOT / (place if place.startswith("agentdash/") else f"controller/{place}")
    files = [root] if root.is_file() else sorted(root.rglob("*.py"))
    sources = {file: file.read_text("utf-8") for file in files}
    found = {file: source for file, source in sources.items() if text in source}
    count = sum(source.count(text) for source in found.values())
    if count != 1:
        names = ", ".join(str(file.relative_to(ROOT)) for file in found) or str(
            root.relative_to(ROOT)
        )
        raise UnusableError(f"its text stands {count} times in {names}, not once: {text!r}")
    [(file, source)] = found.items()
    return _Finder(file, source.replace(text, without))


@cache
def _modules() -> dict[str, list[str]]:
    """The modules that define each test function."""
    modules: dict[str, list[str]] = {}
    for file in sorted(TESTS.rglob("test_*.py")):
        name = ".".join(file.relative_to(TESTS).with_suffix("").parts)
        for test in re.findall(
            r"^(?:async )?def (test_\w+)\(", file.read_text("utf-8"), re.MULTILINE
        ):
            modules.setdefault(test, []).append(name)
    return modules


def _call(test: str) -> None:
    """Call a test; it raises what the test raises."""
    wanted, _, call = test.rpartition(":") if re.match(r"[\w.]+:", test) else ("", "", test)
    name = ast.unparse(ast.parse(call, mode="eval").body).partition("(")[0]
    modules = [
        module
        for module in _modules().get(name, [])
        if not wanted or wanted in (module, module.rpartition(".")[2])
    ]
    if len(modules) != 1:
        raise UnusableError(f"{len(modules)} modules define {name}, not one: {modules}")
    called = eval(call, vars(importlib.import_module(modules[0])))
    if inspect.iscoroutine(called):
        asyncio.run(called)


def _try(question: dict[str, object]) -> str:
    """What comes of one question; in the child, which imports everything anew."""
    tests = question["tests"]
    assert isinstance(tests, list)
    if "rule" in question:
        place, text, without = (str(question[key]) for key in ("place", "text", "without"))
        sys.meta_path.insert(0, _finder(place, text, without))
    fate = UNNOTICED
    for test in tests:
        try:
            _call(test)
        except (AssertionError, pytest.fail.Exception):
            return NOTICED
        except UnusableError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever else it raises is the answer
            fate = f"{test} breaks instead of failing: {type(error).__name__}: {error}"
    return fate


def _answer(question: dict[str, object]) -> str:
    """What comes of one question, from a child of this process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(LIMIT_S)
        try:
            fate = _try(question)
        except UnusableError as error:
            fate = str(error)
        except BaseException:  # noqa: BLE001  # a child must not go on as its parent
            fate = traceback.format_exc()
        os.write(writing, json.dumps(fate[-PIPE_BYTES:]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if not said:
        number = -os.waitstatus_to_exitcode(status)
        ended = "did not end" if number == signal.SIGALRM else f"were ended by signal {number}"
        return f"its tests {ended} within {LIMIT_S} s"
    fate = json.loads(said)
    assert isinstance(fate, str)
    return fate


def main() -> None:
    """One JSON line for each question on standard input."""
    for library in ("hypothesis", "msgspec", "yaml"):  # once here, not in each child
        importlib.import_module(library)
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
