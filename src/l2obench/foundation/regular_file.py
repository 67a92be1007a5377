"""Reading a file that someone else wrote: only a regular file, and never more bytes than its reader allows."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

# A FIFO without a writer would block `open` for ever. The flag has no effect on a regular file; Windows lacks it.
NONBLOCKING = getattr(os, "O_NONBLOCK", 0)
BINARY = getattr(os, "O_BINARY", 0)
KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


class FileRefused(ValueError):
    """A file that is missing, unreadable, not regular or too large. The message is one line without the file's name."""


def read_regular_file(path: Path, max_bytes: int) -> bytes:
    """Read all of a regular file, or refuse it in one line.

    Args:
        path: the file. A symbolic link is followed; what it leads to must be regular.
        max_bytes: the largest size that is read. The limit is checked before reading, and holds while reading too.

    Returns:
        The content.

    Raises:
        FileRefused: the file is missing, unreadable, too large, or a FIFO, device, socket or directory.

    Example:
        >>> read_regular_file(Path("/dev/null"), max_bytes=100)
        Traceback (most recent call last):
        ...
        l2obench.foundation.regular_file.FileRefused: it must be a regular file, got a character device
    """
    with open_regular_file(path, max_bytes) as file:
        try:
            # The size of a growing file, or of one in /proc, says nothing: one byte more shows that it is too large.
            content = file.read(max_bytes + 1)
        except OSError as error:
            raise FileRefused(f"it cannot be read: {error.strerror or error}") from error
    _require_size(len(content), max_bytes)
    return content


def open_regular_file(path: Path, max_bytes: int) -> BinaryIO:
    """Open a regular file for a reader that takes parts of it, or refuse it in one line.

    Args:
        path: the file. A symbolic link is followed; what it leads to must be regular.
        max_bytes: the largest size that is opened.

    Raises:
        FileRefused: as `read_regular_file` says.
    """
    try:
        # Before opening: opening some devices has effects (a tape rewinds, a terminal becomes the controlling one).
        _require_regular(path.stat().st_mode)
        file = os.fdopen(os.open(path, os.O_RDONLY | NONBLOCKING | BINARY), "rb")
    except OSError as error:
        raise FileRefused(f"it cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a NUL in the name, which `os.stat` refuses before the system sees it
        raise error if isinstance(error, FileRefused) else FileRefused(f"it cannot be read: {error}") from error
    try:
        # After opening as well: the name may lead to another file by now.
        status = os.fstat(file.fileno())
        _require_regular(status.st_mode)
        _require_size(status.st_size, max_bytes)
    except FileRefused:
        file.close()
        raise
    return file


def _require_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise FileRefused(f"it must be a regular file, got {KINDS.get(stat.S_IFMT(mode), 'something else')}")


def _require_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise FileRefused(f"it must have at most {max_bytes:,} bytes, got {size:,} or more")
