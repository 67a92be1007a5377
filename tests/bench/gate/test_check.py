"""The gate's verdicts, as a user who reads them would state them; and what it must never say."""

import json
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
from l2obench.bench.gate import output
from l2obench.bench.gate.effect import effects
from l2obench.bench.gate.side import Clock, Recorded, read_side
from l2obench.bench.gate.task_facts import task_facts
from l2obench.bench.gate.verdict import Check, Settings, compare
from l2obench.bench.store.results_file import StoreError
from l2obench.bench.store.run_folder import RunFolder
from l2obench.bench.store.schemas import FORMAT, SCHEMAS
from l2obench.bench.studies.mistakes import WithoutPreprocessing, perturbed, with_swapped_gates
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
) -> Recorded:
    rows = pd.DataFrame({"status": "ok", "reason": None, "final_loss": np.asarray(losses, dtype=float)})
    rows.loc[list(failed), ["status", "reason", "final_loss"]] = "diverged", "the loss was not finite", np.inf
    return Recorded(key, suite, version, rows, sources or {}, clock or Clock("", {}))


def verdict(base: list[Recorded], head: list[Recorded], **settings: Any) -> tuple[list[str], int]:
    found = compare(base, head, Settings(**settings))
    return [item.verdict for item in found.comparisons], found.exit_code


def test_a_loss_that_grows_beyond_the_tolerance_fails() -> None:
    assert verdict([cell()], [cell(LOSSES * 1.1)]) == (["worse"], 1)
    assert verdict([cell()], [cell(LOSSES * 1.01)]) == (["same"], 0)  # certain, but within 2 %
    assert verdict([cell()], [cell(LOSSES * 1.01)], tolerance=0.0) == (["worse"], 1)
    assert verdict([cell()], [cell(LOSSES * 1.1)], tolerance=0.2) == (["same"], 0)
    assert verdict([cell()], [cell(LOSSES * 0.9)]) == (["better"], 0)


def test_a_large_change_that_may_be_chance_passes() -> None:
    noise = np.random.default_rng(0).normal(scale=2, size=40)
    found = compare([cell()], [cell(LOSSES * np.exp(noise - noise.mean() + 0.1))])
    assert found.comparisons[0].effects[0].ratio > 1.05
    assert found.exit_code == 0


def test_a_few_hard_functions_that_get_much_worse_show_in_the_mean() -> None:
    losses = np.concatenate([np.full(150, 1e-3), np.linspace(1, 2, 50)])
    head = losses * np.concatenate([np.full(150, 0.7), np.full(50, 1.2)])
    (found,) = compare([cell(losses)], [cell(head)]).comparisons
    assert {effect.measure: effect.ratio > 1 for effect in found.effects} == {"typical": False, "mean": True}
    assert found.verdict == "worse"


def test_losses_of_any_sign_are_compared_by_their_mean() -> None:
    losses = RANDOM.normal(size=40)
    (found,) = compare([cell(losses)], [cell(losses + 0.5)]).comparisons
    assert [effect.measure for effect in found.effects] == ["mean"]
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
    assert found.verdict == "not comparable"
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


def test_the_test_is_scipys_paired_one_and_never_surer_than_the_signs() -> None:
    head = LOSSES * RANDOM.lognormal(0.2, 0.3, size=40)
    typical, mean = effects(LOSSES, head)
    test = stats.ttest_rel(np.log(head), np.log(LOSSES), alternative="greater")
    assert typical.p_value == pytest.approx(test.pvalue)
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
    assert compare([cell(losses)], [cell(better)], Settings(tolerance=0.0)).exit_code in (0, 4)


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)), min_size=8, max_size=60))
def test_at_most_one_direction_fails(pairs: list[tuple[float, float]]) -> None:
    first, second = cell([a for a, _ in pairs]), cell([b for _, b in pairs])
    assert compare([first], [second]).exit_code + compare([second], [first]).exit_code <= 1


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


Command = Callable[..., str]


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
        (lambda path: pd.DataFrame({"a": [1]}).to_parquet(path), "does not have the columns"),
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
    with pytest.raises(StoreError, match="holds a seed twice"):
        read_side(results(tmp_path / "twice", LOSSES, seed=1))
    with pytest.raises(StoreError, match="rows lack one of"):
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
    swapped = with_swapped_gates(dict(shipped.tensors))
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
    swapped = with_swapped_gates(phi)
    torch.testing.assert_close(with_swapped_gates(swapped), phi)
    torch.testing.assert_close(swapped["lstm0.bias"][:20], phi["lstm0.bias"][20:40])
    torch.testing.assert_close(swapped["output.weight"], phi["output.weight"])
    noisy = perturbed(phi, 0.05, torch.Generator().manual_seed(0))
    relative = torch.cat([(noisy[name] / phi[name] - 1).flatten() for name in phi])
    assert float(relative.std()) == pytest.approx(0.05, rel=0.05)
    grad = torch.tensor([1e-8, 1.0])
    without = WithoutPreprocessing(checkpoint="mnist").preprocess(grad)
    torch.testing.assert_close(without, torch.stack([grad] * 3))
