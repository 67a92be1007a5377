"""LaTeX tables: what a name holds stays text."""

import re

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from l2obench.reports.page.latex import escape, to_latex


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


@given(numbers=st.integers(1, 40), names=st.integers(0, 5))
def test_no_table_is_wider_than_a_page_and_no_column_is_lost(numbers: int, names: int) -> None:
    """Each part names its rows, has its number in the caption, and as many cells in a row as columns."""
    texts = {f"name{k}": ["a", "b & c"] for k in range(names)}
    table = pd.DataFrame(texts | {f"value{k}": [1.0, 2.0] for k in range(numbers)})
    latex = to_latex(table, "all of it")
    parts = re.findall(r"\\begin\{table\}.*?\\end\{table\}", latex, re.DOTALL)
    found = []
    for place, part in enumerate(parts, 1):
        alignment = re.search(r"\\begin\{tabular\}\{([lr]+)\}", part)[1]
        assert len(alignment) <= 7
        rows = [
            re.split(r"(?<!\\) & ", line.removesuffix(r" \\")) for line in part.splitlines() if line.endswith(r"\\")
        ]
        assert [len(row) for row in rows] == [len(alignment)] * 3
        assert ("all of it" if len(parts) == 1 else f"all of it ({place} of {len(parts)})") in part
        assert part.count(r"\toprule") == part.count(r"\midrule") == part.count(r"\bottomrule") == 1
        found += [title.removeprefix("{}") for title in rows[0]]
        if names and len(parts) > 1:
            assert rows[0][0] == "{}name0"
    assert set(found) == set(table.columns)


@given(name=st.text(alphabet='\\\\{}&%$#_~^<>|"`-aA[] ', max_size=20))
def test_no_sign_of_a_name_is_left_to_tex(name: str) -> None:
    """Commands of ours taken out again, nothing remains that TeX would act on, and braces are balanced."""
    left = re.sub(r"\\text[a-z]+\{\}|\\[{}&%$#_]|-\{\}", "", escape(name))
    assert not re.search(r"[\\{}&%$#_~^<>|\"`-]", left)
