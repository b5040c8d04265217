"""What lasts is left out of later collections."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from controller.engine.supervise import spare_what_lasts


@pytest.fixture
def collector() -> Iterator[None]:
    """The garbage collector of this process, as it was."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_what_there_is_now_is_not_looked_through_again(collector: None) -> None:
    lasting = [[number] for number in range(50_000)]
    spare_what_lasts()
    tracked = len(gc.get_objects())
    assert gc.get_freeze_count() > len(lasting)
    assert tracked < len(lasting)
