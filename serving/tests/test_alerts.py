"""Every query that we give to Prometheus is one that it takes, and can find something."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml

from fraud_detect.scorer import STAGES
from fraud_detect.service_metrics import METRICS, TOTAL, declaration
from fraud_detect.torchserve_config import metrics

SERVING = Path(__file__).parents[1]
ALERTS = [
    rule
    for group in yaml.safe_load((SERVING / "production" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
LABELS = {metric.name: {*metric.all_labels, "Hostname"} for metric in METRICS}
LABELS["Requests5XX"] = {"Level", "Hostname"}  # TorchServe's own
VALUES = {"stage": {*STAGES, TOTAL}, "outcome": {"taken", "written", "dropped"}}


def queries_in(document: Path) -> list[str]:
    """Of its blocks of PromQL; what is indented goes on with the line above."""
    blocks = re.findall(r"^```promql\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
    return [query for block in blocks for query in re.split(r"\n(?! )", block.strip())]


DOCUMENTED = queries_in(SERVING / "README.md")
QUERIES = [*DOCUMENTED, *(rule["expr"] for rule in ALERTS)]


def labels_of(expression: Any) -> set[str] | None:
    """Those that what it finds has; None: a number, or one without labels.

    Raises:
        ValueError: nothing could ever be found; the message says why.
    """
    match expression:
        case promql.NumberLiteral():
            return None
        case promql.ParenExpr():
            return labels_of(expression.expr)
        case promql.MatrixSelector():
            return labels_of(expression.vector_selector)
        case promql.VectorSelector():
            return _of_selector(expression)
        case promql.Call():
            return _of_call(expression)
        case promql.AggregateExpr():
            inner, by = labels_of(expression.expr), expression.modifier
            kept = set(by.labels) if by else set()
            _no_others(kept, inner or set(), f"{expression} keeps")
            return kept
        case promql.BinaryExpr():
            return _of_both(expression)
    raise ValueError(f"not known here: {expression}")


def _of_selector(selector: Any) -> set[str]:
    if selector.name not in LABELS:
        raise ValueError(f"there is no metric {selector.name}")
    labels = LABELS[selector.name]
    for matcher in selector.matchers.matchers:
        _no_others({matcher.name}, labels, f"{selector} asks for")
        if matcher.name in VALUES:
            _no_others(set(matcher.value.split("|")), VALUES[matcher.name], f"{selector} asks for")
    return labels


def _of_call(call: Any) -> set[str] | None:
    name, labels = call.func.name, labels_of(call.args[-1])
    if name == "absent":
        return None
    if name == "histogram_quantile":
        _no_others({"le"}, labels or set(), f"{call} needs")
        return (labels or set()) - {"le"}
    if name in ("rate", "increase"):
        return labels
    raise ValueError(f"not known here: {name}")


def _of_both(binary: Any) -> set[str] | None:
    left, right = labels_of(binary.lhs), labels_of(binary.rhs)
    if left is None or right is None:
        return right if left is None else left
    matching = binary.modifier.matching if binary.modifier else None
    if matching is None:
        if left != right:
            raise ValueError(f"{binary}: {sorted(left)} never match {sorted(right)}")
        return left
    common = set(matching.labels)
    _no_others(common, left & right, f"{binary} matches on")
    if binary.modifier.card == promql.VectorMatchCardinality.OneToOne:
        if not left == right == common:
            raise ValueError(f"{binary}: several may match on {sorted(common)}")
        return common
    return left


def _no_others(found: set[str], known: set[str], what: str) -> None:
    if found - known:
        raise ValueError(f"{what} {sorted(found - known)}, and there is {sorted(known)}")


@pytest.mark.parametrize("query", QUERIES)
def test_prometheus_takes_the_query_and_the_service_has_what_it_asks_for(query: str) -> None:
    labels_of(promql.parse(query))


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("fraud_gone_total", "there is no metric"),
        ('fraud_degraded_total{le="1"}', "asks for"),
        ('fraud_decision_log_total{outcome=~"taken|lost"}', "lost"),
        ("sum by (stage) (fraud_degraded_total)", "keeps"),
        ("histogram_quantile(0.9, sum(rate(fraud_score_bucket[5m])))", "needs"),
        ("sum by (Hostname) (fraud_degraded_total) / sum(fraud_score_bucket)", "never match"),
        ("fraud_feature_psi * on (worker) fraud_drift_rows", "several may match"),
        ("fraud_degraded_total * on (le) group_left fraud_score_bucket", "matches on"),
    ],
)
def test_a_query_that_could_find_nothing_is_found(query: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        labels_of(promql.parse(query))


def test_there_are_queries_in_the_documents() -> None:
    assert len(DOCUMENTED) == 5


def test_torchserve_is_told_of_every_metric_that_is_asked_for() -> None:
    told = declaration() + metrics()
    asked = {name for query in QUERIES for name in LABELS if name in query}
    assert {"Requests5XX", "fraud_degraded_total"} <= asked
    assert all(name in told for name in asked)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert set(rule["annotations"]) == {"summary", "action"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert re.fullmatch(r"FraudDetect\w+", rule["alert"])
    promql.parse_duration(rule.get("for", "1m"))
