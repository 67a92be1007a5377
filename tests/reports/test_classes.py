"""Classes: a baseline is of an optimizer's class where it looks at nothing more."""

import pandas as pd
import pytest

from l2obench.bench.config.optimizer_facts import recorded_class, sees_no_more
from l2obench.bench.config.registry import identify, optimizer_registry
from l2obench.optimizers import RULES
from l2obench.reports.classes import with_classes
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.numbers.headline import headline
from l2obench.reports.reading import ReportData
from l2obench.reports.sections.answer import make_cards
from l2obench.reports.sections.answer_words import Card


@pytest.mark.parametrize("name", RULES)
def test_the_name_in_results_leads_to_what_the_rule_states(name):
    rule = optimizer_registry().create(name)
    assert recorded_class(identify(rule), {}) == ", ".join(
        ["gradients", *(use for use in ("curvature", "loss", "horizon") if use in rule.uses)]
    )


def card_of(cells: pd.DataFrame) -> Card:
    nothing = pd.DataFrame({"task": [], "optimizer": []})
    (card,) = make_cards(Analysis(ReportData({}, cells, nothing, nothing, nothing, nothing)))
    return card


@pytest.mark.parametrize(
    ("identity", "found"),
    [
        ("adam[schedule=cosine]", "gradients, horizon"),
        ("l-bfgs[warmup=0.1]", "gradients, curvature, horizon"),
        ("adam[lr=0.1]", "gradients"),
        ("somebody.module:Rule", None),
        ("no such[", None),
    ],
)
def test_a_schedule_looks_at_the_horizon_and_nothing_foreign_is_imported(identity, found):
    assert recorded_class(identity, {}) == found


def test_the_manifest_comes_first():
    assert recorded_class("adam", {"classes": {"adam": "gradients, loss"}}) == "gradients, loss"
    assert recorded_class("adam", {"classes": {"adam": 3}}) == "gradients"


def test_a_class_that_nobody_knows_is_not_left_out():
    assert sees_no_more(None, "gradients")
    assert sees_no_more("gradients", None)


def test_a_budget_that_chose_a_schedule_looks_at_the_horizon():
    cells = pd.DataFrame(
        {
            "optimizer": "adam",
            "track": ["budget=8", "budget=8", "tuned"],
            "hyperparameters": ['{"schedule": "cosine"}', '{"schedule": "constant"}', '{"schedule": "cosine"}'],
        }
    )
    assert with_classes(cells, {})["uses"].tolist() == ["gradients, horizon", "gradients", "gradients"]


def test_the_best_of_the_class_stands_beside_the_best_of_all(cell, frame):
    cells = with_classes(
        frame(
            cell("lstm", [1.0 + k / 100 for k in range(12)], learned=True, track="default"),
            cell("l-bfgs", [0.1 + k / 1000 for k in range(12)]),
            cell("adam", [2.0 + k / 50 for k in range(12)]),
        ),
        {},
    )
    row = headline(cells).iloc[0]
    assert (row["baseline"], row["verdict"]) == ("l-bfgs", "worse")
    assert (row["best_of_class"], row["class_verdict"], row["class_track"]) == ("adam", "better", "tuned")
    assert row["class_ratio"] == pytest.approx(0.5)
    card = card_of(cells)
    assert "ends higher than that of tuned l-bfgs" in card.claim
    assert card.sentences(favours=True)[0] == (
        "Against the best of its class (gradients): lower on its only task, typical ratio 0.5×."
    )


def test_without_a_baseline_of_the_class_there_is_a_reason(cell, frame):
    cells = with_classes(
        frame(cell("lstm", [1.0] * 12, learned=True, track="default"), cell("l-bfgs", [0.1] * 12)),
        {},
    )
    row = headline(cells).iloc[0]
    assert pd.isna(row["best_of_class"])
    assert row["class_verdict"] == "not comparable: no baseline of the class ran"
    assert "No baseline of its class (gradients) ran." in card_of(cells).sentences(favours=False)
