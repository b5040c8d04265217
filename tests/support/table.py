"""A table of cases in one test: to name, send and count a test takes longer than most cases."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import pytest
from _pytest.mark import ParameterSet

Test: TypeAlias = Callable[..., None]
# a group is of several tables, one above the other
FAILURES = (Exception, pytest.fail.Exception, BaseExceptionGroup)


def tabled(
    names: str | Sequence[str], cases: Iterable[Any], ids: Iterable[str] | None = None
) -> Callable[[Test], Test]:
    """As `pytest.mark.parametrize`, for a test that takes no fixtures and is not awaited. All cases
    are tried; those that fail are told together, each with its name.
    """
    columns = [name.strip() for name in names.split(",")] if isinstance(names, str) else [*names]
    rows = [
        ParameterSet.extract_from(case, force_tuple=isinstance(names, str) and len(columns) == 1)
        for case in cases
    ]
    labels = [row.id or repr(row.values) for row in rows] if ids is None else [*ids]

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def every_case(**given: object) -> None:
            failed: list[BaseException] = []
            for label, row in zip(labels, rows, strict=True):
                try:
                    test(**given, **dict(zip(columns, row.values, strict=True)))
                except FAILURES as error:
                    error.add_note(f"the case: {label}")
                    failed.append(error)
            if failed:
                raise BaseExceptionGroup(f"{len(failed)} of {len(rows)} cases", failed)

        left = inspect.signature(test).parameters.values()
        every_case.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [each for each in left if each.name not in columns]
        )
        return every_case

    return decorate
