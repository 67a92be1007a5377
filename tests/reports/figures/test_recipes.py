"""Trainings of one rule by what their recipes differ in: by hand, and in maps."""

import json

import numpy as np
import pytest

from l2obench.reports.figures.drawing import write_figures
from l2obench.reports.figures.recipes import maps, recipe_drawings
from l2obench.reports.numbers.headline import headline
from l2obench.reports.numbers.recipes import deciding, recipes, words, write_settings
from l2obench.reports.page.build import write_report

ABOUT = {"task": "bowl", "commit": "c", "seconds": 1.0, "trajectories": 5, "estimator": "tbptt"}


def run(cell, frame, losses, tasks=("bowl",)):
    """Rows and manifests of a run: a baseline at 2, and for every recipe an lstm with its final loss."""
    rows, known, costs = [], {}, {}
    for task in tasks:
        rows.append(cell("adam", [2.0] * 4, task=task))
        for number, (settings, loss) in enumerate(losses):
            name, checksum = f"lstm[checkpoint=c{number}]", f"sha{number}"
            rows.append(cell(name, [loss] * 4, task=task, learned=True, track="default", checkpoint_sha256=checksum))
            known[checksum] = {**ABOUT, **{key: value for key, value in settings.items() if key != "horizon"}}
            costs[name] = {"meta_training": {"horizon": settings.get("horizon", 100)}}
    cells = frame(*rows)
    return cells, headline(cells), {"run": {"recipes": known, "costs": {"optimizers": costs}}}


def test_seeds_of_one_recipe_are_one_row(cell, frame):
    made = [({"unroll": 5, "seed": 0}, 1.0), ({"unroll": 5, "seed": 1}, 4.0), ({"unroll": 9, "seed": 0}, 1.0)]
    table = recipes(*run(cell, frame, made)).set_index("settings")
    five = table.loc[json.dumps({"unroll": 5})]
    assert (five["trainings"], five["better_than_baseline"]) == (2, 1)
    assert (five["lowest"], five["highest"]) == (0.5, 2.0)
    assert five["ratio"] == pytest.approx(1.0)  # the geometric mean
    assert table.loc[json.dumps({"unroll": 9}), "ratio"] == 0.5
    assert write_settings(table.reset_index())["settings"].tolist() == ["unroll 5", "unroll 9"]


def test_a_failure_is_an_infinite_ratio(cell, frame):
    made = [({"unroll": 5}, 1.0), ({"unroll": 9}, np.inf), ({"unroll": 9, "seed": 1}, 1.0)]
    table = recipes(*run(cell, frame, made)).set_index("settings")
    assert table.loc[json.dumps({"unroll": 9}), "ratio"] == np.inf


def test_one_recipe_is_nothing_to_compare(cell, frame):
    assert recipes(*run(cell, frame, [({"seed": 0}, 1.0), ({"seed": 1}, 1.0)])).empty


def test_rules_are_compared_each_with_itself(cell, frame):
    cells, ratios, manifests = run(cell, frame, [({"unroll": 5}, 1.0), ({"unroll": 9}, 1.0)])
    rename = {"lstm[checkpoint=c1]": "gac[checkpoint=c1]"}
    assert recipes(cells.replace(rename), ratios.replace(rename), manifests).empty


def test_what_follows_from_other_settings_is_left_out():
    made = [{"unroll": unroll, "trajectories": 100 // unroll, "functions": 3} for unroll in (5, 10, 20)]
    assert deciding(made) == ["unroll"]
    made.append({"unroll": 20, "trajectories": 7, "functions": 3})
    assert deciding(made) == ["unroll", "trajectories"]


def test_settings_in_words():
    settings = {"second_order": True, "random_offset": False, "weighting": [1.0, 0.0], "unroll": 20, "average": None}
    assert words(json.dumps(settings)) == "second order, weighting 1, 0, unroll 20"


@pytest.fixture
def grid(cell, frame):
    made = [
        ({"unroll": unroll, "horizon": horizon, "second_order": order}, unroll / horizon)
        for order in (False, True)
        for horizon in (100, 200, 400)
        for unroll in (5, 10, 20, 40)
    ]
    made.append(({"unroll": 5, "horizon": 100, "estimator": "es"}, 1.0))
    return recipes(*run(cell, frame, made, tasks=("bowl", "cup")))


def test_two_crossed_numbers_make_a_map_for_each_task(grid):
    panels = maps(grid)
    assert [(panel.label.count("second order"), panel.task) for panel in panels] == [
        (0, "bowl"),
        (1, "bowl"),
        (0, "cup"),
        (1, "cup"),
    ]
    for panel in panels:
        assert (panel.names, panel.down) == (("trained_horizon", "unroll"), [100, 200, 400])
        assert panel.across == [5, 10, 20, 40]
        assert panel.ratios[1, 3] == pytest.approx(40 / 200 / 2.0)


def test_figures_are_drawn(grid, tmp_path):
    drawings = recipe_drawings(grid)
    assert [drawing.name.partition("--")[0] for drawing in drawings] == ["recipes", "recipes", "recipes-map"]
    assert len(write_figures(drawings, tmp_path, ["png"])) == 2 * 3, "each has its numbers beside it"


def test_a_report_has_table_and_figures(cell, tmp_path, write_run):
    cells = [
        cell("adam", [2.0] * 4),
        *(
            cell(
                f"lstm[checkpoint=c{number}]",
                [1.0] * 4,
                learned=True,
                track="default",
                checkpoint_sha256=f"sha{number}",
            )
            for number in (0, 1)
        ),
    ]
    about = {"recipes": {"sha0": {**ABOUT, "unroll": 5}, "sha1": {**ABOUT, "unroll": 9}}}
    report = write_report([write_run(tmp_path / "run", cells, **about)], tmp_path / "report", ["svg"])
    table = next(path for path in report.tables if path.name == "recipes.csv")
    assert "unroll 5" in table.read_text()
    assert [path.suffix for path in report.figures if path.name.startswith("recipes--")] == [".csv", ".svg"]
