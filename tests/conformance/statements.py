"""How the cases of each type are stated for the planner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from conformance.hpa_statements import HPA_STATEMENTS
from conformance.keda_statements import KEDA_STATEMENTS
from conformance.sharing_statements import SHARING_STATEMENTS
from conformance.statement import Statement

STATEMENTS: Final[Mapping[str, Statement]] = {
    **HPA_STATEMENTS,
    **KEDA_STATEMENTS,
    **SHARING_STATEMENTS,
}
