"""Reading traces: what is read, and what is refused by file and line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from controller.simulate.trace import TraceError, TraceTask, parse_trace, read_trace

HEADER = "arrival_s,tenant,role,input_tokens,output_tokens,service_s\n"
TEXT = HEADER + "1.5,acme,writer,10,2,3.25\n2,acme,coder,,,4\n2,beta,writer,,,5\n"


def test_tasks_are_sorted_into_pools_by_role_or_tenant() -> None:
    assert parse_trace(TEXT, "role").pools == {
        "writer": [TraceTask(1.5, 3.25), TraceTask(2.0, 5.0)],
        "coder": [TraceTask(2.0, 4.0)],
    }
    by_tenant = parse_trace(TEXT, "tenant")
    assert [*by_tenant.pools] == ["acme", "beta"]
    assert (by_tenant.tasks, by_tenant.end_s) == (3, 2.0)


def test_missing_service_times_are_drawn_by_the_seed() -> None:
    text = HEADER + "".join(f"{number},a,b,,,\n" for number in range(2000))
    drawn = [task.service_s for task in parse_trace(text, "role").pools["b"]]
    assert sum(drawn) / len(drawn) == pytest.approx(5.0, rel=0.1)
    assert parse_trace(text, "role") == parse_trace(text, "role")
    assert parse_trace(text, "role") != parse_trace(text, "role", seed=2)


def test_a_file_may_be_gzipped(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(TEXT)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(TEXT.encode()))
    plain = read_trace(tmp_path / "a.csv", "role")
    assert read_trace(tmp_path / "a.csv.gz", "role") == plain


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("arrival_s,tenant\n", "no column service_s, role; it has arrival_s, tenant"),
        (HEADER + "soon,a,b,,,1\n", "line 2: could not convert"),
        (HEADER + "1,a,b,,,1\n0.5,a,b,,,1\n", "line 3: out of order"),
        (HEADER + "1,a,b,,,-1\n", "line 2: out of order, or not a time"),
        (HEADER + "nan,a,b,,,1\n", "line 2: out of order"),
        (HEADER + "1,a\n", "line 2: a field is missing"),
    ],
)
def test_what_cannot_be_read_is_refused_by_line(text: str, complaint: str) -> None:
    with pytest.raises(TraceError, match=complaint):
        parse_trace(text, "role")
