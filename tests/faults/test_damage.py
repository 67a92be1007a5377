"""Damaged, foreign and hostile files, ten thousand of them: one line that names the file, nothing deleted.

Each input is a good file that was cut, overwritten, filled with other bytes, or had values of its JSON exchanged. What
is not refused must be as good as a good one: it is used as the engine uses it.
"""

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from l2obench.bench.config.recipe import make_recipe
from l2obench.bench.config.registry import optimizer_registry
from l2obench.bench.config.suite import load_suite, make_suite
from l2obench.bench.metatrain.session import Session
from l2obench.bench.run.manifest import make_manifest
from l2obench.bench.run.runner import Runner
from l2obench.bench.store.results_file import read_file
from l2obench.bench.store.run_folder import RunFolder
from l2obench.bench.store.schemas import SCHEMAS
from l2obench.reports.reading import _plan
from l2obench.reports.sections.environment import about
from tests.processes import command

pytestmark = pytest.mark.slow
INPUTS = int(os.environ.get("INPUTS", "2500"))  # of each of five kinds
RECIPE = {
    "task": "quadratic[dim=3,horizon=20]",
    "optimizer": "lstm[hidden=6,output_scale=1,preprocessing=none]",
    "functions": 4,
    "unroll": 10,
    "trajectories": 2,
    "validate_every": 1,
    "validation_functions": 4,
}
SUITE = """description = "a suite"
seeds = 2
optimizers = ["sgd"]
[[tasks]]
task = "quadratic[horizon=5]"
grid = { dim = [3, 4] }
"""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good file of each kind."""
    folder = tmp_path_factory.mktemp("good")
    cells = make_suite("test", {"seeds": 2, "optimizers": ["sgd"], "tasks": [{"task": "quadratic[horizon=5]"}]}).cells()
    Runner(RunFolder(folder / "run"), cells).execute({"suite": "test"})
    Session(folder / "training", make_recipe(RECIPE)).run()
    (folder / "suite.toml").write_text(SUITE)
    return folder


def cut(content: bytes) -> st.SearchStrategy[bytes]:
    return st.integers(0, len(content)).map(lambda end: content[:end])


def overwritten(content: bytes) -> st.SearchStrategy[bytes]:
    def write(changes: list[tuple[int, bytes]]) -> bytes:
        changed = bytearray(content)
        for place, new in changes:
            changed[place : place + len(new)] = new
        return bytes(changed)

    place = st.integers(0, max(0, len(content) - 1)) | st.integers(0, min(400, len(content) - 1))
    return st.lists(st.tuples(place, st.binary(min_size=1, max_size=8)), min_size=1, max_size=4).map(write)


def damaged(content: bytes) -> st.SearchStrategy[bytes]:
    """Cut, overwritten, lengthened or something else altogether."""
    other = st.binary(max_size=200) | st.just(b"") | st.text(max_size=50).map(str.encode)
    longer = st.binary(min_size=1, max_size=50).map(lambda more: content + more)
    return cut(content) | overwritten(content) | longer | other


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just([]) | st.just({})


@st.composite
def exchanged(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value with something in it exchanged."""
    if isinstance(value, dict) and value and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(value)))
        return value | {key: draw(exchanged(value[key]))}
    if isinstance(value, list) and value and draw(st.integers(0, 5)):
        return [draw(exchanged(value[0])), *value[1:]]
    return draw(VALUES)


def raised_by(use: Callable[[], object]) -> Exception | None:
    try:
        use()
    except Exception as error:
        return error
    return None


def survives(path: Path, content: bytes, use: Callable[[], object]) -> None:
    """What is raised is meant for a user, in one line that names the file; the file is what it was."""
    path.write_bytes(content)
    neighbours = sorted(path.parent.iterdir())
    raised = raised_by(use)
    assert raised is None or getattr(raised, "exit_code", None) == 2, repr(raised)
    assert len(str(raised)) < 3000, str(raised)[:300]  # the command line makes it one line; it may be no page
    assert path.read_bytes() == content
    assert sorted(path.parent.iterdir()) == neighbours


thorough = settings(
    max_examples=INPUTS, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)


def test_parquet(good: Path, tmp_path: Path) -> None:
    (cell,) = (good / "run" / "cells").glob("*default*.parquet")
    content, run = cell.read_bytes(), RunFolder(tmp_path)
    (tmp_path / "cells").mkdir()

    @thorough
    @given(changed=damaged(content))
    def check(changed: bytes) -> None:
        path = tmp_path / "cells" / "it.parquet"
        survives(path, changed, lambda: read_file(path, "cells"))
        survives(path, changed, lambda: run.is_finished("cells", "it", {}))

    check()


def test_manifest(good: Path, tmp_path: Path) -> None:
    content = (good / "run" / "manifest.json").read_bytes()
    run, path = RunFolder(tmp_path), tmp_path / "manifest.json"
    cells = make_suite("test", {"seeds": 2, "optimizers": ["sgd"], "tasks": [{"task": "quadratic"}]}).cells()

    def use() -> None:
        run.require_run_or_empty()
        found = run.manifest
        about(found), _plan(found)
        make_manifest(run, {}, cells, {}, "cpu")

    @thorough
    @given(changed=damaged(content) | exchanged(json.loads(content)).map(lambda value: json.dumps(value).encode()))
    def check(changed: bytes) -> None:
        survives(path, changed, use)

    check()


def with_metadata(content: bytes) -> tuple[dict[str, Any], Callable[[Any], bytes]]:
    """The JSON of a safetensors file's header, and what puts another in its place."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    (key,) = header["__metadata__"]

    def put(value: Any) -> bytes:
        new = json.dumps({**header, "__metadata__": {key: json.dumps(value)}}).encode()
        return len(new).to_bytes(8, "little") + new + content[8 + length :]

    return json.loads(header["__metadata__"][key]), put


def test_checkpoint(good: Path, tmp_path: Path) -> None:
    content = (good / "training" / "checkpoint.safetensors").read_bytes()
    path = tmp_path / "it.safetensors"
    inside, put = with_metadata(content)

    @thorough
    @given(changed=damaged(content) | exchanged(inside).map(put))
    def check(changed: bytes) -> None:
        survives(path, changed, lambda: optimizer_registry().create(f"lstm[checkpoint={path}]"))

    check()


def test_state(good: Path, tmp_path: Path) -> None:
    content = (good / "training" / "state.safetensors").read_bytes()
    path = tmp_path / "state.safetensors"
    inside, put = with_metadata(content)

    @thorough
    @given(changed=damaged(content) | exchanged(inside).map(put))
    def check(changed: bytes) -> None:
        survives(path, changed, lambda: Session(tmp_path, make_recipe(RECIPE)))

    check()


def test_suite(tmp_path: Path) -> None:
    path = tmp_path / "it.toml"
    path.write_text(SUITE)

    @thorough
    @given(changed=damaged(SUITE.encode()))
    def check(changed: bytes) -> None:
        survives(path, changed, lambda: load_suite(str(path)).cells())

    check()


def in_little_memory() -> None:
    """A gigabyte more than is in use now, and not a byte beyond."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, used + 2**30))


def sparse(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)


def absurd_header(path: Path, length: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(length.to_bytes(8, "little") + b"{}")


def absurd_shape(path: Path) -> None:
    header = {"w": {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 2**62]}}
    content = json.dumps({**header, "__metadata__": {"l2obench": "{}", "l2obench-training": "{}"}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(content).to_bytes(8, "little") + content)


def bomb(path: Path) -> None:
    """Ten billion equal numbers in a few thousand bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent.parent / "manifest.json").write_text('{"format": 1}')
    schema = SCHEMAS["cells"]
    rows = [dict.fromkeys(schema.names) | {"loss": [1.0] * 10**6} for _ in range(10)]
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        table = pa.Table.from_pylist(rows, schema=schema)
        for _ in range(100):
            writer.write_table(table)


ABSURD: list[tuple[str, Callable[[Path], object], list[str]]] = [
    ("c.safetensors", lambda path: sparse(path, 2**43), ["info", "lstm[checkpoint=c.safetensors]"]),
    ("c.safetensors", lambda path: absurd_header(path, 2**63), ["info", "lstm[checkpoint=c.safetensors]"]),
    ("c.safetensors", absurd_shape, ["info", "lstm[checkpoint=c.safetensors]"]),
    ("t/state.safetensors", lambda path: sparse(path, 2**43), ["train", "lstm", "-t", "quadratic", "--out", "t"]),
    (
        "t/state.safetensors",
        lambda path: absurd_header(path, 2**63),
        ["train", "lstm", "-t", "quadratic", "--out", "t"],
    ),
    ("t/state.safetensors", absurd_shape, ["train", "lstm", "-t", "quadratic", "--out", "t"]),
    ("r/manifest.json", lambda path: sparse(path, 2**43), ["report", "r"]),
    ("s.toml", lambda path: sparse(path, 2**43), ["run", "s.toml"]),
    ("r/cells/bomb.parquet", bomb, ["report", "r"]),
]


@pytest.mark.parametrize(("name", "make", "arguments"), ABSURD)
def test_absurd_sizes_take_no_memory(
    tmp_path: Path, name: str, make: Callable[[Path], object], arguments: list[str]
) -> None:
    make(tmp_path / name)
    code, errors = command(*arguments, folder=tmp_path, first=in_little_memory)
    assert code == 2, errors
    assert errors.count("\n") == 1
    assert Path(name).name in errors


def test_results_of_a_newer_version_are_refused_untouched(good: Path, tmp_path: Path) -> None:
    newer = json.loads((good / "run" / "manifest.json").read_text()) | {"format": 2}
    (tmp_path / "it").mkdir()
    (tmp_path / "it" / "manifest.json").write_text(json.dumps(newer))
    before = (tmp_path / "it" / "manifest.json").read_bytes()
    for force in ([], ["--force"]):
        code, errors = command("run", "-t", "quadratic", "-o", "sgd", "--out", "it", *force, folder=tmp_path)
        assert code == 2
        assert errors.count("\n") == 1
        assert "it must be of format 1, got results of format 2. Try: the version that wrote it" in errors
    assert [path.name for path in (tmp_path / "it").iterdir()] == ["manifest.json"]
    assert (tmp_path / "it" / "manifest.json").read_bytes() == before
