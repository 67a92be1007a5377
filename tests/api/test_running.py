"""`l2obench.run` as a user calls it: from a test, a script without a guard, and with classes of their own."""

import dataclasses
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

import l2obench
from l2obench.api.naming import BadArgument, optimizer_identities, task_identities
from l2obench.bench.config.registry import BadParameters, UnknownName
from l2obench.bench.config.suite import SuiteError
from l2obench.bench.store.results_file import StoreError
from l2obench.bench.store.run_folder import RunFolder
from l2obench.optimizers.base import Optimizer, State, Tensors, per_replica
from l2obench.optimizers.designed.adam import Adam
from l2obench.optimizers.learned.lstm import LSTM
from l2obench.reports.numbers.analysis import Analysis
from l2obench.tasks.base import Problem, Task
from l2obench.tasks.quadratic import Quadratic
from tests.processes import ended, forked

SHORT = "quadratic[horizon=5]"


class Bowl(Task):
    """θᵀθ in a few dimensions."""

    name = "bowl"
    dim: int = 3

    def sample(self, generator: torch.Generator) -> Problem:
        return Problem({"theta": torch.randn(self.dim, generator=generator)})

    def loss(self, params: Tensors, batch: Tensors) -> torch.Tensor:
        return params["theta"].square().sum()


def half_of_gradient_descent() -> type[Optimizer]:
    class Halve(Optimizer):
        """A rule that no import leads to."""

        name = "halve"
        lr: float = 0.1

        def init(self, params: Tensors) -> State:
            return {}

        def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
            return {name: -per_replica(self.lr, grad) * grad / 2 for name, grad in grads.items()}, state

    return Halve


def run_quietly(**arguments: object) -> l2obench.Results:
    return l2obench.run(**({"seeds": 2, "tune": False, "progress": False} | arguments))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def results() -> l2obench.Results:
    optimizers = ["adam", "sgd[lr=0.01]", "lstm[checkpoint=quadratic]"]
    return l2obench.run(tasks=[SHORT, "quadratic[horizon=6]"], optimizers=optimizers, seeds=3, progress=False)


def test_identities_classes_and_objects_run_side_by_side() -> None:
    halve = half_of_gradient_descent()
    results = run_quietly(
        tasks=[SHORT, Quadratic(horizon=4), Bowl(dim=2, horizon=3)],
        optimizers=["adam", Adam(lr=0.2), torch.optim.Rprop, halve(lr=0.01)],
    )
    assert results.tasks == [SHORT, "quadratic[horizon=4]", f"{__name__}:Bowl[dim=2,horizon=3]"]
    assert results.optimizers[:3] == ["adam", "adam[lr=0.2]", "torch.optim.Rprop"]
    assert results.optimizers[3].endswith("Halve[lr=0.01]")
    assert set(results.trajectories()["status"]) == {"ok"}, set(results.trajectories()["reason"])


def test_it_gives_the_numbers_of_the_command_line(tmp_path: Path) -> None:
    command = ["run", "-t", SHORT, "-o", "adam", "--seeds", "2", "--out", "there"]
    assert ended(forked(*command, folder=tmp_path)) == 0
    there = l2obench.Results(tmp_path / "there").trajectories()
    here = run_quietly(tasks=SHORT, optimizers="adam", tune=None).trajectories()
    numbers = ["task", "optimizer", "track", "hyperparameters", "seed", "final_loss"]
    pd.testing.assert_frame_equal(here[numbers], there[numbers])


def test_the_same_call_goes_on_where_an_earlier_one_ended(tmp_path: Path) -> None:
    run_quietly(tasks=SHORT, optimizers="adam", out=tmp_path / "out")
    made = RunFolder(tmp_path / "out").read("cells")
    both = run_quietly(tasks=SHORT, optimizers=["adam", "sgd"], out=tmp_path / "out")
    assert both.optimizers == ["adam", "sgd"]
    # A cell that was computed again would have the seconds of the second timing pass.
    pd.testing.assert_frame_equal(RunFolder(tmp_path / "out").read("cells").query("optimizer == 'adam'"), made)
    with pytest.raises(StoreError, match="holds other results"):
        run_quietly(tasks=SHORT, optimizers="adam", seeds=3, out=tmp_path / "out")


def test_a_temporary_folder_goes_with_its_results() -> None:
    results = run_quietly(tasks=SHORT, optimizers="adam")
    folder = results.folder
    assert folder.exists()
    del results
    assert not folder.exists()


def test_it_leaves_the_threads_of_the_process_as_they_were() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run_quietly(tasks=SHORT, optimizers="adam")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_suite_is_narrowed_as_on_the_command_line() -> None:
    results = run_quietly(suite="quick", tasks=SHORT, optimizers=["adam"])
    assert (results.tasks, results.optimizers) == ([SHORT], ["adam"])
    assert set(results.trajectories()["track"]) == {"default"}


SCRIPT = """
    import l2obench
    import torch
    from elsewhere import There
    from l2obench.tasks.base import Problem, Task

    print("begun")

    class Here(Task):
        name = "here"
        def sample(self, generator):
            return Problem({"theta": torch.randn(2, generator=generator)})
        def loss(self, params, batch):
            return params["theta"].square().sum()

    for tasks, executor in [(Here(horizon=3), {}), ([There(horizon=3)], {"executor": "local", "workers": 1}),
                            (There(horizon=3), {"executor": "dask", "workers": 1})]:
        results = l2obench.run(tasks=tasks, optimizers=["adam"], seeds=2, tune=False, progress=False, **executor)
        print(results.tasks, set(results.trajectories()["status"]), set(results.trajectories()["reason"]))
"""


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    """Processes that its runs start, by either executor, do not run it again."""
    script = textwrap.dedent(SCRIPT)
    (tmp_path / "script.py").write_text(script)
    own = script.partition("class Here")[2].partition("for tasks")[0]
    header = "import torch\nfrom l2obench.tasks.base import Problem, Task\nclass There"
    (tmp_path / "elsewhere.py").write_text(header + own.replace('"here"', '"there"'))
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("begun") == 1
    assert done.stdout.count("{'ok'}") == 3, done.stdout


def bad(error: type[Exception], match: str, **arguments: object) -> object:
    return pytest.param(error, match, arguments, id=match[:30])


@pytest.mark.parametrize(
    ("error", "match", "arguments"),
    [
        bad(UnknownName, "Did you mean adam", tasks=SHORT, optimizers="adm"),
        bad(UnknownName, r"Did you mean quadratic\?", tasks="quadratc", optimizers="adam"),
        bad(BadParameters, "Did you mean horizon", tasks="quadratic[horizn=3]", optimizers="adam"),
        bad(SuiteError, "lstm has no meta-parameters: give checkpoint=NAME", tasks=SHORT, optimizers="lstm"),
        bad(BadArgument, "seeds must be a whole number from 1 on, got 0", tasks=SHORT, optimizers="adam", seeds=0),
        bad(
            BadArgument, "tune must be one of grid, halving, off, budget=N", tasks=SHORT, optimizers="adam", tune="yes"
        ),
        bad(BadArgument, "optimizers must be given where no suite is", tasks=SHORT),
        bad(BadArgument, "tasks must name one task at least", tasks=[], optimizers="adam"),
        bad(BadArgument, "Try: 'local'", tasks=SHORT, optimizers="adam", executor="locl"),
        bad(BadArgument, "got an object of builtins.int", tasks=3, optimizers="adam"),
        bad(UnknownName, "must be a subclass of", tasks=Adam, optimizers="adam"),
    ],
)
def test_bad_arguments_are_one_line(error: type[Exception], match: str, arguments: dict[str, object]) -> None:
    with pytest.raises(error, match=match) as raised:
        run_quietly(**arguments)
    assert "\n" not in str(raised.value)


def test_a_torch_optimizer_is_given_as_its_class() -> None:
    made = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))])
    with pytest.raises(BadArgument, match="Try: the class, Adam"):
        run_quietly(tasks=SHORT, optimizers=made)


def test_meta_parameters_in_memory_have_no_identity() -> None:
    trained = LSTM().initialised(torch.Generator().manual_seed(1))
    with pytest.raises(BadParameters, match="a checkpoint, 'NAME"):
        optimizer_identities(trained)
    assert optimizer_identities(LSTM(checkpoint="mnist")) == ["lstm[checkpoint=mnist]"]


def test_what_no_other_process_can_import_stays_in_this_one() -> None:
    with pytest.raises(BadArgument, match="executor='local' needs classes that another process can import"):
        run_quietly(tasks=SHORT, optimizers=half_of_gradient_descent(), executor="local")


def test_an_object_that_create_made_leads_back() -> None:
    (name,) = task_identities(Bowl(dim=2))
    made = l2obench.bench.config.registry.task_registry().create(name)
    assert task_identities(made) == [name]


class TestResults:
    def test_a_frame_has_a_row_for_each_cell(self, results: l2obench.Results) -> None:
        frame = results.frame()
        assert not frame.duplicated(["task", "optimizer", "track"]).any()
        assert len(frame) == 2 * (2 + 1 + 1)  # neither the learned one nor a rate that is given is tuned
        assert len(results.trajectories()) == 3 * len(frame)

    def test_curves_end_at_the_horizon(self, results: l2obench.Results) -> None:
        ends = results.curves().groupby(["task", "optimizer"])["step"].max()
        assert set(ends[SHORT]) == {5}
        assert (results.curves()["low"] <= results.curves()["high"]).all()

    def test_compare_is_the_headline_of_the_report(self, results: l2obench.Results, tmp_path: Path) -> None:
        compared = results.compare()
        assert list(compared["optimizer"]) == ["lstm[checkpoint=quadratic]"] * 2
        page = results.report(out=tmp_path / "report")
        assert page.name == "index.html"
        written = pd.read_csv(page.parent / "tables" / "headline.csv")
        assert list(written["optimizer"]) == list(compared["optimizer"])
        assert set(results.compare("adam")["optimizer"]) == {"sgd[lr=0.01]", "lstm[checkpoint=quadratic]"}

    def test_answer_has_a_row_for_each_learned_optimizer(self, results: l2obench.Results) -> None:
        answer = results.answer()
        assert list(answer["optimizer"]) == ["lstm[checkpoint=quadratic]"]
        assert answer["training_tasks"].tolist() == [len(results.compare())]
        assert answer["training_verdicts_too_few_seeds"].tolist() == [2]

    def test_plot_draws_every_optimizer_of_every_task(self, results: l2obench.Results) -> None:
        from matplotlib import pyplot

        drawn = results.plot()
        assert [axes.get_title(loc="left") for axes in drawn] == results.tasks
        for axes in drawn:
            assert len(axes.get_legend().get_texts()) == 3
            assert axes.get_xlabel() == "step"
        own = pyplot.figure().add_subplot()
        assert results.plot(task=SHORT, axes=own) == [own]
        pyplot.close("all")

    @pytest.mark.parametrize(
        ("call", "match"),
        [
            (lambda results: results.plot(task="quadratic"), r"Did you mean quadratic\[horizon"),
            (lambda results: results.plot(kind="bars"), "kind must be one of curves, ratios, got 'bars'"),
            (lambda results: results.compare("sgd"), "against must be one of baseline, adam, got 'sgd'"),
            (lambda results: results.report(), "these results are temporary"),
        ],
    )
    def test_what_it_has_not_is_one_line(
        self, results: l2obench.Results, call: Callable[[l2obench.Results], object], match: str
    ) -> None:
        with pytest.raises(BadArgument, match=match):
            call(results)

    def test_a_plot_of_ratios_has_a_row_for_each_task_and_the_numbers_of_the_headline(
        self, results: l2obench.Results
    ) -> None:
        from matplotlib import pyplot

        (axes,) = results.plot(kind="ratios")
        assert {label.get_text() for label in axes.get_yticklabels()} == set(results.tasks)
        low, high = axes.get_xlim()
        drawn = sorted(x for line in axes.lines for x in line.get_xdata() if line.get_marker() not in ("None", None))
        ratios = results.compare()["typical_ratio"]
        assert drawn == pytest.approx(sorted(ratios.clip(low * 1.08, high / 1.08)))
        pyplot.close("all")

    def test_the_legend_stands_in_the_order_of_the_ends(self, results: l2obench.Results) -> None:
        from matplotlib import pyplot

        (axes,) = results.plot(task=SHORT)
        curves = results.curves().query("task == @SHORT")
        ends = curves.groupby("optimizer").last()["loss"].sort_values(ascending=False)
        shown = [text.get_text().replace(", untuned", "") for text in axes.get_legend().get_texts()]
        assert shown == list(ends.index)
        pyplot.close("all")

    def test_a_notebook_shows_what_ran_the_answer_and_the_headline(self, results: l2obench.Results) -> None:
        shown = results._repr_html_()
        assert "2 tasks × 3 optimizers, 8 cells finished, 0 with failed seeds" in shown
        assert "<b>lstm[checkpoint=quadratic], untuned</b>: " in shown
        assert "results.compare()" in shown
        assert "2 tasks, 3 optimizers" in repr(results)

    def test_a_notebook_obeys_no_name(self, results: l2obench.Results, monkeypatch: pytest.MonkeyPatch) -> None:
        from l2obench.api.notebook import describe_html

        cells = results._analysis.results.cells
        renamed = cells["optimizer"].replace("lstm[checkpoint=quadratic]", "<script>alert(1)</script>")
        cells = cells.assign(optimizer=renamed)
        manifests = {"<b>run</b>": {"suite": "<i>suite</i>", "environment": {"device_name": "<u>x</u>"}}}
        data = dataclasses.replace(results._analysis.results, cells=cells, manifests=manifests)
        shown = describe_html(Analysis(data))
        assert "&lt;script&gt;alert(1)" in shown
        assert not re.findall(r"<(?:script|i|u)\b", shown)
