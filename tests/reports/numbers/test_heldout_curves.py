"""Held-out curves: known answers, seeds that failed, and runs that have none."""

import numpy as np
import pandas as pd
import pytest

from l2obench.api.naming import BadArgument
from l2obench.api.results import Results
from l2obench.bench.store.run_folder import RunFolder
from l2obench.reports.figures.heldout import heldout_drawings
from l2obench.reports.figures.styles import line_styles
from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.numbers.heldout_curves import heldout_plots
from l2obench.reports.reading import read_results

INF, NAN = float("inf"), float("nan")


def rows(optimizer, values, *, metric="loss", track="tuned", steps=(0, 5, 10)):
    return [
        {"task": "bowl", "optimizer": optimizer, "track": track, "seed": seed, "metric": metric}
        | {"steps": list(steps)[: len(own)], "values": own}
        for seed, own in enumerate(values)
    ]


def test_the_middle_is_the_interquartile_mean_over_seeds_that_finished(cell, frame) -> None:
    cells = frame(cell("adam", [1.0, 1.0, 1.0, 1.0, INF], heldout_loss=0.5))
    values = [[9.0, 1.0, 1.0], [9.0, 2.0, 2.0], [9.0, 3.0, 3.0], [9.0, 40.0, NAN], [9.0]]
    (plot,) = heldout_plots(cells, pd.DataFrame(rows("adam", values)), {})
    (curve,) = plot.curves
    assert (plot.metric, plot.better, curve.label) == ("loss", "lower", "adam (1 of 5 diverged)")
    assert curve.steps.tolist() == [0, 5, 10]
    assert curve.middle.tolist() == [9.0, 2.5, 2.5]
    assert (curve.low <= curve.middle).all()
    assert curve.high[-1] == INF, "a value that is not a number is a failure"


def test_a_tuned_optimizer_shows_its_tuned_track(cell, frame) -> None:
    cells = frame(
        cell("adam", [1.0, 1.0], heldout_loss=0.5, track="default"), cell("adam", [1.0, 1.0], heldout_loss=0.5)
    )
    found = rows("adam", [[5.0, 5.0, 5.0]] * 2, track="default") + rows("adam", [[1.0, 1.0, 1.0]] * 2)
    (plot,) = heldout_plots(cells, pd.DataFrame(found), {})
    assert [curve.middle.tolist() for curve in plot.curves] == [[1.0, 1.0, 1.0]]


def test_only_steps_that_all_seeds_have_are_drawn(cell, frame) -> None:
    cells = frame(cell("adam", [1.0, 1.0], heldout_loss=0.5))
    found = [*rows("adam", [[3.0, 2.0, 1.0]]), rows("adam", [[], [4.0, 2.0]], steps=(0, 10))[1]]
    (plot,) = heldout_plots(cells, pd.DataFrame(found), {})
    assert plot.curves[0].steps.tolist() == [0, 10]
    assert plot.curves[0].middle.tolist() == [3.5, 1.5]


def test_results_give_them_as_frames_and_the_report_as_figures(tmp_path, cell, write_run) -> None:
    cells = [cell("adam", [1.0] * 3, heldout_loss=0.5, heldout_accuracy=0.5), cell("sgd", [2.0] * 3)]
    run = write_run(tmp_path / "run", cells)
    found = rows("adam", [[2.0, 1.0, 0.5]] * 3) + rows("adam", [[0.1, 0.4, 0.5]] * 3, metric="accuracy")
    RunFolder(run).write("heldout", "000", {}, found)
    curves = Results(run).curves("heldout_accuracy")
    assert curves.columns.tolist() == [
        *("task", "optimizer", "track", "learned", "step", "heldout_accuracy", "low", "high")
    ]
    assert curves["heldout_accuracy"].tolist() == pytest.approx([0.1, 0.4, 0.5])
    assert curves["step"].tolist() == [0, 5, 10]
    assert Results(run).curves()["loss"].notna().all()
    with pytest.raises(BadArgument, match="heldout_accuracy"):
        Results(run).curves("accuracy")
    analysis = Analysis(read_results([run]))
    drawn = heldout_drawings(analysis.heldout_plots, line_styles(analysis.plots))
    assert [drawing.description for drawing in drawn] == [
        "Held-out loss against step on bowl, for adam",
        "Held-out accuracy against step on bowl, for adam",
    ]
    (line,) = drawn[0].make().axes[0].lines[:1]
    assert np.asarray(line.get_ydata()).tolist() == [2.0, 1.0, 0.5]


def test_runs_of_earlier_versions_have_none(tmp_path, cell, write_run) -> None:
    run = write_run(tmp_path / "run", [cell("adam", [1.0] * 3, heldout_loss=0.5)])
    (run / "heldout").rmdir()
    assert Analysis(read_results([run])).heldout_plots == []
    with pytest.raises(BadArgument, match="loss"):
        Results(run).curves("heldout_loss")
