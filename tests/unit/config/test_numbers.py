"""Numbers are kept exactly as they are written, or refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import TypeAdapter, ValidationError

from controller.config.scalars import (
    Cpu,
    Memory,
    MetricQuantity,
    MetricTarget,
    Number,
    Quantity,
    Tolerance,
    Usd,
    Weight,
)

ANY = Number(-1000, 10**12)


@pytest.mark.parametrize(
    ("written", "number"),
    [
        (0, "0"),
        (50, "50"),
        (0.1, "0.1"),
        (1.10, "1.1"),
        (1e-7, "0.0000001"),
        (123456789.123456, "123456789.123456"),
        ("0.30", "0.3"),
        ("0.123456789012345678", "0.123456789012345678"),
        ("-1.5", "-1.5"),
    ],
)
def test_a_decimal_is_read_exactly(written: object, number: str) -> None:
    assert ANY(written) == Decimal(number)


@pytest.mark.parametrize(
    "written",
    [
        *(True, None, [], {}, float("nan"), float("inf"), float("-inf")),
        *("", "NaN", "Infinity", "1e3", "1/3", ".5", "5.", "+1", " 1", "1\n", "1_000", "1,5", "١"),
    ],
)
def test_what_is_no_decimal_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must be a number"):
        ANY(written)


def test_digits_that_would_be_lost_are_refused() -> None:
    with pytest.raises(ValueError, match="more digits than are kept"):
        ANY(0.12345678901234567)


@pytest.mark.parametrize("written", [-0.01, "-1", 1_000_000_001])
def test_money_is_neither_negative_nor_absurd(written: object) -> None:
    with pytest.raises(ValidationError, match="must be at least 0 and at most 1000000000"):
        TypeAdapter[Decimal](Usd).validate_python(written)


def test_a_weight_is_more_than_0() -> None:
    assert TypeAdapter[Decimal](Weight).validate_python("0.001") == Decimal("0.001")
    with pytest.raises(ValidationError, match="must be more than 0"):
        TypeAdapter[Decimal](Weight).validate_python(0)


@pytest.mark.parametrize(
    ("written", "millicores"),
    [(2, 2000), ("500m", 500), (0.5, 500), ("0.1", 100), ("1k", 1_000_000), ("1e1", 10_000)],
)
def test_cores_become_millicores(written: object, millicores: int) -> None:
    assert TypeAdapter[int](Cpu).validate_python(written) == millicores


@pytest.mark.parametrize(
    ("written", "bytes_"),
    [
        (0, 0),
        ("16Gi", 16 * 2**30),
        ("512Mi", 512 * 2**20),
        ("1.5Ki", 1536),
        ("1G", 10**9),
        ("1E", 10**18),
        ("1E3", 1000),
        ("2000m", 2),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_memory_becomes_bytes(written: object, bytes_: int) -> None:
    assert TypeAdapter[int](Memory).validate_python(written) == bytes_


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("64Gb", "must be a quantity, such as"),
        ("64GI", "must be a quantity"),
        ("1K", "must be a quantity"),
        ("", "must be a quantity"),
        ("1 Gi", "must be a quantity"),
        ("1e3Ki", "must be a quantity"),
        ("1Gi\n", "must be a quantity"),
        (True, "must be a quantity"),
        (float("nan"), "must be a quantity"),
        ([], "must be a quantity"),
        ("-1", "must be at least 0"),
        ("1m", "must be a whole number of bytes"),
        ("0.3Ki", "must be a whole number of bytes"),
        ("8Ei", "must be at most 9223372036854775807 bytes"),
        ("1e99", "must be at most"),
    ],
)
def test_what_is_no_memory_is_refused(written: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Quantity(1, "bytes", '"16Gi"')(written)


def test_a_target_is_in_thousandths_and_more_than_0() -> None:
    target = TypeAdapter[int](MetricTarget)
    assert [target.validate_python(one) for one in ("30", 5, "500m", "2k", 0.25)] == [
        *(30_000, 5_000, 500, 2_000_000, 250),
    ]
    with pytest.raises(ValidationError, match="must be more than 0"):
        target.validate_python("0")
    with pytest.raises(ValidationError, match="a whole number of thousandths"):
        target.validate_python("100u")
    assert TypeAdapter[int](MetricQuantity).validate_python(0) == 0


@pytest.mark.parametrize(("written", "part"), [(0.1, "0.1"), ("50m", "0.05"), ("100u", "0.0001")])
def test_a_tolerance_is_a_quantity(written: object, part: str) -> None:
    assert TypeAdapter[Decimal](Tolerance).validate_python(written) == Decimal(part)
