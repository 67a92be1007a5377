"""Suites of any depth, size and shape: refused in one line before anything of them is built."""

from pathlib import Path

import pytest

from l2obench.bench.config.suite import MAX_INCLUDED
from l2obench.bench.config.suite_size import MAX_CELLS
from tests.hostile.conftest import Command

BASE = 'optimizers = ["sgd"]\nseeds = 2\n'
TASK = '[[tasks]]\ntask = "quadratic[horizon=5]"\n'
NUMBERS = ",".join(map(str, range(1, 1001)))


def refusal(command: Command, name: str = "it.toml") -> str:
    """What `run`, `info` and `train-suite` say of it, which is the same."""
    found = set()
    for arguments in (["run", name, "--dry-run"], ["info", name], ["train-suite", name]):
        answer = command(*arguments, limit=30)
        answer.is_one_line(name)
        found.add(answer.err)
    (said,) = found
    return said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"x = {'[' * 1000}{']' * 1000}\n{BASE}{TASK}", "nested at most 20 deep"),
        (f"x = {'{a=' * 1000}1{'}' * 1000}\n{BASE}{TASK}", "nested at most 20 deep"),
        (f"{'.'.join(['a'] * 5000)} = 1\n{BASE}{TASK}", "nested at most 20 deep"),
        (f"tuning_seeds = {'9' * 5000}\n{BASE}{TASK}", "it is not TOML"),
        (f"tuning_seeds = 0x{'f' * 5000}\n{BASE}{TASK}", "tuning_seeds must be"),
        (f"{BASE}{TASK}grid = {{ dim = [0x{'f' * 5000}] }}\n[[tasks]]\ntask = 3\n", "tasks.1.task must be"),
        (f"parts = 3\n{BASE}{TASK}", "no key is called 'parts'. Try: include"),
        ('"\\u001b[2J" = 1\n' + BASE + TASK, "no key is called"),
        ("a = 1\0", "it is not TOML"),
        ("\ufeff" + BASE + TASK, "it is not TOML"),
    ],
    ids=["lists", "tables", "dots", "digits", "hexadecimal", "in-a-grid", "parts", "escape", "nul", "mark"],
)
def test_depth_and_values(command: Command, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "it.toml").write_text(text, encoding="utf-8")
    said = refusal(command)
    assert message in said
    assert len(said) < 1000
    assert "\x1b" not in said


def test_cycles(command: Command, tmp_path: Path) -> None:
    (tmp_path / "it.toml").write_text(f'include = ["it.toml"]\n{BASE}')
    assert "must not include itself" in refusal(command)
    (tmp_path / "it.toml").write_text('include = ["other.toml"]\n')
    (tmp_path / "other.toml").write_text('include = ["./it.toml"]\n')
    command("run", "it.toml", "--dry-run").is_one_line("must not include itself, also not through others")


def test_a_long_chain_and_an_exponential_tree(command: Command, tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"chain{number}.toml").write_text(f'include = ["chain{number + 1}.toml"]\n')
    for number in range(40):
        (tmp_path / f"tree{number}.toml").write_text(f'include = ["tree{number + 1}.toml", "tree{number + 1}.toml"]\n')
    for name in ("chain300", "tree40"):
        (tmp_path / f"{name}.toml").write_text(BASE + TASK)
    for name in ("chain0", "tree0"):
        command("run", f"{name}.toml", "--dry-run").is_one_line(f"must include at most {MAX_INCLUDED} suites")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{BASE}{TASK}grid = {{ dim = [{NUMBERS}], a = [{NUMBERS}] }}\n", f"at most {MAX_CELLS:,} cells"),
        (
            f"{BASE}{TASK}grid = {{ {', '.join(f'a{k} = [1, 2, 3]' for k in range(60))} }}\n",
            f"at most {MAX_CELLS:,} ce",
        ),
        (
            f"{BASE}[[trainings]]\nname = '{{seed}}-{{lr}}'\nrule = 'lstm'\n"
            f"grid = {{ seed = [{NUMBERS}], lr = [{NUMBERS}] }}\n{TASK}",
            "grid must give at most 10,000, got 1,000,000",
        ),
    ],
    ids=["cells", "astronomic", "trainings"],
)
def test_the_size_of_the_matrix(command: Command, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "it.toml").write_text(text)
    for arguments in (["run", "it.toml", "--dry-run"], ["info", "it.toml"], ["train-suite", "it.toml"]):
        command(*arguments).is_one_line(message)


def test_numbers_on_the_command_line(command: Command) -> None:
    run = ["run", "-t", "quadratic[horizon=5]", "-o", "sgd"]
    command(*run, "--seeds", "1000000000").is_one_line("seeds must be from 1 to 100,000")
    many = "|".join(map(str, range(1, 200)))
    command("train", "lstm", "-t", f"quadratic[dim={many},horizon={many}]").is_one_line("at most 1,000 identities")


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "lstm[hidden=1024,layers=16]", "-t", "quadratic"],
        ["run", "-t", "quadratic", "-o", "lstm[checkpoint=random,hidden=1024,layers=16]"],
    ],
)
def test_a_network_that_no_checkpoint_can_hold(command: Command, arguments: list[str]) -> None:
    command(*arguments).is_one_line("at most 16,777,216 meta-parameters", "Try: fewer hidden units or layers")


def test_paths_that_are_too_long_for_the_system(command: Command) -> None:
    long = "x" * 5000
    for arguments in (
        ["run", f"{long}.toml"],
        ["info", long],
        ["report", long],
        ["check", long],
        ["targets", long],
        ["run", "-t", "quadratic", "-o", f"{long}.py:Mine"],
        ["run", "-t", "quadratic[horizon=5]", "-o", "sgd", "--out", long],
        ["run", "-t", f"neural-art[content={long}]", "-o", "sgd"],
    ):
        answer = command(*arguments)
        answer.is_one_line()
        assert len(answer.err) < 2100
