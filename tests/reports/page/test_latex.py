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


@given(name=st.text(alphabet='\\\\{}&%$#_~^<>|"`-aA[] ', max_size=20))
def test_no_sign_of_a_name_is_left_to_tex(name: str) -> None:
    """Commands of ours taken out again, nothing remains that TeX would act on, and braces are balanced."""
    left = re.sub(r"\\text[a-z]+\{\}|\\[{}&%$#_]|-\{\}", "", escape(name))
    assert not re.search(r"[\\{}&%$#_~^<>|\"`-]", left)
