"""Renders metrics in the two text formats of Prometheus.

`prometheus_client` takes about 8 µs per sample, which is most of a second for 10,000 pools, on the
event loop. Here a sample's line is a string, which the caller can cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Family(NamedTuple):
    """A metric family; `words` is its help text. A counter's `sample_name` ends in `_total`, its
    `name` does not.
    """

    name: str
    words: str
    kind: Literal["gauge", "counter"]
    sample_name: str

    def line(self, value: float, labels: str = "") -> str:
        """The line of one sample; `labels` is made by `label_text`."""
        return f"{self.sample_name}{labels} {_number(value)}\n"

    def text(self, lines: Iterable[str], *, openmetrics: bool) -> str:
        """The whole family. In OpenMetrics a counter's name in HELP and TYPE has no `_total`."""
        name = self.name if openmetrics else self.sample_name
        return f"# HELP {name} {self.words}\n# TYPE {name} {self.kind}\n{''.join(lines)}"


def gauge(name: str, words: str) -> Family:
    """A gauge: numbers that may rise and fall."""
    return Family(name, words, "gauge", name)


def counter(name: str, words: str) -> Family:
    """A counter: numbers that only grow while the process runs."""
    return Family(name, words, "counter", f"{name}_total")


def label_text(**labels: str) -> str:
    """The labels of a sample as text, sorted by name."""
    pairs = (f'{name}="{labels[name].translate(_ESCAPES)}"' for name in sorted(labels))
    return f"{{{','.join(pairs)}}}"


def _number(value: float) -> str:
    """A number as text, valid in both formats."""
    if isinstance(value, int):
        return f"{value}.0"
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else f"{'+' if value > 0 else '-'}Inf"
