"""Prometheus' text formats: families of samples as lines.

`prometheus_client` renders about 8 µs a sample, which is most of a second for the samples of 10,000
pools, on the event loop. Here the line of a sample is a string that its owner may keep.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Family(NamedTuple):
    """The samples of one name; `words` say what it is. A counter's `name` is without `_total`,
    which its `sample_name` has.
    """

    name: str
    words: str
    kind: Literal["gauge", "counter"]
    sample_name: str

    def line(self, value: float, labels: str = "") -> str:
        """One sample; `labels` as `label_text` makes them."""
        return f"{self.sample_name}{labels} {_number(value)}\n"

    def text(self, lines: Iterable[str], *, openmetrics: bool) -> str:
        """The whole family. OpenMetrics calls a counter by its name without `_total`."""
        name = self.name if openmetrics else self.sample_name
        return f"# HELP {name} {self.words}\n# TYPE {name} {self.kind}\n{''.join(lines)}"


def gauge(name: str, words: str) -> Family:
    """A family of numbers that rise and fall."""
    return Family(name, words, "gauge", name)


def counter(name: str, words: str) -> Family:
    """A family of numbers that only grow while the process runs."""
    return Family(name, words, "counter", f"{name}_total")


def label_text(**labels: str) -> str:
    """Labels as a sample has them, sorted by name."""
    pairs = (f'{name}="{labels[name].translate(_ESCAPES)}"' for name in sorted(labels))
    return f"{{{','.join(pairs)}}}"


def _number(value: float) -> str:
    """A number as both formats take it."""
    if isinstance(value, int):
        return f"{value}.0"
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else f"{'+' if value > 0 else '-'}Inf"
