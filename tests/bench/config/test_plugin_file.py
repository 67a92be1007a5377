"""A class out of a user's file: its one spelling, its errors in one line, and the hash of what it was made from."""

import os
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from l2obench.bench.config.plugin_file import PluginFileError, format_file_name
from l2obench.bench.config.plugin_source import source_of
from l2obench.bench.config.registry import identify, optimizer_registry, task_registry

RULE = """
import torch
from neighbour import RATE

class Rule(torch.optim.SGD):
    def __init__(self, params, lr=RATE):
        super().__init__(params, lr=lr)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    (tmp_path / "neighbour.py").write_text("RATE = 0.25")
    (tmp_path / "rules.py").write_text(RULE)
    return tmp_path


def test_a_class_of_a_file_is_made_and_its_identity_leads_back(folder: Path) -> None:
    spellings = ["./rules.py:Rule", "rules.py:Rule", f"{folder}/rules.py:Rule", "./x/../rules.py:Rule"]
    made = [optimizer_registry().create(name) for name in spellings]
    assert {identify(rule) for rule in made} == {"./rules.py:Rule"}
    assert made[0].lr == 0.25
    assert identify(optimizer_registry().create("rules.py:Rule[lr=0.5]")) == "./rules.py:Rule[lr=0.5]"
    assert optimizer_registry().foreign(made[0].name)


def test_a_file_elsewhere_has_an_absolute_path(folder: Path) -> None:
    elsewhere = folder / "a folder" / "rules.py"
    elsewhere.parent.mkdir()
    elsewhere.write_text(RULE)
    (elsewhere.parent / "neighbour.py").write_text("RATE = 0.25")
    os.chdir(elsewhere.parent)
    assert format_file_name("../rules.py:Rule") == f"{folder}/rules.py:Rule"
    assert format_file_name("rules.py:Rule") == "./rules.py:Rule"
    os.chdir(folder)
    assert optimizer_registry().create("./a folder/rules.py:Rule").name == "./a folder/rules.py:Rule"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("./missing.py:Rule", None, "No such file"),
        ("./rules.py:Rul", None, "no class is called 'Rul'. Did you mean Rule?"),
        ("./rules.py", None, "must name a class. Try: ./rules.py:Rule"),
        ("./bad.py:Rule", "x = 1\nraise KeyError('no')\n", "failed at line 2: KeyError"),
        ("./bad.py:Rule", "def f(:\n", "failed at line 1: SyntaxError"),
        ("./bad.py:Rule", "import sys\n\nsys.exit(3)\n", "failed at line 3: SystemExit"),
        ("./bad.py:Rule", "import nothing_of_this_name\n", "No module named 'nothing_of_this_name'"),
    ],
)
def test_errors_are_one_line(folder: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (folder / "bad.py").write_text(content)
    with pytest.raises(PluginFileError, match=r"\.py") as caught:
        optimizer_registry().create(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_task_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a subclass of l2obench"):
        task_registry().create("./rules.py:Rule")


def test_an_edited_file_is_imported_again_and_has_another_hash(folder: Path) -> None:
    registry = optimizer_registry()
    first, again = (registry.source(registry.create("./rules.py:Rule")) for _ in range(2))
    assert first == again
    (folder / "rules.py").write_text(RULE.replace("lr=RATE", "lr=0.125"))
    edited = registry.create("./rules.py:Rule")
    assert edited.lr == 0.125
    assert registry.source(edited) != first


def package(folder: Path, helper: str, name: str) -> str:
    """The source of a class of a package of three modules, one of which nobody imports."""
    place = folder / name
    place.mkdir()
    (place / "__init__.py").write_text("")
    (place / "rules.py").write_text(f"import torch\nfrom {name} import helper\nfrom . import also\n\nclass A: pass\n")
    (place / "helper.py").write_text(helper)
    (place / "also.py").write_text("x = 1")
    (place / "unused.py").write_text(helper)
    sys.path.insert(0, str(folder))
    module = __import__(f"{name}.rules", fromlist=["A"])
    return source_of(module.A)


def test_the_hash_covers_what_a_module_imports_of_its_package(tmp_path: Path) -> None:
    sources = [
        package(tmp_path / kind, helper, "a_package_of_theirs") if not _forget(tmp_path / kind) else ""
        for kind, helper in (("one", "x = 1"), ("same", "x = 1"), ("other", "x = 2"))
    ]
    assert sources[0] == sources[1] != sources[2]


def _forget(folder: Path) -> None:
    folder.mkdir()
    for name in [name for name in sys.modules if name.startswith("a_package_of_theirs")]:
        del sys.modules[name]


def test_an_installed_package_is_its_version() -> None:
    assert source_of(torch.optim.SGD) == f"torch {version('torch')}"


def test_ours_have_none() -> None:
    assert optimizer_registry().source(optimizer_registry().create("adam")) is None
    assert task_registry().source(task_registry().create("quadratic")) is None
