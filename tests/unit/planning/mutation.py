"""One rule of the planner broken at a time, in copies that are never written to disk.

Each mutant is the text of one module with a piece replaced. The planner and the test named for the
mutant are imported anew on top of it, and the test is called. All of them share one process: JSON
lines of mutants in, one JSON line of what came of each out.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import find_spec, spec_from_loader
from types import CodeType, ModuleType
from typing import NamedTuple

PLANNING = "controller.planning"
CAUGHT = "AssertionError"
SURVIVED = "survived"


class Mutant(NamedTuple):
    """A rule broken: in `module` of the planner, `now` instead of `before`; `test` is the call, in
    a module of tests, that must fail.
    """

    what: str
    module: str
    before: str
    now: str
    test: str


class _Broken(SourceFileLoader):
    """A module whose text is not the file's."""

    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self._text = text

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._text, self.get_filename(fullname), "exec")


class _Finder(MetaPathFinder):
    """Puts one broken module in the place of the real one."""

    def __init__(self, name: str, loader: SourceFileLoader) -> None:
        self._name = name
        self._loader = loader

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002  # both are the finders' protocol
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        return spec_from_loader(fullname, self._loader) if fullname == self._name else None


def outcome(mutant: Mutant) -> str:
    """The type of what the test named for it raised, or that it survived. Raises ValueError where
    the piece to replace is not there exactly once.
    """
    _forget()
    name = f"{PLANNING}.{mutant.module}"
    spec = find_spec(name)
    if spec is None or spec.origin is None or not isinstance(spec.loader, SourceFileLoader):
        raise ValueError(f"there is no {name}")
    text = spec.loader.get_data(spec.origin).decode()
    if text.count(mutant.before) != 1:
        raise ValueError(f"{mutant.what}: {mutant.before!r} is not once in {name}")
    finder = _Finder(name, _Broken(name, spec.origin, text.replace(mutant.before, mutant.now)))
    sys.meta_path.insert(0, finder)
    try:
        return _called(mutant.test)
    finally:
        sys.meta_path.remove(finder)


def _called(test: str) -> str:
    module, call = test.split(":", 1)
    try:
        eval(call, vars(importlib.import_module(f"unit.planning.{module}")))
    except Exception as error:  # noqa: BLE001  # whatever it is, it is the answer
        return type(error).__name__
    return SURVIVED


def _forget() -> None:
    """Import the planner and its tests anew next time."""
    for name in list(sys.modules):
        if name.startswith((PLANNING, "unit.planning", "property")):
            del sys.modules[name]


def main() -> None:
    for line in sys.stdin:
        try:
            came = outcome(Mutant(*json.loads(line)))
        except ValueError as error:
            came = str(error)
        print(json.dumps(came), flush=True)


if __name__ == "__main__":
    main()
