"""The SHA-256 of files, by which a manifest names data and a download is checked."""

import hashlib
from pathlib import Path


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal.

    Args:
        path: the file, of any size: it is read in pieces.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
