"""Every recorded answer of a real server has its typed form, and every write its outcome."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from controller.kube import wire
from controller.kube.errors import (
    DETAIL_LIMIT,
    LONGEST_WAIT_S,
    ApiError,
    ConfigError,
    HeldBackError,
    KubeError,
    LostError,
    TimedOutError,
    UnreachableError,
    UnreadableError,
    WireStatus,
    api_error,
    shortened,
    status_error,
)
from controller.kube.pods import PodView
from controller.kube.workloads import WorkloadView
from controller.kube.writes import outcome
from controller.model.decision import OutcomeKind
from controller.model.readings import Why
from support.table import tabled

BY_STATUS = {
    400: OutcomeKind.INVALID,
    401: OutcomeKind.UNAUTHORIZED,
    403: OutcomeKind.FORBIDDEN,
    404: OutcomeKind.GONE,
    409: OutcomeKind.CONFLICT,
    410: OutcomeKind.GONE,
    415: OutcomeKind.INVALID,
    422: OutcomeKind.INVALID,
    429: OutcomeKind.THROTTLED,
    500: OutcomeKind.FAILED,
    504: OutcomeKind.FAILED,
}


def typed(answer: dict[str, Any]) -> ApiError:
    body = json.dumps(answer["body"]) if "body" in answer else answer.get("text", "")
    return api_error(answer["status"], headers(answer), body.encode())


def headers(answer: dict[str, Any]) -> dict[str, str]:
    return {name.title(): value for name, value in answer["headers"].items()}


def test_every_recorded_refusal_is_typed_and_short(recorded: Any) -> None:
    seen = 0
    for file, step in recorded.steps():
        answer = step.get("response")
        if answer is None or answer["status"] < 400:
            continue
        seen += 1
        error = typed(answer)
        assert error.status == answer["status"], (file, step["step"])
        assert error.detail, (file, step["step"])
        assert len(error.detail) <= DETAIL_LIMIT
        assert outcome(error).kind is BY_STATUS[answer["status"]], (file, step["step"])
        assert error.reason == answer.get("body", {}).get("reason", "")
    assert seen > 20


def test_every_recorded_object_that_we_read_can_be_read(recorded: Any) -> None:
    deployments = pods = scales = 0
    for file, step in recorded.steps():
        answer = step.get("response") or {"status": 0}
        if answer["status"] not in {200, 201}:
            continue
        body = answer.get("body") or {}
        found = [body] if body.get("kind") in {"Deployment", "Pod", "Scale"} else []
        lines = answer.get("lines", ())
        found += [line["object"] for line in lines if line["type"] != "BOOKMARK"]
        if body.get("kind") in {"DeploymentList", "PodList"}:
            page = wire.WirePage.of(json.dumps(body).encode())
            assert page.metadata.resource_version
            kind = body["kind"].removesuffix("List")
            found += [json.loads(bytes(raw)) | {"kind": kind} for raw in page.items or ()]
        for item in found:
            raw = json.dumps(item).encode()
            match item.get("kind"), "spec" in item:
                case "Deployment", True:
                    view = WorkloadView(lambda _: None)
                    assert view.read(msgspec.Raw(raw)) is not None, (file, step["step"])
                    deployments += 1
                case "Pod", True:
                    seen = PodView(lambda _: None).read(msgspec.Raw(raw))
                    assert seen is not None, (file, step["step"])
                    pods += 1
                case "Scale", _:
                    assert wire.WireScale.of(raw).metadata.resource_version
                    scales += 1
    assert (deployments > 10, pods > 10, scales > 3) == (True, True, True)


def test_every_recorded_watch_line_can_be_read(recorded: Any) -> None:
    kinds = set()
    for _, step in recorded.steps():
        for line in (step.get("response") or {}).get("lines", ()):
            decoded = wire.WireWatchLine.of(json.dumps(line).encode())
            kinds.add(decoded.type)
            if decoded.type != "ERROR":
                assert wire.WireVersioned.of(decoded.object).metadata.resource_version
    assert kinds == {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"}


def test_an_expired_version_inside_a_watch_says_list_anew(recorded: Any) -> None:
    (line,) = recorded.answer("expired", "watch")["lines"]
    said = wire.WireWatchLine.of(json.dumps(line).encode())
    error = status_error(WireStatus.of(said.object))
    assert error.expired
    assert error.status == 410


def test_an_expired_continue_token_says_list_anew(recorded: Any) -> None:
    assert typed(recorded.answer("expired", "continue")).expired


def test_a_version_not_reached_yet_asks_for_a_second(recorded: Any) -> None:
    error = typed(recorded.answer("watch", "list-future-version"))
    assert error.retry_after_s == 1.0
    assert error.causes == ("ResourceVersionTooLarge",)


def test_a_blocked_eviction_names_no_retry_time(recorded: Any) -> None:
    error = typed(recorded.answer("pods", "evict-blocked"))
    assert (error.retry_after_s, error.causes) == (None, ("DisruptionBudget",))


def test_a_refusal_that_quotes_the_whole_object_keeps_its_end(recorded: Any) -> None:
    error = typed(recorded.answer("scale", "patch-unknown-field-strict"))
    assert len(error.detail) <= DETAIL_LIMIT
    assert error.detail.endswith('strict decoding error: unknown field "spec.replicsa"')


@tabled(
    ("wish", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "99999999999"}, LONGEST_WAIT_S),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "soon"}, None),
        ({}, None),
        (
            {
                "Retry-After": "Sat, 21 Nov 2026 10:00:30 GMT",
                "Date": "Sat, 21 Nov 2026 10:00:00 GMT",
            },
            30.0,
        ),
        ({"Retry-After": "Sat, 21 Nov 2026 10:00:30 GMT"}, None),
    ],
)
def test_how_long_the_server_asks_us_to_wait(wish: dict[str, str], seconds: float | None) -> None:
    assert api_error(429, wish, b"{}").retry_after_s == seconds


@tabled(
    ("failure", "kind"),
    [
        (UnreachableError("refused"), OutcomeKind.UNREACHABLE),
        (TimedOutError("no answer"), OutcomeKind.UNKNOWN),
        (LostError("reset"), OutcomeKind.UNKNOWN),
        (UnreadableError("html"), OutcomeKind.UNKNOWN),
        (HeldBackError(3.0), OutcomeKind.THROTTLED),
        (ConfigError("token gone"), OutcomeKind.UNAUTHORIZED),
        (ApiError(503, "ServiceUnavailable", "no", retry_after_s=2.0), OutcomeKind.FAILED),
        (ApiError(302, "", "elsewhere"), OutcomeKind.INVALID),
    ],
)
def test_only_a_request_that_was_sent_and_not_answered_is_unknown(
    failure: KubeError, kind: OutcomeKind
) -> None:
    result = outcome(failure)
    assert result.kind is kind
    assert result.retry_after_s == failure.retry_after_s


def test_each_failure_says_why_a_view_is_blind() -> None:
    assert ApiError(403).why is Why.REFUSED
    assert ApiError(401).why is Why.REFUSED
    assert ApiError(500).why is Why.VIEW_INCOMPLETE
    assert TimedOutError().why is Why.TIMED_OUT
    assert UnreachableError().why is Why.DISCONNECTED


def test_shortened_text_is_one_line() -> None:
    assert shortened("a\n\tb") == "a b"
    assert len(shortened("x" * 10_000)) == DETAIL_LIMIT
