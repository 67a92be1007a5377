"""A class out of a user's file, `./mine.py:MyTask`, which lies in no package."""

import ast
import importlib.machinery
import importlib.util
import os
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from l2obench.foundation.errors import describe_error
from l2obench.foundation.names import explain_unknown
from l2obench.foundation.regular_file import FileRefused, read_regular_file

# 16 MiB. No source is so long; a data file that is named by mistake is refused.
MAX_BYTES = 2**24
_NAMED = re.compile(r"(?P<path>.*\.py)(?::(?P<attribute>.*))?", re.DOTALL)

_loaded: dict[Path, tuple[bytes, ModuleType]] = {}


class PluginFileError(ValueError):
    """A file that cannot be read or imported, or that does not have the class."""

    exit_code = 2


class _SourceLoader(importlib.machinery.SourceFileLoader):
    """Always from the source: a cached program is taken for that of a file that was edited in the same second."""

    def get_code(self, fullname: str) -> Any:
        return self.source_to_code(self.get_data(self.path), self.path)


def names_file(name: str) -> bool:
    """Say whether a name is that of a file, and not one of a registry or a module.

    Args:
        name: of a task or an optimizer.

    Example:
        >>> names_file("./mine.py:MyTask"), names_file("quadratic")
        (True, False)
    """
    return _NAMED.fullmatch(name) is not None


def format_file_name(name: str) -> str:
    """Give the one spelling of a name: `./mine.py:MyTask` below the working directory, an absolute path elsewhere.

    Args:
        name: the path of a file, with or without `:Class`.

    Example:
        >>> format_file_name("models/../mine.py:MyTask")
        './mine.py:MyTask'
    """
    path, attribute = _split(name)
    absolute = Path(os.path.abspath(path.expanduser()))
    here = Path.cwd()
    spelled = f"./{absolute.relative_to(here).as_posix()}" if absolute.is_relative_to(here) else absolute.as_posix()
    return f"{spelled}:{attribute}" if attribute else spelled


def edition(name: str) -> str:
    """Tell one state of a file from another, to import it again where it was edited; empty for what names no file.

    Args:
        name: of a task or an optimizer.

    Example:
        >>> edition("quadratic"), edition("./not/there.py:Mine")
        ('', '')
    """
    if not names_file(name):
        return ""
    try:
        found = _split(name)[0].expanduser().stat()
    except (OSError, ValueError, RuntimeError):
        return ""
    return f" {found.st_mtime_ns} {found.st_size}"


def load_class(name: str) -> type[Any]:
    """Import the class that `path.py:Name` names. A file that was edited since is imported again.

    Args:
        name: the path of a file and the class in it; `~` stands for the home folder.

    Raises:
        PluginFileError: there is no such file or class, or importing it failed; the message says where.
    """
    path, attribute = _split(name)
    path = Path(os.path.abspath(path.expanduser()))
    try:
        content = read_regular_file(path, MAX_BYTES)
    except FileRefused as error:
        raise PluginFileError(f"{name!r}: {path}: {error}") from error
    if not attribute:
        classes = _classes(content)
        raise PluginFileError(f"{name!r} must name a class. Try: {name}:{classes[0] if classes else 'MyTask'}")
    module = _module(name, path, content)
    try:
        found: type[Any] = getattr(module, attribute)
    except AttributeError:
        message = explain_unknown("class", attribute, _classes(content) or ["none"])
        raise PluginFileError(f"{name!r}: in {path}, {message}") from None
    return found


def _split(name: str) -> tuple[Path, str]:
    found = _NAMED.fullmatch(name)
    assert found is not None
    return Path(found["path"]), found["attribute"] or ""


def _classes(content: bytes) -> list[str]:
    try:
        return [node.name for node in ast.parse(content).body if isinstance(node, ast.ClassDef)]
    except (SyntaxError, ValueError):
        return []


def _module(name: str, path: Path, content: bytes) -> ModuleType:
    """The file's module, imported again where the file was edited."""
    if path in _loaded and _loaded[path][0] == content:
        return _loaded[path][1]
    if (folder := str(path.parent)) not in sys.path:
        sys.path.append(folder)  # where its neighbours are looked for last, as the working directory is
    title = _module_name(path)
    loader = _SourceLoader(title, str(path))
    spec = importlib.util.spec_from_file_location(title, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(title)
    sys.modules[title] = module  # a dataset of the file's is found there by the workers of a DataLoader
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(title)
        if before is not None:
            sys.modules[title] = before
        raise PluginFileError(
            f"{name!r}: importing {path} failed{_line(error, path)}: {describe_error(error)}"
        ) from error
    _loaded[path] = content, module
    return module


def _module_name(path: Path) -> str:
    """The file's own name, by which other processes find it too; with a prefix where that is another module's."""
    title = path.stem
    known = sys.modules.get(title)
    if known is not None:
        return title if getattr(known, "__file__", None) == str(path) else f"l2obench_file_{title}"
    try:
        found = importlib.util.find_spec(title) if title.isidentifier() else None
    except (ImportError, ValueError):
        found = None
    return title if found is not None and found.origin == str(path) else f"l2obench_file_{title}"


def _line(error: BaseException, path: Path) -> str:
    """Where in the file."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f" at line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f" at line {lines[-1]}" if lines else ""
