"""The report of one run or several: tables, figures, and one page that holds them all and loads nothing."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
from markupsafe import Markup

from l2obench.reports import formats
from l2obench.reports.figures import (
    amortization as amortization_figure,
)
from l2obench.reports.figures import (
    costs as costs_figure,
)
from l2obench.reports.figures import (
    curves as plots,
)
from l2obench.reports.figures import (
    generalization as transfer_figure,
)
from l2obench.reports.figures import (
    profiles as profile_figure,
)
from l2obench.reports.figures import (
    recipes as recipes_figure,
)
from l2obench.reports.figures.curves import Drawn
from l2obench.reports.figures.pictures import draw_pictures
from l2obench.reports.numbers import amortization, comparison, costs, horizon, profiles, recipes, tables, wins
from l2obench.reports.numbers.curves import Scene, scenes
from l2obench.reports.numbers.generalization import generalization
from l2obench.reports.numbers.sides import side_by_side
from l2obench.reports.page import answer, latex, views
from l2obench.reports.page import charting as library
from l2obench.reports.page.answer import headline_text
from l2obench.reports.page.publish import publish
from l2obench.reports.reading import ReportError, Results, read_results

__all__ = ["Report", "ReportError", "headline_text", "write_report"]

CAPTIONS = {
    "headline": "Learned optimizers against the best tuned baseline of each task",
    "final_losses": "Final losses, the lowest mean of a task first",
    "time_to_target": "Steps and seconds to the task's target",
    "against_adam": "Every optimizer against tuned Adam on the same seeds",
    "profiles": "Share of functions at the target within so many times tuned Adam's cost",
    "costs": "What one trajectory, tuning and meta-training cost",
    "step_seconds": "Time of one step of one replica, and memory of the optimizer's state",
    "tuning": "Learning rates chosen on the tuning seeds",
    "failures": "Seeds that failed",
    "unfinished": "Cells planned and not finished",
    "generalization": "Learned optimizers by the task they were trained on, against the best tuned baseline",
    "wins": "Tasks on which a learned optimizer ends below a baseline",
    "recipes": "Trainings of one rule by what their recipes differ in, against the best tuned baseline",
    "past_the_horizon": "Learned optimizers beyond the number of steps they were trained for",
    "amortization": "Uses after which meta-training has paid for itself against the best tuned baseline",
    "side_by_side": "Runs side by side: each against the first that has the cell, on common seeds",
}
ROWS_WITHOUT_SCRIPT = 100
"""Rows of a table that stand in the page as they are; its script has the others."""


@dataclass(frozen=True)
class Report:
    """What was written."""

    page: Path
    tables: list[Path]
    figures: list[Path]
    headline: str
    """The headline table as plain text, for a terminal."""


def write_report(run_folders: Sequence[str | Path], target: str | Path) -> Report:
    """Write `target`/index.html with its tables (.md, .csv, .tex) and figures (.svg, .pdf, .png).

    An earlier report there is replaced once the new one is complete.

    Args:
        run_folders: the runs; of several, rows are shown side by side and marked with their run.
        target: a folder that does not exist, is empty, or holds an earlier report.

    Raises:
        ReportError: a run has no finished cells, or `target` holds something else or cannot be written.
        StoreError: a folder is no run, or is damaged.
    """
    results, target = read_results(run_folders), Path(target)
    frames = report_tables(results)
    compared = frames["recipes"]
    frames["recipes"] = recipes.in_words(compared)

    def build(folder: Path) -> None:
        (folder / "tables").mkdir()
        for name, frame in frames.items():
            (folder / "tables" / f"{name}.md").write_text(formats.to_markdown(frame), encoding="utf-8")
            (folder / "tables" / f"{name}.csv").write_text(formats.to_csv(frame), encoding="utf-8")
            (folder / "tables" / f"{name}.tex").write_text(latex.to_latex(frame, CAPTIONS[name]), encoding="utf-8")
        (folder / "figures").mkdir()
        drawn = scenes(results.cells, results.tuning)
        plots.draw_all(drawn, folder / "figures")
        styles = plots.line_styles(drawn)
        profile_figure.draw_profiles(results.cells, styles, folder / "figures")
        amortization_figure.draw_amortization(frames["amortization"], styles, folder / "figures")
        costs_figure.draw_costs(frames["costs"], folder / "figures")
        charted = {
            "transfer": transfer_figure.draw_transfer(frames["generalization"], folder / "figures"),
            "recipes": recipes_figure.draw_recipes(compared, folder / "figures"),
        }
        painted = draw_pictures(results.cells, results.pictures, folder / "figures")
        (folder / "index.html").write_text(render(results, frames, drawn, painted, charted), encoding="utf-8")

    publish(target, build)
    return Report(
        page=target / "index.html",
        tables=sorted((target / "tables").iterdir()),
        figures=sorted((target / "figures").iterdir()),
        headline=headline_text(results.cells),
    )


def report_tables(results: Results) -> dict[str, pd.DataFrame]:
    """All tables by name, that of recipes with its settings as data."""
    headline = tables.headline(results.cells)
    return {
        "headline": headline,
        "final_losses": tables.final_losses(results.cells),
        "time_to_target": tables.time_to_target(results.cells),
        "against_adam": comparison.against_adam(results.cells),
        "profiles": profiles.profile_table(results.cells),
        "step_seconds": tables.step_seconds(results.timing, results.cells),
        "costs": costs.costs(results.cells, results.manifests, results.timing),
        "tuning": tables.tuning(results.tuning),
        "failures": tables.failures(results.cells),
        "unfinished": results.unfinished,
        "generalization": generalization(results.cells, headline, results.manifests),
        "wins": wins.wins(results.cells, results.manifests),
        "recipes": recipes.recipes(results.cells, headline, results.manifests),
        "past_the_horizon": horizon.past_the_horizon(results.cells, results.manifests),
        "amortization": amortization.amortization(results.cells, results.manifests),
        "side_by_side": side_by_side(results.cells, results.manifests),
    }


def render(
    results: Results,
    frames: Mapping[str, pd.DataFrame],
    drawn: Sequence[Scene],
    painted: Sequence[Drawn] = (),
    charted: Mapping[str, Sequence[Drawn]] = MappingProxyType({}),
) -> str:
    """The page: words and the first rows of tables as HTML, numbers packed for its script, which draws them.

    Pictures that optimizers painted, and figures of `transfer` and `recipes`, are images inside it.
    """
    headline = frames["headline"]
    found = profiles.profiles(results.cells)
    fine, tasks = views.detail(drawn), list(views.by_task(drawn).values())
    filled = {name: frame for name, frame in frames.items() if not frame.empty}
    index = {
        "tasks": [formats.one_line(parts[0].task) for parts in tasks],
        "runs": list(results.manifests),
        "looks": views.looks(drawn),
        "heat": views.heat_view(frames["generalization"]),
        "profiles": views.profile_views(found, profiles.ALL_TASKS),
        "tables": list(filled),
    }
    return (
        formats.environment()
        .get_template("report.html.j2")
        .render(
            title=" and ".join(
                dict.fromkeys(_one(about.get("suite") or label) for label, about in results.manifests.items())
            ),
            runs=[(label, _about(manifest)) for label, manifest in results.manifests.items()],
            answers=answer.answers(headline),
            leaders=answer.leaders(frames["final_losses"]),
            costs=answer.costs(headline, frames["step_seconds"]) + answer.clocks(headline, frames["time_to_target"]),
            won=wins.sentences(frames["wins"]),
            beyond=horizon.sentences(frames["past_the_horizon"]),
            amortized=amortization.sentences(frames["amortization"]),
            caveats=answer.busy(results.manifests)
            + answer.held_out(headline, frames["final_losses"])
            + answer.caveats(frames["tuning"]),
            tables={
                name: formats.to_html(frame.head(ROWS_WITHOUT_SCRIPT), CAPTIONS[name], name, len(frame))
                if name in filled
                else None
                for name, frame in frames.items()
            },
            pictures=[(figure, _data_uri(figure)) for figure in painted],
            charts={name: [(figure, _data_uri(figure)) for figure in figures] for name, figures in charted.items()},
            failed=int(frames["failures"]["failures"].sum()),
            unfinished=len(results.unfinished),
            seeds=len(results.cells),
            packed={
                "index": views.packed(index),
                **{
                    f"task-{number}": views.packed(views.task_view(parts, fine, found))
                    for number, parts in enumerate(tasks)
                },
                **{
                    f"table-{name}": views.packed(views.table_view(frame, CAPTIONS[name]))
                    for name, frame in filled.items()
                },
            },
            library=Markup(library.charting_library()),
            library_versions=library.versions(),
        )
    )


def _data_uri(figure: Drawn) -> str:
    """The figure as an image: inside one, names that a figure shows cannot become markup of the page."""
    svg = figure.path.with_name(f"{figure.path.name}.svg").read_bytes()
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def _about(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the page says of a run: pairs of label and text, its command, and its data sources."""
    environment: Mapping[str, Any] = manifest.get("environment") or {}
    commit, dirty = environment.get("commit"), environment.get("dirty")
    state = "" if dirty is None else ", with uncommitted changes" if dirty else ", clean"
    facts = {
        "suite": manifest.get("suite"),
        "started": manifest.get("started"),
        "commit": f"{commit}{state}" if commit else "unknown: not run from a checkout",
        "device": f"{environment.get('device_name', '—')} ({environment.get('device', 'device not recorded')})",
        "processor": environment.get("processor"),
        "threads": environment.get("threads"),
        "load at the start": environment.get("load"),
        "system": environment.get("system"),
        "python": environment.get("python"),
        **(environment.get("versions") or {}),
    }
    return {
        "description": _one(manifest.get("description") or ""),
        "facts": {_one(name): _one("—" if value is None else value) for name, value in facts.items()},
        "commands": _commands(manifest),
        "sources": {
            _one(name): (_one(source.get("description", "—")), _one(source.get("sha256", "—")))
            for name, source in (manifest.get("sources") or {}).items()
        },
    }


def _one(value: object) -> str:
    return formats.one_line(str(value))


def _commands(manifest: Mapping[str, Any]) -> list[str]:
    """Every command that wrote into the run, in order; a start that only went on with an earlier one is told once."""
    starts = manifest.get("starts") or [manifest]
    return list(dict.fromkeys(_one(start["command"]) for start in starts if start.get("command")))
