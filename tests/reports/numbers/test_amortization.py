"""Amortization by hand: who pays what, and after how many uses meta-training was worth it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from l2obench.reports.figures.amortization import amortization_drawings
from l2obench.reports.figures.drawing import write_figures
from l2obench.reports.figures.styles import line_style, looks
from l2obench.reports.numbers.amortization import EACH, EVALUATIONS, ONCE, SECONDS, amortization
from l2obench.reports.page.build import write_report
from l2obench.reports.sections.amortization import sentences

INF = float("inf")
STEADY = np.linspace(10.0, 0.0, 21).tolist()
TWICE_AS_FAST = [max(0.0, 10.0 - step) for step in range(21)]
"""At the baseline's final loss, 0, after 10 of 20 steps."""


def manifest(**facts):
    known = {"seconds": 30.1, "trajectories": 5, "functions": 4, "horizon": 10} | facts
    return {"run": {"costs": {"optimizers": {"lstm": {"meta_training": known}}}}}


def tried(functions, optimizer="nag"):
    """Rows of a tuning on so many functions."""
    return pd.DataFrame({"task": "bowl", "optimizer": optimizer, "seed": list(range(functions)) * 2})


def table(
    cell, frame, learned=TWICE_AS_FAST, passes=60, track="tuned", manifests=None, pace=(2e-4, 1e-4), tuning_functions=3
):
    cells = frame(
        cell("nag", [STEADY[-1]] * 6, loss=STEADY, tuning_passes=passes, track=track, seconds=(2e-4, 1e-4)),
        cell("lstm", [learned[-1]] * 6, loss=learned, learned=True, track="default", seconds=pace),
    )
    known = manifest() if manifests is None else manifests
    return amortization(cells, tried(tuning_functions), pd.DataFrame(), known).set_index(["unit", "tuned"])


def test_numbers_by_hand(cell, frame):
    found = table(cell, frame)
    once, each = found.loc[EVALUATIONS, ONCE], found.loc[EVALUATIONS, EACH]
    assert (once["meta_training_cost"], once["tuning_cost"]) == (5 * 4 * 10, 60)
    assert (once["baseline_run_cost"], once["learned_run_cost"]) == (20, 10)
    assert once["break_even"] == (200 - 60) / 10
    assert each["tuning_cost"] == 60 / 3, "each problem is tuned on itself, not on three functions"
    assert each["break_even"] == np.ceil(200 / (20 + 10))
    by_clock = found.loc[SECONDS, ONCE]
    assert by_clock["tuning_cost"] == pytest.approx(60 * 3e-4)
    assert by_clock["break_even"] == np.ceil((30.1 - 60 * 3e-4) / (10 * 3e-4))
    assert once["seeds"] == 6


def test_both_ways_cost_the_same_at_break_even_and_not_before(cell, frame):
    for _, row in table(cell, frame).reset_index().iterrows():
        n = row["break_even"]

        def dearer(uses, row=row):
            tuning = row["tuning_cost"] * (1 if row["tuned"] == ONCE else uses)
            learned = row["meta_training_cost"] + uses * row["learned_run_cost"]
            return learned > tuning + uses * row["baseline_run_cost"]

        assert not dearer(n)
        assert dearer(n - 1)


def test_tuning_alone_may_pay_for_it(cell, frame):
    assert table(cell, frame, passes=1000).loc[EVALUATIONS, ONCE]["break_even"] == 1


def test_a_slow_rule_saves_evaluations_and_never_seconds(cell, frame):
    found = table(cell, frame, pace=(2e-4, 1e-3))
    assert np.isfinite(found.loc[EVALUATIONS, ONCE]["break_even"])
    assert found.loc[SECONDS, ONCE]["break_even"] == INF
    assert np.isfinite(found.loc[SECONDS, EACH]["break_even"])


def test_one_that_does_not_get_there_never_pays(cell, frame):
    found = table(cell, frame, learned=[10.0] * 21)
    assert (found["break_even"] == INF).all()
    assert sentences(found.reset_index()) == ["On bowl, meta-training never pays for lstm against nag."]


@pytest.mark.parametrize("manifests", [{}, {"run": {}}, manifest(seconds=None, functions="many")])
def test_what_a_manifest_does_not_tell_is_missing(cell, frame, manifests):
    found = table(cell, frame, manifests=manifests)
    assert found["break_even"].isna().all()
    assert "not known when it pays" in sentences(found.reset_index())[0]


def test_without_rows_of_tuning_only_the_family_has_a_break_even(cell, frame):
    found = table(cell, frame, tuning_functions=0)["break_even"]
    assert found.loc[EVALUATIONS, ONCE] == 14
    assert np.isnan(found.loc[EVALUATIONS, EACH])


def test_tuning_on_one_function_costs_the_same_both_ways(cell, frame):
    costs = table(cell, frame, tuning_functions=1)["tuning_cost"]
    assert costs.loc[EVALUATIONS, ONCE] == costs.loc[EVALUATIONS, EACH] == 60


def test_without_a_tuned_baseline_nothing_is_said(cell, frame):
    assert table(cell, frame, track="default").empty


def test_words_and_figures(cell, frame, tmp_path):
    found = table(cell, frame).reset_index()
    (sentence,) = sentences(found)
    assert sentence.startswith(
        "On bowl, meta-training of lstm against nag: In gradient evaluations, it pays after 14 uses if the baseline is "
        "tuned once for the family, it pays after 7 uses if it is tuned on each problem. In seconds, "
    )
    styles = {name: line_style(look) for name, look in looks({"lstm": True, "nag": False}).items()}
    assert len(write_figures(amortization_drawings(found, styles), tmp_path, ["png"])) == 2 * 2
    assert len(list(tmp_path.glob("amortization--*.png"))) == 2


def test_of_several_learned_optimizers_the_soonest_is_drawn(cell, frame):
    facts = {"trajectories": 5, "functions": 4, "horizon": 10}
    costs = {name: {"meta_training": {"seconds": 9.0, **facts}} for name in ("lstm", "mlp")}
    cells = frame(
        cell("nag", [0.0] * 6, loss=STEADY, tuning_passes=60),
        cell("mlp", [0.0] * 6, loss=STEADY, learned=True, track="default"),
        cell("lstm", [0.0] * 6, loss=TWICE_AS_FAST, learned=True, track="default"),
    )
    table = amortization(cells, tried(3), pd.DataFrame(), {"run": {"costs": {"optimizers": costs}}})
    styles = {name: {"color": "#555555"} for name in ("lstm", "mlp", "nag")}
    assert {
        name
        for name in ("lstm", "mlp")
        for figure in amortization_drawings(table, styles)
        if name in figure.description
    } == {"lstm"}


def test_a_report_has_the_table_and_the_sentence(tmp_path: Path, cell, write_run):
    cells = [
        cell("nag", [0.0] * 6, loss=STEADY, tuning_passes=60),
        cell("lstm", [0.0] * 6, loss=TWICE_AS_FAST, learned=True, track="default"),
    ]
    report = write_report([write_run(tmp_path / "run", cells, **manifest()["run"])], tmp_path / "report", ["svg"])
    assert "when meta-training pays" in report.page.read_text()
    assert any(path.name == "amortization.csv" for path in report.tables)
    assert len([path for path in report.figures if path.match("amortization--*.csv")]) == 2
