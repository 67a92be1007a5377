"""What two sides of a check were made with: a plugin whose code changed is named."""

from typing import Any

import pandas as pd

from l2obench.bench.gate.differences import differences, facts

ROWS = pd.DataFrame({"task": ["./mine.py:Line"] * 2, "optimizer": ["adam"] * 2, "steps": [5, 5]})


def made_with(**plugins: str) -> dict[str, str]:
    manifest: dict[str, Any] = {"plugins": {"./mine.py:Line": "sha256:1", "./other.py:Task": "sha256:2", **plugins}}
    return facts(ROWS, manifest)


def test_a_plugin_whose_code_changed_is_a_difference() -> None:
    changed = made_with(**{"./mine.py:Line": "sha256:3"})
    assert differences(made_with(), changed) == ["the code of ./mine.py:Line was sha256:1, now sha256:3"]


def test_code_of_other_cells_and_of_other_optimizers_is_none() -> None:
    assert differences(made_with(), made_with(**{"./other.py:Task": "sha256:3"})) == []
    assert differences(made_with(), facts(ROWS, {})) == []
    assert differences(made_with(), facts(ROWS, {"plugins": "damaged"})) == []
