"""Cells of several runs against those of the first that has them."""

from pathlib import Path

import pytest

from l2obench.reports.numbers.analysis import Analysis
from l2obench.reports.numbers.side_by_side import side_by_side
from l2obench.reports.reading import read_results

LOSSES = [1.0 + seed / 10 for seed in range(12)]


@pytest.mark.parametrize(("sha256", "said"), [("sha0", "better"), ("sha1", "better, another checkpoint")])
def test_another_checkpoint_is_said_of_learned_optimizers_only(tmp_path: Path, cell, write_run, sha256, said) -> None:
    runs = [
        write_run(
            tmp_path / name,
            [
                cell("lstm", [factor * loss for loss in LOSSES], learned=True, checkpoint_sha256=checkpoint),
                cell("adam", [factor * loss for loss in LOSSES]),
            ],
        )
        for name, factor, checkpoint in (("old", 1.0, "sha0"), ("new", 0.5, sha256))
    ]
    analysis = Analysis(read_results(runs))
    found = side_by_side(analysis.table, analysis.manifests).set_index("optimizer")
    assert found["verdict"].to_dict() == {"lstm": said, "adam": "better"}
    assert found["typical_ratio"].tolist() == pytest.approx([0.5, 0.5])
