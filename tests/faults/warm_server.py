"""A process that has everything imported and forks commands on request: each is a real process, within milliseconds.

Requests and answers are lines of JSON. `WarmServer` is the client; `python -m tests.faults.warm_server` the server.
"""

import contextlib
import dataclasses
import importlib
import io
import json
import os
import pkgutil
import resource
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
# Rooms whose modules the commands import when they are asked for.
PRELOADED = ("foundation", "tasks", "optimizers", "bench", "reports", "api")
# Needed by clusters and by workers of clusters only; they start threads, which no fork survives.
LEFT_OUT = (".dask", "process_group", ".studies", "__main__")
SECONDS_BETWEEN_LOOKS = 0.005
LIMIT_SECONDS = 10.0
MOST_TIMES_THE_LIMIT = 12
HANG = "hang"


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a command ended."""

    code: int | str
    """Its exit code, minus the signal that ended it, or `hang`: it was killed at its limit."""
    seconds: float
    out: str
    err: str


class WarmServer:
    """Starts commands in forks of one process.

    Args:
        folder: an empty folder, where each command runs and its output is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", "OMP_NUM_THREADS": "1"}
        # Without HOME in the campaign's folder, a plugin that writes there would write into the user's.
        environment |= {"PYTHONDONTWRITEBYTECODE": "1", "MPLBACKEND": "agg"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.warm_server"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._receive()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def run(self, *arguments: str, limit: float = LIMIT_SECONDS, **surroundings: Any) -> Ending:
        """Run a command to its end.

        Args:
            arguments: of `l2obench`.
            limit: seconds of work, or of waiting without work, after which it is killed and called a hang.
            surroundings: `encoding` of its streams, `errors`, `umask`, `file_bytes` and `memory_bytes` as limits,
                `environment` (values, None to delete), `terminal` (bool), `signal` and `after` (seconds).
        """
        request = {"arguments": arguments, "folder": str(self.folder), "limit": limit, **surroundings}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._receive()
        out, err = ((self.folder / name).read_bytes().decode(errors="replace") for name in ("out", "err"))
        return Ending(answer["code"], answer["seconds"], out, err)

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the warm server ended with exit code {self._process.wait()}")
        return dict(json.loads(line))


def preload() -> None:
    """Import all modules that commands use."""
    import matplotlib

    matplotlib.use("agg")
    for room in PRELOADED:
        package = importlib.import_module(f"l2obench.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not any(part in module.name for part in LEFT_OUT):
                importlib.import_module(module.name)
    for name in ("matplotlib.pyplot", "pandas", "scipy.stats", "rich.progress", "vl_convert", "PIL.Image"):
        importlib.import_module(name)


def serve() -> None:
    """Answer one request after the other, until standard input ends."""
    # Children write to the descriptors of theirs; this one is for answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    preload()
    print("{}", file=answers)
    for line in sys.stdin:
        print(json.dumps(_run(json.loads(line))), file=answers)


def _run(request: dict[str, Any]) -> dict[str, Any]:
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _command(request)
    limit, sent = request["limit"], False
    worked, since = 0.0, began
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        now = time.monotonic()
        if ended:
            return {"code": os.waitstatus_to_exitcode(status), "seconds": now - began}
        if "signal" in request and not sent and now - began >= request["after"]:
            sent = True
            os.kill(child, request["signal"])
        if (used := _processor_seconds(child)) > worked:
            worked, since = used, now
        # On a busy machine a command that works may wait long for a processor.
        if worked > limit or now - since > limit or now - began > MOST_TIMES_THE_LIMIT * limit:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return {"code": HANG, "seconds": now - began}
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _processor_seconds(process: int) -> float:
    """Of a process and its children that have ended."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _command(request: dict[str, Any]) -> None:
    """The child: set up as asked, then the command as its entry point runs it. Does not return."""
    code = 70
    try:
        os.setsid()
        os.chdir(request["folder"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for descriptor, name in ((1, "out"), (2, "err")):
            where = request.get(name, name)
            os.dup2(os.open(where, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), descriptor)
        # By these names too: the command puts others in their place, and files that nobody holds would be closed.
        sys.stdout = sys.__stdout__ = _stream(1, request, "strict")
        sys.stderr = sys.__stderr__ = _stream(2, request, "backslashreplace")
        os.umask(request.get("umask", 0o022))
        for name, value in request.get("environment", {}).items():
            os.environ.pop(name, None)
            os.environ.update({} if value is None else {name: value})
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if "file_bytes" in request:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_bytes"],) * 2)
        if "memory_bytes" in request:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + request["memory_bytes"],) * 2)
        sys.argv = ["l2obench", *request["arguments"]]
        sys.path[:] = [path for path in sys.path if path not in ("", str(ROOT))]
        from l2obench.bench.commands.cli import main

        main()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _stream(descriptor: int, request: dict[str, Any], errors: str) -> io.TextIOWrapper:
    encoding = request.get("encoding", "utf-8")
    return io.TextIOWrapper(os.fdopen(descriptor, "wb"), encoding=encoding, errors=errors, line_buffering=True)


if __name__ == "__main__":
    serve()
