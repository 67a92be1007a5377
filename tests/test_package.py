"""`import l2obench` costs nothing, and its public names are there for people, editors and type checkers."""

import ast
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import l2obench

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ["bench", "optimizers", "reports", "tasks"]


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_importing_it_imports_nothing_heavy() -> None:
    heavy = ["torch", "numpy", "pandas", "scipy", "matplotlib", "pydantic", "typer", "rich"]
    assert python(f"import sys, l2obench; print([name for name in {heavy} if name in sys.modules])") == "[]"


def test_the_names_are_listed_before_they_are_imported() -> None:
    listed = python("import sys, l2obench; print(*dir(l2obench)); assert 'torch' not in sys.modules").split()
    assert {*l2obench.__all__, "bench", "optimizers", "reports", "tasks"} <= {*listed}


@pytest.mark.parametrize("name", l2obench.__all__)
def test_each_public_name_has_a_docstring(name: str) -> None:
    value = getattr(l2obench, name)
    assert isinstance(value, str) or value.__doc__


def test_type_checkers_see_the_names_that_are_imported_on_use() -> None:
    tree = ast.parse((ROOT / "src" / "l2obench" / "__init__.py").read_text(encoding="utf-8"))
    seen = {
        alias.name: node.module
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == l2obench._MODULES
    assert {*l2obench.__all__} == {*seen, "__version__"}


def test_a_package_is_an_attribute_without_an_import_of_its_own() -> None:
    assert python("import l2obench; print(l2obench.optimizers.RULES['adam'][1])") == "Adam"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'lod'; it has .*load"):
        l2obench.lod  # noqa: B018


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert l2obench.__version__ == project["version"]


def test_python_m_l2obench_is_the_command_line() -> None:
    asked = [sys.executable, "-m", "l2obench", "--version"]
    said = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    assert said.strip() == f"l2obench {l2obench.__version__}"


def test_make_puts_links_where_git_made_text_files_of_them(tmp_path: Path) -> None:
    """As a git without symbolic links does it, on Windows and in some archives."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=lambda _, names: [n for n in names if "." not in n])
    package = tmp_path / "src" / "l2obench"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for room in ROOMS:
        (package / room).write_text(f"../../{room}")
    subprocess.run(["make", "links"], cwd=tmp_path, check=True, capture_output=True)
    for room in ROOMS:
        assert (package / room).is_symlink()
        assert (package / room / "__init__.py").samefile(tmp_path / room / "__init__.py")


@pytest.fixture(scope="module")
def files() -> set[Path]:
    """Every module once. Each tool walks the folders, or the links to them, and must not walk both."""
    own = [ROOT / "src" / "l2obench", *(ROOT / room for room in ROOMS)]
    return {path.resolve() for folder in own for path in folder.rglob("*.py")}


def test_each_file_is_seen_once_by_mypy(files: set[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from mypy.main import process_options

    monkeypatch.chdir(ROOT)
    sources, _ = process_options([])
    seen = [Path(source.path or "").resolve() for source in sources]
    assert sorted(seen) == sorted(files)
    assert all(source.module.split(".")[0] == "l2obench" for source in sources)


def test_each_file_is_seen_once_by_ruff(files: set[Path]) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--show-files", ROOT], check=True, capture_output=True, text=True
    )
    seen = [Path(line).resolve() for line in shown.stdout.splitlines() if line.endswith(".py")]
    assert len(seen) == len(set(seen))
    assert files <= set(seen)


def test_each_file_is_seen_once_by_coverage(files: set[Path], tmp_path: Path) -> None:
    script, data, found = tmp_path / "it.py", tmp_path / "data", tmp_path / "found.json"
    script.write_text("import l2obench\nl2obench.list_tasks()\n")
    coverage = [sys.executable, "-m", "coverage"]
    subprocess.run([*coverage, "run", f"--data-file={data}", script], cwd=ROOT, check=True)
    subprocess.run([*coverage, "json", "-q", f"--data-file={data}", "-o", found], cwd=ROOT, check=True)
    seen = [(ROOT / name).resolve() for name in json.loads(found.read_text())["files"]]
    assert sorted(seen) == sorted(files)
