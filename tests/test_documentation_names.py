"""What the documentation names exists: pages, anchors, files, modules and commands. Its sentences are short."""

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.exceptions import Exit, TyperException

from l2obench.bench.commands.cli import app
from l2obench.bench.config.shipped import suite_names
from l2obench.optimizers import checkpoint_groups, shipped_checkpoints
from tests.markdown import ROOT, anchors, code_blocks, inline_codes, links, pages, parsed, sentences, words

MOST_WORDS = 40
PAGES = [*pages(), ROOT / "CHANGELOG.md"]
FOLDERS = "bench|docs|optimizers|reports|results/reference|src|tasks|tests"
PATH = re.compile(rf"(?:^|[\s(\[`\"'])((?:{FOLDERS})/(?:[\w.*-]+/)*(?:[\w*-]+\.\w+)?)(?=[\s)\]`\"',;:]|$)")
MODULE = re.compile(r"\bl2obench(?:\.[A-Za-z_]\w*)+")
ENTRY_POINTS = {"l2obench.tasks", "l2obench.optimizers"}
PLACEHOLDERS = re.compile(r"…|(?:^|/)[A-Z][A-Z_]+(?:/|$)")


def names(page: Path) -> str:
    return str(page.relative_to(ROOT))


def every_code(page: Path) -> Iterator[str]:
    yield from inline_codes(page)
    yield from (code.text for code in code_blocks(page))


def commands(page: Path) -> Iterator[list[str]]:
    """The arguments of every `l2obench …` that stands in code, without what only a shell reads."""
    for text in every_code(page):
        for line in text.replace("\\\n", " ").splitlines():
            for command in re.findall(r"(?:^|[;&(]\s*|run: )(?:\S*torchrun.*-m )?l2obench (.+)", line.strip()):
                yield shlex.split(re.split(r"\s(?:&&|\||>|&$)", command)[0], comments=True)


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        if re.match(r"https?:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), f"{page.name}: {target} does not exist"
        assert not anchor or anchor in anchors(there), f"{page.name}: {there.name} has no heading #{anchor}"


@pytest.mark.parametrize("page", pages(), ids=names)
def test_sentences_are_short(page: Path) -> None:
    long = [sentence for sentence in sentences(page) if words(sentence) > MOST_WORDS]
    assert not long, "\n".join(f"{words(sentence)} words: {sentence}" for sentence in long)


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", pages(), ids=names)
def test_commands_have_the_options_that_pages_give_them(page: Path) -> None:
    group = typer.main.get_command(app)
    for arguments in commands(page):
        kept = [argument for argument in arguments if argument not in {"…", "|"}]
        if not kept or not re.match("[a-z]", kept[0]):
            continue
        name, *rest = kept
        assert name in group.commands, f"{page.name}: l2obench has no command {name}"
        try:
            if rest:  # a command by its name alone is a mention
                group.commands[name].make_context(name, rest)
        except TyperException as error:
            synopsis = any(PLACEHOLDERS.search(argument) for argument in arguments)
            if not synopsis or "No such option" in str(error):
                pytest.fail(f"{page.name}: l2obench {shlex.join(arguments)}: {error}")
        except Exit:  # of --help
            continue


@pytest.mark.parametrize("page", pages(), ids=names)
def test_suites_and_checkpoints_exist(page: Path) -> None:
    shipped = suite_names()
    learned = {name for group in ("", *checkpoint_groups()) for name in shipped_checkpoints(group)}
    for arguments in commands(page):
        if arguments[:1] in (["run"], ["train-suite"]) and len(arguments) > 1 and re.match("[a-z]", arguments[1]):
            assert arguments[1] in shipped or arguments[1].endswith(".toml"), f"{page.name}: suite {arguments[1]}"
    for code in every_code(page):
        for name in re.findall(r"checkpoint=([\w/-]+)(?=[\],])", code):
            known = name in learned or name in {"random", "NAME", "PATH", "FILE"}
            assert known, f"{page.name}: checkpoint {name}"


@pytest.mark.parametrize("page", pages(), ids=names)
def test_files_and_folders_of_the_repository_exist(page: Path) -> None:
    for code in every_code(page):
        for path in filter(lambda path: not PLACEHOLDERS.search(path), PATH.findall(code)):
            assert list(ROOT.glob(path.rstrip("/"))), f"{page.name}: {path} does not exist"


@pytest.mark.parametrize("page", pages(), ids=names)
def test_modules_and_what_is_in_them_exist(page: Path) -> None:
    for name in MODULE.findall(page.read_text(encoding="utf-8")):
        assert name in ENTRY_POINTS or exists(name), f"{page.name}: {name} does not exist"


@pytest.mark.parametrize("room", ["bench", "optimizers", "reports", "tasks", "src/l2obench/api"])
def test_sections_that_docstrings_name_exist(room: str) -> None:
    """As in `(docs/protocol.md, "Seeds")`."""
    for module in (ROOT / room).rglob("*.py"):
        for page, heading in re.findall(r'(docs/[\w-]+\.md), "([^"]+)"', module.read_text(encoding="utf-8")):
            assert heading.lower().replace(" ", "-") in anchors(ROOT / page), f"{module}: {page} has no {heading}"


def test_a_page_that_breaks_a_rule_is_found() -> None:
    """The pages are read by code that could miss everything: here it is shown what it must find."""
    assert not exists("l2obench.nothing")
    assert not exists("l2obench.tasks.base.Nothing")
    assert exists("l2obench.tasks.base.Task")
    assert PATH.findall("see `bench/run/cell.py` and (tests/faults/)") == ["bench/run/cell.py", "tests/faults/"]
    assert sum(token.type == "inline" for token in parsed(ROOT / "README.md")) > 10
    assert any(list(commands(page)) for page in pages())


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or something that a module holds."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[end:]:
            if not hasattr(found, attribute):
                return False
            found = getattr(found, attribute)
        return True
    return False
