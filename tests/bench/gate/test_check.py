"""The gate's verdicts, as a user who reads them would state them; and what it must never say."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from l2obench.bench.commands.cli import main
from l2obench.bench.config.registry import optimizer_registry
from l2obench.bench.config.task_facts import task_facts
from l2obench.bench.gate import output
from l2obench.bench.gate.cell_verdict import Check, Settings
from l2obench.bench.gate.clocks import Clock
from l2obench.bench.gate.effect import effects
from l2obench.bench.gate.side import Recorded, read_side
from l2obench.bench.gate.verdict import compare, regressed
from l2obench.bench.store.results_file import StoreError
from l2obench.bench.store.run_folder import RunFolder
from l2obench.bench.store.schemas import FORMAT, SCHEMAS
from l2obench.bench.studies.mistakes import WithoutPreprocessing, perturb, swap_gates
from l2obench.optimizers.learned.checkpoint import encode_checkpoint, read_checkpoint
from l2obench.tasks.base import Task

KEY = ("quadratic", "adam", "tuned")
RANDOM = np.random.default_rng(3)
LOSSES = RANDOM.lognormal(sigma=2, size=40)
HOSTILE = '<script>alert(1)</script>|`x`\n]]>&"\x00\x1b[31m'


def cell(
    losses: Sequence[float] | np.ndarray[Any, Any] = LOSSES,
    key: tuple[str, str, str] = KEY,
    *,
    failed: Sequence[int] = (),
    version: int = 1,
    sources: dict[str, str] | None = None,
    suite: str | None = "quick",
    clock: Clock | None = None,
    floor: float | None = None,
) -> Recorded:
    rows = pd.DataFrame({"status": "ok", "reason": None, "final_loss": np.asarray(losses, dtype=float)})
    rows.loc[list(failed), ["status", "reason", "final_loss"]] = "diverged", "the loss was not finite", np.inf
    return Recorded(key, suite, version, rows, sources or {}, clock or Clock("", {}), floor=floor)


def verdict(base: list[Recorded], head: list[Recorded], **settings: Any) -> tuple[list[str], int]:
    found = compare(base, head, Settings(**settings))
    return [item.verdict for item in found.comparisons], found.exit_code


def test_a_loss_that_grows_beyond_the_tolerance_fails() -> None:
    assert verdict([cell()], [cell(LOSSES * 1.1)]) == (["worse"], 1)
    assert verdict([cell()], [cell(LOSSES * 1.01)]) == (["same"], 0)  # certain, but within 2 %
    assert verdict([cell()], [cell(LOSSES * 1.01)], tolerance=0.0) == (["worse"], 1)
    assert verdict([cell()], [cell(LOSSES * 1.1)], tolerance=0.2) == (["same"], 0)
    assert verdict([cell()], [cell(LOSSES * 0.9)]) == (["better"], 0)


def test_a_large_change_that_may_be_chance_is_inconclusive() -> None:
    noise = np.random.default_rng(0).normal(scale=2, size=40)
    found = compare([cell()], [cell(LOSSES * np.exp(noise - noise.mean() + 0.1))])
    assert found.comparisons[0].effects[0].high > 1.05
    assert found.comparisons[0].reason.startswith("the seeds allow the typical final loss up to × ")
    assert found.exit_code == 5


def test_inconclusive_is_less_than_a_regression_and_more_than_fine() -> None:
    noise = np.random.default_rng(0).normal(size=40)
    other = ("quadratic", "sgd", "tuned")
    unclear, same = (cell(), cell(LOSSES * np.exp(noise))), (cell(key=other), cell(key=other))
    assert compare([unclear[0], same[0]], [unclear[1], same[1]]).exit_code == 5
    assert compare([unclear[0], same[0]], [unclear[1], cell(LOSSES * 2, key=other)]).exit_code == 1


def test_differences_below_the_floor_are_none() -> None:
    """Losses of 0 and 1e-13 are both the minimum: a product in another order makes the difference."""
    assert verdict([cell(np.zeros(40))], [cell(np.full(40, 1e-13))]) == (["same"], 0)
    assert verdict([cell(np.full(40, 1e-13))], [cell(np.full(40, 9e-13))], tolerance=0.0) == (["same"], 0)


def test_a_recorded_floor_comes_before_that_of_the_installed_task() -> None:
    low, high = np.full(40, 1e-8), np.full(40, 9e-8)
    assert verdict([cell(low)], [cell(high)]) == (["worse"], 1)
    assert verdict([cell(low, floor=1e-7)], [cell(high, floor=1e-7)]) == (["same"], 0)
    assert verdict([cell(low)], [cell(high, floor=1e-7)]) == (["same"], 0)


def test_one_seed_that_went_far_beyond_all_others_fails() -> None:
    base, head = np.ones(100), np.ones(100)
    head[17] = 1e5
    (found,) = compare([cell(base)], [cell(head)]).comparisons
    assert found.verdict == "tail"
    assert found.reason == "1 of 100 seeds rose more than 100 times, beyond all of BASE: seed 17 from 1 to 1e+05"
    assert verdict([cell(head)], [cell(base)]) == (["better"], 0)  # and back
    assert verdict([cell([*base, 1e6])], [cell([*head, 1e6])])[1] != 1  # BASE knows such losses
    assert verdict([cell(np.ones(5))], [cell([1, 1, 1, 1, 1e5])]) == (["tail"], 1)  # few seeds are enough for it


def test_seeds_that_head_lacks_fail_unless_allowed() -> None:
    (found,) = compare([cell()], [cell(LOSSES[:3])]).comparisons
    assert (found.verdict, found.reason) == ("missing", "HEAD lacks 37 of 40 seeds; --allow-missing compares the rest")
    assert verdict([cell()], [cell(LOSSES[:20])], allow_missing=True) == (["same"], 0)
    assert verdict([cell(LOSSES[:20])], [cell()]) == (["same"], 0)  # more seeds than before are no fault


def test_large_losses_are_compared_in_silence(recwarn: pytest.WarningsRecorder) -> None:
    huge = np.linspace(1, 1.7, 40) * 1e308
    assert verdict([cell(huge)], [cell(huge / 2)]) == (["better"], 0)
    assert verdict([cell(huge / 2)], [cell(huge)]) == (["worse"], 1)
    assert verdict([cell(-huge)], [cell(huge)])[1] == 1
    assert not recwarn.list


def test_a_few_hard_functions_that_get_much_worse_show_in_the_mean() -> None:
    losses = np.concatenate([np.full(150, 1e-3), np.linspace(1, 2, 50)])
    head = losses * np.concatenate([np.full(150, 0.7), np.full(50, 1.2)])
    (found,) = compare([cell(losses)], [cell(head)]).comparisons
    assert {effect.measure: effect.ratio > 1 for effect in found.effects} == {"typical": False, "mean": True}
    assert found.verdict == "worse"


def test_losses_of_any_sign_are_compared_by_their_differences() -> None:
    losses = RANDOM.normal(size=40)
    (found,) = compare([cell(losses)], [cell(losses + 0.5)]).comparisons
    assert [effect.measure for effect in found.effects] == ["typical", "mean"]
    assert found.verdict == "worse"
    assert verdict([cell(np.zeros(40))], [cell(np.zeros(40))]) == (["same"], 0)
    assert verdict([cell(np.zeros(40))], [cell(np.ones(40))]) == (["worse"], 1)


def test_new_failures_fail_and_old_ones_do_not() -> None:
    assert verdict([cell()], [cell(failed=[7])]) == (["failed"], 1)
    assert verdict([cell(failed=[7])], [cell(failed=[7])]) == (["same"], 0)
    assert verdict([cell(failed=[7])], [cell()])[1] == 0
    assert verdict([cell(failed=[7])], [cell(failed=[8])]) == (["failed"], 1)
    (found,) = compare([cell()], [cell(failed=[7])]).comparisons
    assert found.reason == "1 of 40 seeds failed that did not before: the loss was not finite"


def test_what_failed_everywhere_on_both_sides_was_not_compared() -> None:
    everywhere = cell(failed=range(40))
    assert verdict([everywhere], [everywhere]) == (["not comparable"], 4)
    assert verdict([everywhere], [cell()]) == (["better"], 0)


def test_missing_cells_fail_and_new_ones_do_not() -> None:
    other = cell(key=("quadratic", "sgd", "tuned"))
    assert verdict([cell(), other], [cell()]) == (["missing", "same"], 1)
    assert verdict([cell(), other], [cell()], allow_missing=True) == (["not comparable", "same"], 0)
    assert verdict([cell()], [cell(), other]) == (["new", "same"], 0)


def test_only_the_suites_that_head_ran_can_miss_cells() -> None:
    elsewhere = cell(key=("mnist-mlp", "sgd", "tuned"), suite="paper")
    assert verdict([cell(), elsewhere], [cell()]) == (["same"], 0)


def test_of_two_suites_with_the_same_cell_its_own_is_compared() -> None:
    assert verdict([cell(LOSSES / 2, suite="paper"), cell()], [cell()]) == (["same"], 0)


def test_other_versions_data_and_seeds_are_not_comparable() -> None:
    assert verdict([cell(version=2)], [cell()]) == (["not comparable"], 4)
    changed = [{"mnist5k": "aa", "photographs": "cc"}, {"mnist5k": "bb", "photographs": "dd"}]
    digits = compare(*([cell(key=("mnist-mlp", "adam", "tuned"), sources=at)] for at in changed))
    assert digits.comparisons[0].reason == "the data changed: mnist5k"
    assert digits.exit_code == 4
    assert verdict(*([cell(sources=at)] for at in changed)) == (["same"], 0)  # quadratics use no data
    stranger = ("stranger.Task", "adam", "tuned")  # any source that changed may be its own
    assert verdict(*([cell(key=stranger, sources=at)] for at in changed)) == (["not comparable"], 4)
    elsewhere = replace(cell(), rows=cell().rows.set_index(cell().rows.index + 100))
    assert verdict([cell()], [elsewhere]) == (["not comparable"], 4)


def test_nothing_in_common_is_nothing_comparable_whatever_is_missing() -> None:
    assert verdict([cell()], [cell(key=("mnist-mlp", "adam", "tuned"))])[1] == 4
    assert verdict([cell()], [])[1] == 4
    assert verdict([], [])[1] == 4


def test_too_few_seeds_for_the_number_of_cells_are_said_so() -> None:
    (found,) = compare([cell(LOSSES[:6])], [cell(LOSSES[:6] * 2)]).comparisons
    assert found.verdict == "inconclusive"
    assert found.reason == "6 common seeds cannot show a regression among 2 measures; 8 can"


def test_step_time_is_advisory_unless_asked() -> None:
    def timed(seconds: float, adam: float, run: str) -> Recorded:
        return cell(key=("quadratic", "lstm", "default"), clock=Clock(run, {"lstm": seconds, "adam": adam}))

    base, slower_machine, slower = timed(2.0, 1.0, "a"), timed(4.0, 2.0, "b"), timed(9.0, 2.0, "b")
    assert compare([base], [slower_machine]).comparisons[0].step_time_ratio == 1.0
    assert compare([base], [slower]).comparisons[0].step_time_ratio == 2.25
    assert verdict([base], [slower]) == (["same"], 0)
    assert verdict([base], [slower], time_limit=2.0) == (["slower"], 1)
    assert verdict([base], [slower], time_limit=2.5) == (["same"], 0)
    assert verdict([cell()], [cell()], time_limit=1.0) == (["same"], 0)


def test_tasks_state_their_tolerance_and_strangers_get_the_default() -> None:
    assert task_facts("quadratic[dim=3]").tolerance == Task.tolerance
    assert task_facts("mnist-mlp").sources == {"mnist5k"}
    for identity in ("nobody.Knows", HOSTILE, "quadratic[dim=-1]", ""):
        assert not task_facts(identity).known
        assert task_facts(identity).tolerance == Task.tolerance
    (found,) = compare([cell(key=("a.B", "adam", "tuned"))], [cell(key=("a.B", "adam", "tuned"))]).comparisons
    assert found.reason == "the task is not registered here: default tolerance"


def test_a_name_in_results_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert not task_facts("trap.Task").known


def test_the_tests_are_scipys_and_never_surer_than_the_signs() -> None:
    head = LOSSES * RANDOM.lognormal(0.2, 0.3, size=40)
    typical, mean = effects(LOSSES, head)
    logs = np.log(head) - np.log(LOSSES)
    assert typical.p_value == pytest.approx(stats.wilcoxon(logs, alternative="greater", method="exact").pvalue)
    assert mean.ratio == pytest.approx(head.mean() / LOSSES.mean())
    assert mean.p_value == pytest.approx(stats.ttest_rel(head, LOSSES, alternative="greater").pvalue)
    assert {effect.p_value for effect in effects([1.0] * 10, [2.0] * 10)} == {2.0**-10}


positive = st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=60)


@given(positive, st.sets(st.integers(0, 59)), st.integers(1, 4))
def test_a_run_against_itself_never_fails(losses: list[float], failed: set[int], cells: int) -> None:
    side = [
        cell(losses, ("quadratic", f"o{k}", "default"), failed=[i for i in failed if i < len(losses)])
        for k in range(cells)
    ]
    assert compare(side, side).exit_code in (0, 4)


@given(positive, st.lists(st.floats(0, 1), min_size=60, max_size=60))
def test_losses_that_fall_never_fail(losses: list[float], factors: list[float]) -> None:
    better = [loss * factor for loss, factor in zip(losses, factors, strict=False)]
    assert compare([cell(losses)], [cell(better)], Settings(tolerance=0.0)).exit_code != 1


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)), min_size=8, max_size=60))
def test_by_each_measure_at_most_one_direction_fails(pairs: list[tuple[float, float]]) -> None:
    first, second = ([float(pair[side]) for pair in pairs] for side in (0, 1))
    for forth, back in zip(effects(first, second), effects(second, first), strict=True):
        assert not (regressed(forth, 0.0) and regressed(back, 0.0))


Command = Callable[..., str]


def results(folder: Path, losses: Sequence[float], task: str = "quadratic", **changes: Any) -> Path:
    """A run with one cell, as the runner writes it."""
    run = RunFolder(folder)
    run.begin({"suite": "quick", "sources": {}, "cells": []})
    rows = []
    for seed, loss in enumerate(losses):
        row = dict.fromkeys(SCHEMAS["cells"].names)
        row |= {"task": task, "task_version": 1, "optimizer": "adam", "optimizer_version": 1, "track": "default"}
        rows.append(row | {"seed": seed, "status": "ok", "final_loss": float(loss), "learned": False} | changes)
    run.write("cells", "cell", {"format": FORMAT}, rows)
    return folder


def timed(folder: Path, **changes: Any) -> Path:
    """A run with a timing pass of two optimizers; `changes` are of adam's row."""
    run = RunFolder(results(folder, LOSSES))
    row = dict.fromkeys(SCHEMAS["timing"].names) | {"task": "quadratic", "grad_seconds": 1.0, "update_seconds": 2.0}
    load = {"under_load": changes.get("under_load")}
    rows = [row | {"optimizer": "adam"} | changes, row | {"optimizer": "sgd"} | load]
    run.write("timing", "quadratic", {"format": FORMAT}, rows)
    return folder


@pytest.mark.parametrize("seconds", [0.0, -3.0, float("inf"), float("nan"), None])
def test_impossible_step_times_are_refused(tmp_path: Path, seconds: float | None) -> None:
    with pytest.raises(StoreError, match=r"update_seconds of adam on quadratic must be a positive number.* Try: "):
        read_side(timed(tmp_path, update_seconds=seconds))


def test_what_could_not_be_timed_has_no_step_time(tmp_path: Path) -> None:
    (found,) = read_side(timed(tmp_path, update_seconds=None, grad_seconds=None, reason="it raised"))
    assert dict(found.clock.step_seconds) == {"sgd": 3.0}


def test_step_times_that_were_taken_under_load_are_not_judged(tmp_path: Path, l2obench: Command) -> None:
    manifest = {"suite": "quick", "timing": {"quadratic": {"command": "l2obench run quick --force"}}}
    base, head = timed(tmp_path / "base", under_load=False), timed(tmp_path / "head", under_load=True, grad_seconds=9.0)
    RunFolder(head).begin(manifest)
    found = json.loads(l2obench(base, head, "--time-limit", "1.5", "--json", code=0))
    (compared,) = found["cells"]
    assert (compared["verdict"], compared["step_time_ratio"]) == ("same", None)
    assert compared["reason"] == "step time cannot be compared"
    (warning,) = found["warnings"]
    assert warning.startswith(
        "warning: step times of HEAD were taken under load: not judged. Try, on a quiet machine: "
    )
    assert "l2obench run quick (" in warning
    assert "9.0" not in json.dumps(found)


def test_step_times_whose_load_nobody_watched_are_judged_with_a_warning(tmp_path: Path, l2obench: Command) -> None:
    base, head = timed(tmp_path / "base", under_load=False), timed(tmp_path / "head", grad_seconds=9.0)
    found = json.loads(l2obench(base, head, "--time-limit", "1.5", "--json", code=1))
    assert found["cells"][0]["verdict"] == "slower"
    assert found["warnings"] == [
        "warning: nobody watched the load while the step times of HEAD were taken (1 of 1 cells)"
    ]
    assert json.loads(l2obench(base, head, "--json", code=0))["warnings"] == []


def test_what_else_differs_is_said(tmp_path: Path, l2obench: Command) -> None:
    base = results(tmp_path / "base", LOSSES, hyperparameters='{"lr": 0.1, "beta": 0.9}', steps=100)
    changed = {"hyperparameters": '{"lr": 0.2, "beta": 0.9}', "steps": 200, "optimizer_version": 2}
    head = results(tmp_path / "head", LOSSES, **changed, checkpoint_sha256="b" * 64)
    for folder, torch_version in ((base, "2.11"), (head, "2.12")):
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["environment"] = {"device": "cpu", "versions": {"torch": torch_version, "numpy": "2.4"}}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    expected = [
        "warning: lr was 0.1, now 0.2 (1 of 1 cells)",
        "warning: package torch was 2.11, now 2.12 (1 of 1 cells)",
        "warning: steps was 100, now 200 (1 of 1 cells)",
        "warning: the rule's version was 1, now 2 (1 of 1 cells)",
    ]
    assert json.loads(l2obench(base, head, "--json", code=0))["warnings"] == expected
    shown = l2obench(base, head, "--junit", "j.xml", "--markdown", "m.md", code=0)
    assert all(line in shown for line in expected)
    assert expected[0] in str(ET.parse(tmp_path / "j.xml").getroot().findtext(".//system-out"))
    assert "package torch was 2.11, now 2.12" in (tmp_path / "m.md").read_text(encoding="utf-8")
    assert "warning" not in l2obench(base, base, code=0)


def test_a_final_loss_that_contradicts_the_losses_is_said(tmp_path: Path) -> None:
    base = read_side(results(tmp_path / "base", LOSSES))
    wrong = results(tmp_path / "wrong", [3.0] * 40, loss=[5.0, 4.0, 2.0, 4.0], steps=3, final_window=2)
    (found,) = compare(base, read_side(wrong)).comparisons
    assert not found.warnings
    wrong = results(tmp_path / "wrong", [3.5] * 40, loss=[5.0, 4.0, 2.0, 4.0], steps=3, final_window=2)
    (found,) = compare(base, read_side(wrong)).comparisons
    assert found.warnings == ("in HEAD, 40 seeds have a final loss that contradicts their losses",)


def test_seeds_that_failed_say_why(tmp_path: Path) -> None:
    base = read_side(results(tmp_path / "base", LOSSES))
    failed = {"status": "error", "final_loss": None}
    (found,) = compare(base, read_side(results(tmp_path / "a", LOSSES, **failed, reason="no memory"))).comparisons
    assert found.reason == "40 of 40 seeds failed that did not before: no memory"
    (found,) = compare(base, read_side(results(tmp_path / "b", LOSSES, **failed))).comparisons
    assert found.reason == "40 of 40 seeds failed that did not before: no reason recorded, status error"


@pytest.mark.parametrize(("factor", "code"), [(1.0, 0), (2.0, 1)])
@pytest.mark.parametrize("output", ["a pipe that nobody reads", "a full disk"])
def test_the_exit_code_is_the_verdicts_whatever_reads_it(tmp_path: Path, factor: float, code: int, output: str) -> None:
    sides = [results(tmp_path / "base", LOSSES), results(tmp_path / "head", LOSSES * factor)]
    reader, writer = os.pipe()
    os.close(reader)
    if output == "a full disk":
        if not Path("/dev/full").exists():
            pytest.skip("this system has no /dev/full")
        os.close(writer)
        writer = os.open("/dev/full", os.O_WRONLY)
    command = [sys.executable, "-m", "l2obench", "check", *map(str, sides)]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False)
    os.close(writer)
    # What nobody could read is no success, and never the code of a regression that was not found.
    assert done.returncode == (3 if output == "a full disk" and code == 0 else code)
    assert "Traceback" not in done.stderr
    assert ("No space left" in done.stderr) == (output == "a full disk")


@pytest.fixture
def l2obench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command in an empty folder, in this process: what it printed, or complained of if usage was wrong."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def command(*arguments: object, code: int) -> str:
        monkeypatch.setattr(sys, "argv", ["l2obench", "check", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert ended.value.code == code, printed
        return printed.err if code == 2 else printed.out

    return command


def test_runs_folders_of_runs_and_files_from_the_command_line(tmp_path: Path, l2obench: Command) -> None:
    base = results(tmp_path / "results" / "reference" / "quick", LOSSES)
    head = results(tmp_path / "head", LOSSES * 1.2)
    assert "REGRESSION" in l2obench(head, code=1)  # against results/reference
    assert "no regression" in l2obench(base / "cells" / "cell.parquet", base, code=0)
    found = json.loads(l2obench(base, head, "--json", code=1))
    assert found["cells"][0]["effects"][0]["ratio"] == pytest.approx(1.2)
    assert "nothing comparable" in l2obench(base, results(tmp_path / "other", LOSSES, "mnist-mlp"), code=4)


def test_hostile_names_stay_text_everywhere(tmp_path: Path, l2obench: Command) -> None:
    base = results(tmp_path / "base", LOSSES, HOSTILE)
    head = results(tmp_path / "head", LOSSES, HOSTILE, status="error", reason=HOSTILE, final_loss=None)
    shown = l2obench(base, head, "--junit", "a/j.xml", "--markdown", "m.md", code=1)
    assert "\x1b" not in shown
    case = ET.parse(tmp_path / "a" / "j.xml").getroot()[0][0]
    assert str(case.get("classname")).startswith("<script>")
    assert case[0].tag == "failure"
    markdown = (tmp_path / "m.md").read_text(encoding="utf-8")
    assert "<script>" not in markdown
    assert markdown.count("\n") == 7  # the hostile line break made no row of its own


def test_junit_counts_what_it_lists() -> None:
    cells = [cell(key=("quadratic", name, "tuned")) for name in "abc"]
    found = compare(cells, [cell(LOSSES * 2, key=cells[0].key), cells[1], cell(key=("quadratic", "d", "tuned"))])
    root = ET.fromstring(output.to_junit(found))
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("4", "2", "1")
    assert len(root.findall(".//failure")) == 2
    assert Check([]).exit_code == 4


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "is damaged"),
        (lambda path: path.write_bytes(b""), "is damaged"),
        (lambda path: pd.DataFrame({"a": [1]}).to_parquet(path), "must have the columns"),
        (lambda path: _rewrite(path, FORMAT + 1), f"format {FORMAT + 1}"),
        (lambda path: path.unlink() or path.parent.parent.joinpath("manifest.json").write_text("{"), "is damaged"),
        (lambda path: path.parent.parent.joinpath("manifest.json").unlink(), "is no run"),
        (lambda path: path.parent.parent.joinpath("manifest.json").write_text('{"format": 99}'), "format 99"),
    ],
)
def test_what_cannot_be_read_ends_in_one_line(tmp_path: Path, damage: Any, message: str) -> None:
    damage(results(tmp_path / "run", LOSSES) / "cells" / "cell.parquet")
    with pytest.raises(StoreError, match=message):
        read_side(tmp_path / "run")


def _rewrite(path: Path, version: int) -> None:
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({b"l2obench": json.dumps({"format": version}).encode()}), path)


def test_rows_that_cannot_be_paired_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is there twice"):
        read_side(results(tmp_path / "twice", LOSSES, seed=1))
    with pytest.raises(StoreError, match="rows must have a value of optimizer"):
        read_side(results(tmp_path / "nameless", LOSSES, optimizer=None))
    with pytest.raises(StoreError, match="does not exist"):
        read_side(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "arguments",
    [[], ["a", "b", "c"], ["--checkpoint", "mnist"], ["a", "--checkpoint", "mnist", "--against", "mnist"], ["a", "b"]],
)
def test_usage_errors(l2obench: Command, arguments: list[str]) -> None:
    assert l2obench(*arguments, code=2).startswith("l2obench: ")


def test_two_checkpoints_are_run_and_compared(tmp_path: Path, l2obench: Command) -> None:
    shipped = read_checkpoint("quadratic")
    swapped = swap_gates(dict(shipped.tensors))
    for path, recipe in (("swapped", shipped.recipe), ("foreign", {"task": "mnist-mlp"}), ("lost", {"task": "ridge"})):
        content = encode_checkpoint("lstm", shipped.hyperparameters, recipe, swapped)
        (tmp_path / f"{path}.safetensors").write_bytes(content)
    gate = ["--against", "quadratic", "--seeds", "50"]
    shown = l2obench("--checkpoint", "swapped.safetensors", *gate, code=1)
    assert "2 of 2 cells compared (2 worse)" in shown
    assert "mnist" not in shown
    assert "2 same" in l2obench("--checkpoint", "quadratic", *gate, code=0)
    assert "name tasks" in l2obench("--checkpoint", "foreign.safetensors", *gate, code=2)
    l2obench("--checkpoint", "lost.safetensors", "--against", "lost.safetensors", code=4)
    named = ["-t", "quadratic[dim=3]", "--json", "--out", "kept"]
    found = json.loads(l2obench("--checkpoint", "foreign.safetensors", *gate, *named, code=1))
    assert [at["task"] for at in found["cells"]] == ["quadratic[dim=3]"]
    assert RunFolder(tmp_path / "kept").read("cells")["optimizer"].nunique() == 2


def test_a_checkpoints_rule_is_one_that_is_registered(tmp_path: Path, l2obench: Command) -> None:
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    (tmp_path / "a.safetensors").write_bytes(encode_checkpoint("trap.Rule", {}, {"task": "quadratic"}, {}))
    paths = ["--checkpoint", "a.safetensors", "--against", "a.safetensors"]
    assert "no optimizer is called 'trap.Rule'" in l2obench(*paths, code=2)


def test_the_mistakes_are_what_they_say() -> None:
    lstm = optimizer_registry().create("lstm[checkpoint=mnist]")
    phi = lstm.meta_parameters
    swapped = swap_gates(phi)
    torch.testing.assert_close(swap_gates(swapped), phi)
    torch.testing.assert_close(swapped["lstm0.bias"][:20], phi["lstm0.bias"][20:40])
    torch.testing.assert_close(swapped["output.weight"], phi["output.weight"])
    noisy = perturb(phi, 0.05, torch.Generator().manual_seed(0))
    relative = torch.cat([(noisy[name] / phi[name] - 1).flatten() for name in phi])
    assert float(relative.std()) == pytest.approx(0.05, rel=0.05)
    grad = torch.tensor([1e-8, 1.0])
    without = WithoutPreprocessing(checkpoint="mnist").preprocess(grad)
    torch.testing.assert_close(without, torch.stack([grad] * 3))
