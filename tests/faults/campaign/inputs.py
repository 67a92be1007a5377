"""The kinds of inputs: each makes hostile files in a folder and says which commands are given them."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.faults.campaign.words import NAMES, NUMBERS, TEXTS, VALUES, damage, dump, exchange

Commands = list[list[str]]
RUN = ["run", "-t", "quadratic[dim=3,horizon=5]", "-o", "sgd", "-o", "adam", "--seeds", "2", "--no-timing"]
TRAIN = ["train", "lstm[hidden=2]", "-t", "quadratic[dim=2,horizon=4]", "--trajectories", "1", "--unroll", "2"]
TRAIN += ["--functions", "2", "--validation-functions", "2"]
COMMANDS = [
    "run",
    "report",
    "check",
    "targets",
    "updates",
    "train",
    "train-suite",
    "train-start",
    "import-weights",
    "list",
]
COMMANDS += ["info", "prepare", "test-plugin", "walk", ""]
# Options that compute for long where they are valid, and what would read the network, are left out.
OPTIONS = [
    "-t",
    "-o",
    "--seeds",
    "--out",
    "--suite",
    "--checkpoint",
    "--against",
    "--device",
    "--timeout",
    "--workers",
    "--memory",
]
OPTIONS += [
    "--resources",
    "--executor",
    "--recipe",
    "--unroll",
    "--functions",
    "--tolerance",
    "--time-limit",
    "--data-dir",
]
OPTIONS += [
    "--trained",
    "--seeds-at-once",
    "--lr",
    "--weighting",
    "--replicates",
    "--help",
    "--json",
    "--dry-run",
    "--version",
]


@dataclass(frozen=True)
class Good:
    """Good files that inputs are made from."""

    run: Path
    """A run of `RUN`, with a report's needs."""
    training: Path
    """A training of `TRAIN`."""


@dataclass(frozen=True)
class Kind:
    """A kind of inputs."""

    title: str
    """As the table names it."""
    make: Callable[[Path, Random, Good], Commands]
    """Makes the files of one input; gives the commands that are run on them."""
    share: int
    """Of 10,000 inputs."""
    prints: bool = False
    """Whether it may write to stderr itself, as a plugin that warns."""
    runs: bool = False
    """Whether a command goes on with the good run, whose rows must then be what they were."""


def arguments(folder: Path, rng: Random, good: Good) -> Commands:
    command = rng.choice(COMMANDS)
    given = [command]
    for _ in range(rng.randrange(5)):
        if rng.random() < 0.5:
            given.append(rng.choice(OPTIONS))
        given.append(rng.choice(NUMBERS if rng.random() < 0.3 else NAMES))
    # A valid suite or training would compute for minutes: these end before anything is computed.
    if command in ("run", "train", "train-suite", "train-start", "test-plugin", "updates", "prepare", "check"):
        given.append(rng.choice(["--no-such-option", "--help", "--device=none", "--seeds=x", "--data-dir"]))
    return [given]


def identities(folder: Path, rng: Random, good: Good) -> Commands:
    name = rng.choice(["adam", "sgd", "lstm", "quadratic", "mnist-mlp", "torch.optim.SGD", "velo", rng.choice(NAMES)])
    keys = [
        "lr",
        "beta1",
        "dim",
        "horizon",
        "checkpoint",
        "units",
        "layers",
        "hidden",
        "x",
        "1",
        "__class__",
        "name",
        "version",
    ]
    pairs = [
        f"{rng.choice(keys)}={rng.choice([*NUMBERS, *NAMES, 'true', 'null', '[1,2]'])}"
        for _ in range(rng.randrange(1, 4))
    ]
    identity = f"{name}[{','.join(pairs)}]"
    # A task of a given size may be large: one seed of it is never computed here.
    return [rng.choice([["info", identity], ["run", "-t", "quadratic[horizon=2]", "-o", identity, "--device", "none"]])]


TASKS = ["quadratic", "quadratic[horizon=5]", "mnist-mlp", "logistic", *TEXTS]
LINES: list[Callable[[Random], str]] = [
    lambda rng: f"seeds = {rng.choice(NUMBERS)}",
    lambda rng: f"tuning_seeds = {json.dumps(rng.choice(VALUES[:12]))}",
    lambda rng: f"tracks = {json.dumps(rng.sample(['default', 'tuned', 'x', ''], 2))}",
    lambda rng: f"optimizers = {json.dumps([rng.choice(TEXTS) for _ in range(rng.randrange(4))])}",
    lambda rng: f"include = {json.dumps([rng.choice([*TEXTS, 'it.toml', 'quick']) for _ in range(rng.randrange(3))])}",
    lambda rng: f"description = {json.dumps(rng.choice(TEXTS))}",
    lambda rng: f"checkpoints = {json.dumps(rng.choice([*TEXTS, '{0.__class__}', '{name}']))}",
    lambda rng: f"[[tasks]]\ntask = {json.dumps(rng.choice(TASKS))}",
    lambda rng: f"[[tasks]]\ntask = {rng.choice(NUMBERS)}",
    lambda rng: f"grid = {{ {rng.choice(['dim', 'x', 'horizon'])} = {list(range(rng.choice([0, 1, 3, 1000])))} }}",
    lambda rng: f"resources = {{ {rng.choice(['GPU', 'x'])} = {rng.choice(NUMBERS)} }}",
    lambda rng: (
        f"[[trainings]]\nname = {json.dumps(rng.choice([*TEXTS, '{lr}']))}\nrule = {json.dumps(rng.choice(TEXTS))}"
    ),
    lambda rng: f"settings = {{ {rng.choice(['lr', 'unroll', 'x'])} = {rng.choice(NUMBERS)} }}",
    lambda rng: f"[each_training]\nrule = {json.dumps(rng.choice(TEXTS))}",
    lambda rng: f"x = {'[' * rng.choice([1, 30, 2000])}",
    lambda rng: f"{'.'.join(['a'] * rng.choice([2, 50, 3000]))} = 1",
    lambda rng: f"halving = {rng.choice(['true', 'false', '1', 'yes'])}",
    lambda rng: rng.choice(["\0", "\ufeff", "=", "]", "#" + "x" * 3000, '"""', "[a", "a.b", "[tasks]", "parts = []"]),
]


def suites(folder: Path, rng: Random, good: Good) -> Commands:
    lines = [rng.choice(LINES)(rng) for _ in range(rng.randrange(1, 8))]
    text = "\n".join(['optimizers = ["sgd"]', *lines] if rng.random() < 0.5 else lines)
    content = text.encode("utf-8", "surrogatepass")
    (folder / "it.toml").write_bytes(damage(content, rng) if rng.random() < 0.3 else content)
    suite = [
        ["info", "it.toml"],
        ["train-suite", "it.toml", "--only", "no-such"],
        ["run", "it.toml", "--device", "none"],
    ]
    return [rng.choice(suite)]


def damaged_results(folder: Path, rng: Random, good: Good) -> Commands:
    shutil.copytree(good.run, folder / "it")
    place = rng.choice(["cells", "cells", "timing", "tuning", "manifest"])
    if place == "manifest":
        path = folder / "it" / "manifest.json"
        content = path.read_bytes()
        path.write_bytes(damage(content, rng) if rng.random() < 0.5 else dump(exchange(json.loads(content), rng)))
    elif files := sorted((folder / "it" / place).glob("*.parquet")):
        path = rng.choice(files)
        path.write_bytes(damage(path.read_bytes(), rng))
    return _readers(rng, good)


def odd_rows(folder: Path, rng: Random, good: Good) -> Commands:
    shutil.copytree(good.run, folder / "it")
    path = rng.choice(sorted((folder / "it" / "cells").glob("*.parquet")))
    table = pq.read_table(path)
    rows = table.to_pylist()
    schema = table.schema
    match rng.randrange(6):
        case 0:
            rows = rng.choice([[], rows * 2, rows[:1], rows[1:]])
        case 1:
            name = rng.choice(schema.names)
            schema = schema.remove(schema.get_field_index(name))
            rows = [{key: value for key, value in row.items() if key != name} for row in rows]
        case 2:
            place = rng.randrange(len(schema))
            field = schema.field(place)
            kind = rng.choice(
                [pa.string(), pa.int64(), pa.float64(), pa.list_(pa.string()), pa.struct({"a": pa.int8()})]
            )
            schema = schema.set(place, pa.field(field.name, kind))
            rows = [row | {field.name: None} for row in rows]
        case _:
            for row in rng.choice([rows, rows[:1]]):
                name = rng.choice(schema.names)
                row[name] = _odd_value(schema.field(name).type, rng)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return _readers(rng, good)


def _odd_value(kind: Any, rng: Random) -> Any:
    if pa.types.is_string(kind):
        texts = [*TEXTS, None, "null", "[]", '{"lr": NaN}', '{"lr": "x"}', "[" * 2000, "{}", "ok", "weird"]
        first, second = rng.choice(texts), None
        if first:
            second = rng.choice(texts)
        return None if second is None else second.encode("utf-8", "replace").decode()
    if pa.types.is_integer(kind):
        return rng.choice([None, -1, 0, 1, 2**31, 2**62])
    if pa.types.is_boolean(kind):
        return rng.choice([None, True, False])
    numbers = [None, 0.0, -1.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"), -float("inf")]
    if pa.types.is_list(kind):
        return rng.choice([None, [], [1.0], [rng.choice(numbers)] * 6, [float("nan")] * 6, [1.0] * 500])
    return rng.choice(numbers)


def _readers(rng: Random, good: Good) -> Commands:
    readers = [
        ["info", "it"],
        ["targets", "it"],
        ["check", "it", str(good.run)],
        ["check", str(good.run), "it", "--json"],
    ]
    return [rng.choice(readers)]


def foreign_checkpoints(folder: Path, rng: Random, good: Good) -> Commands:
    content = (good.training / "checkpoint.safetensors").read_bytes()
    (folder / "it.safetensors").write_bytes(_damaged_tensors(content, rng))
    return [["info", "lstm[checkpoint=it.safetensors]"]]


def foreign_states(folder: Path, rng: Random, good: Good) -> Commands:
    shutil.copytree(good.training, folder / "it")
    path = folder / "it" / "state.safetensors"
    path.write_bytes(_damaged_tensors(path.read_bytes(), rng))
    return [[*TRAIN, "--out", "it"]]


def _damaged_tensors(content: bytes, rng: Random) -> bytes:
    if rng.random() < 0.4:
        return damage(content, rng)
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    if rng.random() < 0.3:
        header = exchange(header, rng)
    else:
        ((key, text),) = header["__metadata__"].items()
        header["__metadata__"] = {key: json.dumps(exchange(json.loads(text), rng))}
    new = dump(header)
    return rng.choice([len(new), len(new), len(new), 2**63, 0]).to_bytes(8, "little") + new + content[8 + length :]


def special_files(folder: Path, rng: Random, good: Good) -> Commands:
    shutil.copytree(good.run, folder / "it")
    places = [
        "x.toml",
        "x.py",
        "x.safetensors",
        "x.parquet",
        "it/manifest.json",
        "it/.lock",
        "it/cells",
        "t/state.safetensors",
    ]
    places += [
        str(path.relative_to(good.run.parent)).replace("run/", "it/", 1) for path in sorted(good.run.rglob("*.parquet"))
    ]
    path = folder / rng.choice(places)
    path.parent.mkdir(exist_ok=True)
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    match rng.randrange(6):
        case 0:
            os.mkfifo(path)
        case 1:
            path.symlink_to(rng.choice(["/dev/zero", "/dev/null", "/dev/random", "/proc/self/mem", "/dev/tty"]))
        case 2:
            path.mkdir()
        case 3:
            path.symlink_to(path.name)
        case 4:
            path.symlink_to("nowhere")
        case 5:
            with path.open("wb") as file:
                file.truncate(rng.choice([0, 1, 2**33, 2**40]))
    name = path.name
    if path.parent.name in ("it", "cells", "timing", "tuning"):
        return _readers(rng, good)
    return {
        "x.toml": [["info", name], ["train-suite", name]],
        "x.py": [["run", "-t", "quadratic", "-o", f"./{name}:Mine", "--device", "none"]],
        "x.safetensors": [["info", f"lstm[checkpoint={name}]"], ["import-weights", name, "y.safetensors"]],
        "x.parquet": [["check", name, str(good.run)]],
        "state.safetensors": [[*TRAIN, "--out", "t"]],
    }[name]


BODIES = [
    "", "pass", "import sys\nsys.exit({n})", "raise SystemExit", "raise KeyboardInterrupt", "raise {e}({t})",
    "print({t})", "1/0", "def f(:", "import no_such_module", "from {m} import Mine",
    "import warnings\nwarnings.warn({t})", "import logging\nlogging.error({t})",
    "import torch\ntorch.set_default_dtype(torch.float64)", "import os\nos.environ.clear()",
    "import random\nrandom.seed(0)", "\0", "class Mine: pass", "Mine = {n}", "def Mine(): pass",
    "class Mine(BaseException): pass", "x = {t} * 1000", "raise MemoryError", "raise RecursionError",
    "def f(): f()\nf()", "import sys\nsys.stdout.write({t})", "import sys\nsys.stderr.write({t})",
    "import os\nos._exit({n})", "import os\nos.abort()", "import ctypes\nctypes.string_at(0)",
    "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)", "import os\nos.execv('/bin/false', ['false'])",
    "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)", "import os\nos.chdir('/')",
    "import os\nos.umask(63)",
    "import sys\nsys.stdout.close()\nsys.stderr.close()", "import os\nos.close(1)\nos.close(2)",
    "import subprocess\nsubprocess.Popen(['sleep', '60'])", "import gc, sys\ngc.disable()\nsys.path.clear()",
]  # fmt: skip
CLASSES = [
    "", "class Mine(SGD): pass", "class Mine(SGD):\n    lr: float = {n}", "class Mine(SGD):\n    version = {n}",
    "class Mine(SGD):\n    name = {t}", "class Mine(SGD):\n    x: object = object()", "class Mine(SGD):\n    x: int",
    "class Mine(SGD):\n    def __init__(self, **k): raise {e}({t})",
    "class Mine(SGD):\n    @property\n    def meta_parameters(self): raise {e}({t})",
    "class Mine(SGD):\n    def model_post_init(self, c): raise {e}({t})", "class Mine(SGD):\n    __doc__ = {t}",
    "class Mine(SGD):\n    tunable = {t}", "class Mine(SGD):\n    def __repr__(self): raise {e}({t})",
    "class Mine(SGD):\n    def __eq__(self, other): raise {e}({t})",
    "class Mine(SGD):\n    def __getattribute__(self, name): raise {e}({t})",
]  # fmt: skip
ERRORS = [
    "ValueError",
    "KeyError",
    "SystemExit",
    "KeyboardInterrupt",
    "OSError",
    "UnicodeError",
    "GeneratorExit",
    "RuntimeError",
    "StopIteration",
]


def plugins(folder: Path, rng: Random, good: Good) -> Commands:
    text = rng.choice(BODIES) + "\nfrom l2obench.optimizers.designed.sgd import SGD\n" + rng.choice(CLASSES)
    name = f"p{rng.randrange(10**9)}"
    for key, value in (
        ("n", rng.choice(NUMBERS[:8])),
        ("e", rng.choice(ERRORS)),
        ("t", repr(rng.choice(TEXTS))),
        ("m", name),
    ):
        text = text.replace(f"{{{key}}}", value)
    content = text.encode("utf-8", "replace")
    (folder / f"{name}.py").write_bytes(damage(content, rng) if rng.random() < 0.1 else content)
    identity = rng.choice(
        [
            f"./{name}.py:Mine",
            f"./{name}.py:Mine[lr={rng.choice(NUMBERS)}]",
            f"./{name}.py",
            f"./{name}.py:{rng.choice(NAMES)}",
        ]
    )
    return [rng.choice([["info", identity], ["run", "-t", "quadratic[horizon=2]", "-o", identity, "--device", "none"]])]


def going_on(folder: Path, rng: Random, good: Good) -> Commands:
    """The run goes on in a folder of which something was taken or damaged: what it gives is right, or it refuses."""
    shutil.copytree(good.run, folder / "it")
    files = [path for path in sorted((folder / "it").rglob("*")) if path.is_file()]
    for path in rng.sample(files, rng.randrange(1, len(files))):
        path.unlink() if rng.random() < 0.8 else path.write_bytes(damage(path.read_bytes(), rng))
    return [[*RUN, "--out", "it"]]


def texts_in_reports(folder: Path, rng: Random, good: Good) -> Commands:
    shutil.copytree(good.run, folder / "it")
    for path in (folder / "it" / "cells").glob("*.parquet"):
        table = pq.read_table(path)
        text = rng.choice(TEXTS).encode("utf-8", "replace").decode() or "x"
        rows = [
            row | dict.fromkeys(rng.sample(["optimizer", "task", "reason", "checkpoint_sha256"], 2), text)
            for row in table.to_pylist()
        ]
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    return [["report", "it"]]


KINDS = {
    "arguments": Kind("arguments of any command", arguments, 2500),
    "identities": Kind("names and parameters of tasks and optimizers", identities, 1200),
    "suites": Kind("suites", suites, 2000),
    "results": Kind("damaged Parquet files and manifests", damaged_results, 1300),
    "rows": Kind("rows of any shape and value", odd_rows, 1200),
    "checkpoints": Kind("damaged and foreign checkpoints", foreign_checkpoints, 800),
    "special": Kind("FIFOs, devices, directories, links, files of terabytes", special_files, 400),
    "plugins": Kind("plugins that raise, print, exit or lie when imported", plugins, 500, prints=True),
    "states": Kind("damaged states of trainings", foreign_states, 40),
    "going-on": Kind("a run goes on in a damaged folder", going_on, 40, runs=True),
    "reports": Kind("hostile text in reports", texts_in_reports, 10),
}
"""The kinds by their short names; shares add up to a little more than 10,000."""
