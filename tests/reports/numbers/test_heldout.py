"""Held-out metrics by the verdict core: known answers, failed seeds, directions and exchanged sides."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from l2obench.bench.stats.verdict import compare_losses
from l2obench.reports.numbers.heldout import NO_DIRECTION, heldout, heldout_means
from l2obench.reports.page.build import write_report

INF = float("inf")
SEEDS = 12


def metrics(rows, loss=None, accuracy=None, **others):
    """Rows of a cell with held-out metrics, one value a seed each."""
    for seed, row in enumerate(rows):
        row["heldout_loss"] = None if loss is None else loss[seed]
        row["heldout_accuracy"] = None if accuracy is None else accuracy[seed]
        row["heldout_metrics"] = json.dumps({name: value[seed] for name, value in others.items()}) if others else None
    return rows


@pytest.fixture
def table(cell, frame):
    """The verdicts of a learned optimizer and one tuned baseline, each given by its metrics."""

    def make(learned, baseline, manifest=None, final=(1.0, 1.0)):
        cells = frame(
            metrics(cell("lstm", [final[0]] * SEEDS, learned=True, track="default"), **learned),
            metrics(cell("nag", [final[1]] * SEEDS), **baseline),
        )
        return heldout(cells, {} if manifest is None else {"run": manifest}).set_index("metric")

    return make


RISING = np.linspace(0.3, 0.5, SEEDS)


def test_a_loss_has_a_typical_ratio_and_an_accuracy_a_typical_difference(table) -> None:
    found = table(
        {"loss": 1.2 * RISING, "accuracy": RISING + 0.1}, {"loss": RISING, "accuracy": RISING}, final=(1.0, 9.0)
    )
    loss, accuracy = found.loc["loss"], found.loc["accuracy"]
    assert (loss["verdict"], loss["measure"], loss["baseline"]) == ("worse", "ratio", "nag")
    assert (loss["typical"], loss["win_rate"]) == (pytest.approx(1.2), 0.0)
    assert loss["p_value"] == pytest.approx(2 * compare_losses(1.2 * RISING, RISING).p_value), "two rows"
    assert (accuracy["verdict"], accuracy["measure"]) == ("better", "difference")
    assert (accuracy["typical"], accuracy["win_rate"]) == (pytest.approx(0.1, abs=1e-5), 1.0)
    assert (accuracy["mean"], accuracy["baseline_mean"]) == pytest.approx((RISING.mean() + 0.1, RISING.mean()))


def test_the_baseline_is_the_best_of_its_metric(cell, frame) -> None:
    cells = frame(
        metrics(cell("lstm", [1.0] * SEEDS, learned=True, track="default"), loss=RISING, accuracy=RISING),
        metrics(cell("nag", [1.0] * SEEDS), loss=RISING + 0.2, accuracy=RISING + 0.3),
        metrics(cell("adam", [5.0] * SEEDS), loss=RISING + 0.1, accuracy=RISING + 0.2),
    )
    assert heldout(cells, {}).set_index("metric")["baseline"].to_dict() == {"loss": "adam", "accuracy": "nag"}


def test_a_failed_seed_has_the_worst_value(cell, frame) -> None:
    losses = [INF, *[1.0] * (SEEDS - 1)]
    cells = frame(
        metrics(cell("lstm", losses, learned=True, track="default"), loss=RISING, accuracy=[0.9] * SEEDS),
        metrics(cell("nag", [1.0] * SEEDS), loss=2 * RISING, accuracy=[0.8] * SEEDS),
    )
    found = heldout(cells, {}).set_index("metric")
    assert found.loc["loss", "mean"] == INF
    assert found.loc["loss", "win_rate"] == pytest.approx((SEEDS - 1) / SEEDS)
    assert found.loc["accuracy", "mean"] == pytest.approx(0.9 * (SEEDS - 1) / SEEDS)
    assert found["failures"].tolist() == [1, 1]


def test_a_metric_of_a_tasks_own_has_the_direction_that_the_manifest_states(table) -> None:
    own = {"f1": RISING + 0.1, "perplexity": 2 * RISING, "size": RISING}
    manifest = {"tasks": {"bowl": {"metric_directions": {"f1": "higher", "perplexity": "lower", "size": "up"}}}}
    found = table(own, dict.fromkeys(own, RISING), manifest)
    assert found["verdict"].to_dict() == {"f1": "better", "perplexity": "worse", "size": NO_DIRECTION}
    assert found["better"].to_dict() == {"f1": "higher", "perplexity": "lower", "size": "not stated"}
    assert np.isnan(found.loc["size", "win_rate"])


def test_a_metric_without_a_direction_has_numbers_and_no_verdict(table) -> None:
    found = table({"f1": RISING + 0.1}, {"f1": RISING})
    assert found.loc["f1", "verdict"] == NO_DIRECTION
    assert found.loc["f1", "typical"] == pytest.approx(0.1)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=SEEDS, max_size=SEEDS))
def test_exchanged_optimizers_mirror_the_verdict(table, both) -> None:
    first, second = (np.array(side) / 20 for side in zip(*both, strict=True))
    own, other = ({"loss": side, "accuracy": side} for side in (first, second))
    forth, back = table(own, other), table(other, own)
    mirrored = {"better": "worse", "worse": "better"}
    assert [mirrored.get(verdict, verdict) for verdict in forth["verdict"]] == back["verdict"].tolist()
    assert forth["p_value"].tolist() == back["p_value"].tolist()
    assert forth.loc["accuracy", "typical"] == -back.loc["accuracy", "typical"]


def test_means_have_the_best_first(cell, frame) -> None:
    cells = frame(
        metrics(cell("nag", [1.0] * SEEDS), loss=RISING, accuracy=RISING),
        metrics(cell("adam", [1.0] * SEEDS), loss=2 * RISING, accuracy=2 * RISING),
    )
    found = heldout_means(cells, {})
    assert list(zip(found["metric"], found["optimizer"], strict=True)) == [
        ("loss", "nag"),
        ("loss", "adam"),
        ("accuracy", "adam"),
        ("accuracy", "nag"),
    ]
    assert found["mean"].tolist() == pytest.approx([RISING.mean() * factor for factor in (1, 2, 2, 1)])


def test_tasks_without_held_out_data_have_no_rows(cell, frame) -> None:
    cells = frame(cell("lstm", [1.0], learned=True, track="default"), cell("nag", [1.0]))
    assert heldout(cells, {}).empty
    assert heldout_means(cells, {}).empty


@pytest.mark.parametrize("text", ["[1]", "nonsense", '{"f1": "a", "ok": true}', "[" * 10**5])
def test_metrics_that_are_no_numbers_are_passed_over(cell, frame, text) -> None:
    rows = cell("nag", [1.0] * 2, heldout_metrics=text)
    assert heldout_means(frame(rows), {}).empty


def test_the_report_says_it(tmp_path, cell, write_run) -> None:
    cells = [
        metrics(
            cell("lstm", [1.0] * SEEDS, learned=True, track="default"),
            loss=2 * RISING,
            accuracy=RISING + 0.1,
            f1=RISING,
        ),
        metrics(cell("nag", [1.0] * SEEDS), loss=RISING, accuracy=RISING, f1=RISING),
    ]
    report = write_report([write_run(tmp_path / "run", cells)], tmp_path / "report")
    page = report.page.read_text()
    assert "<li>Held-out loss: higher on its only task, typical ratio 2×.</li>" in page
    assert {"heldout.csv", "heldout_means.csv"} <= {path.name for path in report.tables}
    assert "  - Held-out loss: higher on its only task, typical ratio 2×." in report.headline.splitlines()
    assert report.heldout["metric"].tolist() == ["loss", "accuracy", "f1"]
    assert pd.read_csv(report.page.parent / "tables" / "heldout_means.csv")["metric"].nunique() == 3
