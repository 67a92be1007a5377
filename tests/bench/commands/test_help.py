"""Help that needs no manual: every command says what it does, what it writes, how it ends, and shows an example."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel, Field

from l2obench.bench.commands import train, train_start
from l2obench.bench.commands.cli import COMMANDS, app
from l2obench.bench.commands.model_options import select_given, with_options_of
from l2obench.bench.config.recipe import Recipe
from l2obench.bench.config.start_recipe import StartRecipe

NAMES = [name for section in COMMANDS.values() for name in section]
GROUP: Any = typer.main.get_command(app)


def shown(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert not app(list(arguments), standalone_mode=False, prog_name="l2obench")
    return capsys.readouterr().out


def test_help_imports_no_command(tmp_path: Path) -> None:
    code = "import sys\nfrom l2obench.bench.commands.cli import app\napp(['--help'], standalone_mode=False)\n"
    code += "assert not {'rich', 'pydantic', 'torch', 'l2obench.bench.commands.run'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("name", NAMES)
def test_help_of_a_command_imports_no_torch(name: str) -> None:
    code = f"import sys\nfrom l2obench.bench.commands.cli import app\napp(['{name}', '-h'], standalone_mode=False)\n"
    code += "assert not {'rich', 'torch', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("name", NAMES)
def test_a_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(name, "--help", capsys=capsys)
    assert shown(name, "-h", capsys=capsys) == text
    assert re.search(r"^  Exit codes: 0 ", text, re.MULTILINE)
    assert f"Examples:\n      l2obench {name}" in text
    summary = next(section[name].summary for section in COMMANDS.values() if name in section)
    assert GROUP.commands[name].help.startswith(f"{summary}\n")
    assert f"{name} " in shown("-h", capsys=capsys)


@pytest.mark.parametrize("name", NAMES)
def test_every_option_has_a_text(name: str) -> None:
    for param in GROUP.commands[name].params:
        assert param.help
        assert param.help[0].isupper() or param.help.startswith(("L:", "T:", "[BASE]", "tasks,", "maml,"))


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_parse(name: str) -> None:
    examples = re.findall(r"^ {4}(?:torchrun .* -m )?l2obench (.*)", GROUP.commands[name].help, re.MULTILINE)
    assert examples
    for example in examples:
        command, *arguments = shlex.split(example, comments=True)
        GROUP.commands[command].make_context(command, arguments)


def test_lines_keep_to_the_width(capsys: pytest.CaptureFixture[str]) -> None:
    for name in NAMES:
        text = shown(name, "-h", capsys=capsys)
        # Examples are for copying and stay on one line.
        long = [line for line in text.splitlines() if len(line) > 80 and not line.startswith("      ")]
        assert long == []


@pytest.mark.parametrize(
    ("model", "groups", "elsewhere"),
    [
        (Recipe, train.GROUPS, {"task", "mixture", "optimizer"}),
        (StartRecipe, train_start.GROUPS, {"method", "task"}),
    ],
)
def test_every_field_of_a_recipe_is_an_option(
    model: type[BaseModel], groups: dict[str, list[str]], elsewhere: set[str]
) -> None:
    options = [name for names in groups.values() for name in names]
    assert len(options) == len(set(options))
    assert set(options) | elsewhere == set(model.model_fields)
    assert all(field.description for name, field in model.model_fields.items() if name in options)


def test_an_option_says_type_default_and_range(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(shown("train", "-h", capsys=capsys).split())
    assert "--trajectories <int>" in text
    assert "[default: 1000; x>=1]" in text
    assert "--coordinate-scaling <float>" in text
    assert "[0<x<=10]" in text
    assert "--estimator <tbptt|full|es|pes|nres|full-es>" in text
    assert "--second-order / --first-order" in text


class Model(BaseModel, use_attribute_docstrings=True):
    rate: float = Field(default=0.5, gt=0, lt=1)
    """A rate."""
    steps: int | None = Field(default=None, le=9)
    """Steps."""
    names: tuple[str, ...] | None = None
    """Names."""
    shuffle: bool = True
    """Whether to shuffle."""


def test_options_that_are_not_given_are_left_to_the_model() -> None:
    calls = []
    groups = {"First": ["rate", "steps"], "Second": ["names", "shuffle"]}

    @with_options_of(Model, groups)
    def command(word: str, **values: Any) -> None:
        calls.append((word, select_given(values)))

    made: Any = typer.Typer(add_completion=False, rich_markup_mode=None)
    made.command()(command)
    for arguments in (["a"], ["a", "--rate", "0.1", "--names", "x", "--names", "y"], ["a", "--steps", "3"]):
        made(arguments, standalone_mode=False)
    made(["a", "--no-shuffle"], standalone_mode=False)
    assert calls == [
        ("a", {}),
        ("a", {"rate": 0.1, "names": ["x", "y"]}),
        ("a", {"steps": 3}),
        ("a", {"shuffle": False}),
    ]
    helps = {param.name: (param.help, param.rich_help_panel) for param in typer.main.get_command(made).params[1:]}
    assert helps == {
        "rate": ("A rate.  [default: 0.5; 0<x<1]", "First"),
        "steps": ("Steps.  [x<=9]", "First"),
        "names": ("Names.", "Second"),
        "shuffle": ("Whether to shuffle.  [default: --shuffle]", "Second"),
    }
