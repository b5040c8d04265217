"""Fair shares of what is scarce, over many pools, tenants and resources at once."""

from controller.planning.allocation.allocate import allocate
from controller.planning.allocation.values import (
    HALF_FED,
    Allotment,
    Amount,
    AmountError,
    Ceiling,
    Claim,
    DeclarationError,
    Phases,
    Row,
    SharingError,
    SharingPolicy,
    WeightError,
)

__all__ = [
    "HALF_FED",
    "Allotment",
    "Amount",
    "AmountError",
    "Ceiling",
    "Claim",
    "DeclarationError",
    "Phases",
    "Row",
    "SharingError",
    "SharingPolicy",
    "WeightError",
    "allocate",
]
