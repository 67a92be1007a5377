"""LaTeX tables: what a name holds stays text."""

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2obench.reports.page.latex import MOST_COLUMNS, MOST_ROWS, escape, to_latex


def test_table_as_it_stands() -> None:
    table = pd.DataFrame(
        {"task": ["[b]", "a_b"], "low": [0.5, 1.0], "high": [1.0, float("inf")], "learned": [True, False]}
    )
    assert to_latex(table, "50 % of it") == (
        "\\begin{table}\n\\centering\n\\caption{50 \\% of it}\n\\begin{tabular}{lr}\n\\toprule\n"
        "{}task & 95 \\% interval \\\\\n\\midrule\n"
        "{}[b] & 0.5 -- 1 \\\\\n"
        "{}a\\_b & 1 -- $\\infty$ \\\\\n"
        "\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )


@given(numbers=st.integers(1, 40), names=st.integers(0, 5), rows=st.sampled_from([2, MOST_ROWS + 1]))
def test_no_table_is_wider_than_a_page_and_no_column_is_lost(numbers: int, names: int, rows: int) -> None:
    """Each part names its rows, has its number in the caption, and as many cells in a row as columns."""
    texts = {f"name{k}": ["a", "b & c"] * rows for k in range(names)}
    table = pd.DataFrame(texts | {f"value{k}": [1.0, 2.0] * rows for k in range(numbers)}).head(rows)
    latex = to_latex(table, "all of it")
    kind = "table" if rows <= MOST_ROWS else "longtable"
    parts = re.findall(rf"\\begin\{{{kind}\}}.*?\\end\{{{kind}\}}", latex, re.DOTALL)
    found = []
    for place, part in enumerate(parts, 1):
        lines = [
            line.removesuffix(r" \\") for line in part.splitlines() if line.endswith(r"\\") and line.startswith("{}")
        ]
        cells = [re.split(r"(?<!\\) & ", line) for line in lines]
        assert len(cells[0]) <= MOST_COLUMNS
        assert [len(row) for row in cells] == [len(cells[0])] * (rows + 1)
        assert ("all of it" if len(parts) == 1 else f"all of it ({place} of {len(parts)})") in part
        assert part.count(r"\toprule") == part.count(r"\midrule") == part.count(r"\bottomrule") == 1
        found += [title.removeprefix("{}") for title in cells[0]]
        if names and len(parts) > 1:
            assert cells[0][0] == "{}name0"
    assert set(found) == set(table.columns)


def test_long_names_share_the_width_of_the_text_and_break() -> None:
    """Shares add up to the whole width, and a name breaks where its parameters begin."""
    name = "perceptron[activation=relu,data=mnist1d,horizon=1000]"
    table = pd.DataFrame({"task": [name], "optimizer": [name], "low": [0.5], "high": [1.0]})
    latex = to_latex(table, "all of it")
    shares = [float(share) for share in re.findall(r"\\dimexpr ([\d.]+)\\linewidth-2\\tabcolsep", latex)]
    assert len(shares) == 3
    assert sum(shares) == pytest.approx(1, abs=1e-3)
    assert r"perceptron[\allowbreak{}activation=\allowbreak{}relu,\allowbreak{}data" in latex


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no LaTeX")
def test_it_compiles(tmp_path: Path) -> None:
    name = "perceptron[activation=relu,data=mnist1d,horizon=1000]_&%$#{}~^\\"
    few = pd.DataFrame({"task": ["[b]", name], "low": [0.5, 1.0], "high": [1.0, float("inf")]})
    many = pd.concat([few] * MOST_ROWS, ignore_index=True)
    (tmp_path / "it.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs,array,longtable}\\usepackage[T1]{fontenc}\\begin{document}\n"
        f"{to_latex(few, 'few')}{to_latex(many, 'many')}\\end{{document}}\n"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "it.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@given(name=st.text(alphabet='\\\\{}&%$#_~^<>|"`-aA[] ', max_size=20))
def test_no_sign_of_a_name_is_left_to_tex(name: str) -> None:
    """Commands of ours taken out again, nothing remains that TeX would act on, and braces are balanced."""
    left = re.sub(r"\\text[a-z]+\{\}|\\[{}&%$#_]|-\{\}", "", escape(name))
    assert not re.search(r"[\\{}&%$#_~^<>|\"`-]", left)
