"""`run --fused`: the numbers of the plain run up to rounding, cells that say so, and a line where numba is missing."""

from pathlib import Path

import pandas as pd
import pytest

from l2obench.api import execution
from l2obench.api.running import run
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.run.executors.choice import ChoiceError
from l2obench.bench.store.results_file import StoreError

pytest.importorskip("numba")
RULE = "adafac-mlp[checkpoint=random]"


def losses(out: Path, *, fused: bool, optimizers: tuple[str, ...] = (RULE, "adam")) -> pd.DataFrame:
    results = run(
        tasks="quadratic[horizon=8]",
        optimizers=list(optimizers),
        seeds=2,
        tune=False,
        timing=False,
        progress=False,
        out=out,
        fused=fused,
    )
    return results.frame().set_index("optimizer")[["mean_final_loss", "low", "high"]].sort_index()


def test_a_fused_run_ends_where_the_plain_one_ends(tmp_path: Path) -> None:
    pd.testing.assert_frame_equal(
        losses(tmp_path / "fused", fused=True), losses(tmp_path / "plain", fused=False), rtol=1e-4
    )


def test_fused_cells_are_not_taken_for_plain_ones(tmp_path: Path) -> None:
    losses(tmp_path, fused=True)
    with pytest.raises(StoreError, match="fused was True, now None"):
        losses(tmp_path, fused=False)


def test_optimizers_without_a_fused_step_are_the_same_cells(tmp_path: Path) -> None:
    losses(tmp_path, fused=True, optimizers=("adam",))
    losses(tmp_path, fused=False, optimizers=("adam",))


@pytest.mark.parametrize(("options", "uses"), [
    (RunOptions(fused=True), True),
    (RunOptions(), False),
    (RunOptions(fused=True, compile=True), False),
    (RunOptions(fused=True, device="cuda"), False),
])  # fmt: skip
def test_fused_steps_are_for_the_cpu_and_not_for_compiled_programs(options: RunOptions, uses: bool) -> None:
    assert options.uses_fused_steps is uses


def test_without_numba_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "numba_is_installed", lambda: False)
    with pytest.raises(ChoiceError, match=r"fused steps need numba.*Try: pip install"):
        losses(tmp_path / "out", fused=True)
    assert not (tmp_path / "out").exists()
