"""What a plugin's class was made from: a hash of its module and of what it imports of its own package, or a version."""

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import ModuleType
from typing import Any

from l2obench.foundation.regular_file import FileRefused, read_regular_file

# A source file that is longer is hashed as one that cannot be read.
MAX_BYTES = 2**24
# A package with more is cut off here: each file is read and hashed before a run begins.
MAX_FILES = 10_000


def source_of(cls: type[Any]) -> str:
    """Whatever decides what the code of a class does, as far as it can be known.

    Args:
        cls: a class of a plugin.

    Returns:
        `package 1.2` for an installed package, whose version stands for its code; else `sha256:…` of the class's
        module and of all modules of the same package that it imports, and they in turn; for a file outside any
        package, of its neighbours that it imports.
    """
    module = sys.modules.get(cls.__module__)
    return "unknown" if module is None else _source(module)


@lru_cache(maxsize=256)
def _source(module: ModuleType) -> str:
    """Of a module as it was when it was first asked for: nearest to what was imported."""
    file = getattr(module, "__file__", None)
    if file is None:
        return "unknown"  # made in an interactive session
    top = module.__name__.partition(".")[0]
    if _is_installed(Path(file)) and (owners := _owners_of_packages().get(top)):
        return ", ".join(f"{owner} {version(owner)}" for owner in sorted(set(owners)))
    inside = module.__name__.count(".") + (Path(file).name == "__init__.py")
    root = Path(file).resolve().parents[inside]
    package = top if inside else None
    return f"sha256:{_digest(Path(file).resolve(), root, package)}"


def _digest(first: Path, root: Path, package: str | None) -> str:
    todo, found = [first], dict[Path, bytes]()
    while todo and len(found) < MAX_FILES:
        path = todo.pop()
        if path not in found:
            found[path] = content = _content(path)
            todo += _imported(path, content, root, package)
    digest = hashlib.sha256()
    for path in sorted(found):
        digest.update(f"{path.relative_to(root).as_posix()} {hashlib.sha256(found[path]).hexdigest()}\n".encode())
    return digest.hexdigest()


def _content(path: Path) -> bytes:
    """A file as it stands; of one that cannot be read, why. It is then another source once it can."""
    try:
        return read_regular_file(path, MAX_BYTES)
    except FileRefused as error:
        return str(error).encode()


def _imported(path: Path, content: bytes, root: Path, package: str | None) -> Iterator[Path]:
    """Files of the same package that a file imports anywhere; without a package, of the same folder."""
    here = path.relative_to(root).with_suffix("").parts
    try:
        tree = ast.parse(content)
    # A neighbour that is no Python of this version is imported by nobody who goes on without it; its bytes are hashed.
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        names: list[tuple[str, ...]] = []
        if isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = here[: len(here) - node.level] if node.level else ()
            base = (*above, *(node.module or "").split(".")) if node.module else above
            names = [base, *((*base, alias.name) for alias in node.names)]
        for parts in names:
            if parts and (package is None or parts[0] == package):
                yield from _files(root, parts)


def _files(root: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    """The files of a module, those of its packages first."""
    for count in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:count])
        for file in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
            if file.is_file():
                yield file


def _is_installed(file: Path) -> bool:
    return any(file.resolve().is_relative_to(folder) for folder in _site_folders())


@lru_cache(maxsize=1)
def _owners_of_packages() -> Mapping[str, list[str]]:
    """The distributions of each installed package; reading all of them takes a third of a second."""
    return packages_distributions()


@lru_cache(maxsize=1)
def _site_folders() -> tuple[Path, ...]:
    return tuple({Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib")})
