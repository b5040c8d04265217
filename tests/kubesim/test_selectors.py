"""Label and field selectors mean the same as to the real parser."""

from __future__ import annotations

import pytest

from agentdash.demo.kubesim import StatusError
from agentdash.demo.kubesim.quantities import canonical, milli
from agentdash.demo.kubesim.resources import DEPLOYMENTS, PODS
from agentdash.demo.kubesim.selectors import as_query, matches, parse_fields, parse_labels

ITEM = {"metadata": {"name": "x", "labels": {"app": "web", "tier": "gold", "rank": "5"}}}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier=gold", True),
        ("app=web,tier=iron", False),
        ("app!=web", False),
        ("none!=web", True),
        ("app in (web, api)", True),
        ("app notin (web,api)", False),
        ("none notin (a)", True),
        ("app", True),
        ("!app", False),
        ("!none", True),
        ("rank>4", True),
        ("rank>5", False),
        ("rank<6", True),
        ("app>4", False),
        ("app in (web),!none,rank<9", True),
        ("none=", False),
    ],
)
def test_a_label_selector_matches(text: str, wanted: bool) -> None:
    assert matches(parse_labels(text), ITEM) is wanted


@pytest.mark.parametrize("text", ["a in (b", "a in b", "a b", "=b", "a,,b", "a,", "a>b", "a in"])
def test_a_broken_label_selector_is_refused(text: str) -> None:
    with pytest.raises(StatusError) as refused:
        parse_labels(text)
    assert refused.value.code == 400


def test_a_selector_object_is_written_as_a_query() -> None:
    selector = {
        "matchLabels": {"b": "1"},
        "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["y", "x"]},
            {"key": "c", "operator": "DoesNotExist"},
            {"key": "d", "operator": "Exists"},
        ],
    }
    assert as_query(selector) == "a in (x,y),b=1,!c,d"


def test_field_selectors_know_their_resource() -> None:
    pod = {"metadata": {"name": "x"}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}}
    for text, wanted in (
        ("spec.nodeName=n,status.phase!=Failed", True),
        ("metadata.name=y", False),
        ("spec.nodeName=", False),
    ):
        assert all(clause.matches(pod) for clause in parse_fields(PODS, text)) is wanted
    with pytest.raises(StatusError, match="is not a known field selector"):
        parse_fields(DEPLOYMENTS, "spec.replicas=1")


@pytest.mark.parametrize(
    ("text", "thousandths"),
    [("250m", 250), ("4", 4000), ("1.5", 1500), ("1Ki", 1024_000), ("2e3", 2_000_000), ("1n", 1)],
)
def test_quantities_are_read_exactly(text: str, thousandths: int) -> None:
    assert milli(text) == thousandths


def test_quantities_are_written_canonically() -> None:
    assert canonical("requests.cpu", 2000) == "2"
    assert canonical("requests.cpu", 2250) == "2250m"
    assert canonical("requests.memory", milli("4096Mi")) == "4Gi"
    assert canonical("memory", 1500_000) == "1500"


@pytest.mark.parametrize(
    "text", ["many", "", "Infinity", "NaN", "1_000", " 1", "1K", "1e3Mi", "\u0663", "1e9999", "0x1"]
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="regular expression"):
        milli(text)
