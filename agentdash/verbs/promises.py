"""`agentdash promises`: what agentdash promises under faults, and the tests that hold it."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import msgspec

from agentdash.output import tell
from controller.exit_codes import ExitCode
from controller.model.value import Value


class Promise(Value):
    """One promise with the tests that hold it (`file::test`). `missing` says what is not held, or
    not shown by a test, yet; without tests nothing of it is.
    """

    id: str
    says: str
    tests: tuple[str, ...] = ()
    missing: str = ""

    @property
    def state(self) -> str:
        """Whether it is held: `held`, `in part` or `not held`."""
        if not self.tests:
            return "not held"
        return "in part" if self.missing else "held"


def promises() -> tuple[Promise, ...]:
    """All of them, in their order."""
    text = files("agentdash").joinpath("promises.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text)["promise"], tuple[Promise, ...])


def show_promises(*, as_json: bool) -> ExitCode:
    """Print each promise, its state, its tests and what is missing."""
    found = promises()
    if as_json:
        rows = [{"state": each.state, **msgspec.structs.asdict(each)} for each in found]
        tell(msgspec.json.encode(rows).decode())
        return ExitCode.OK
    tell("\n".join(line for each in found for line in _lines(each)))
    states = [each.state for each in found]
    counts = (f"{states.count(state)} {state}" for state in ("held", "in part", "not held"))
    tell(f"\n{len(found)} promises: {', '.join(counts)}")
    return ExitCode.OK


def _lines(promise: Promise) -> list[str]:
    indent = " " * 15
    return [
        f"{promise.id}  {promise.state:<8}  {promise.says}",
        *(f"{indent}{test}" for test in promise.tests),
        *([f"{indent}missing: {promise.missing}"] if promise.missing else ()),
    ]
