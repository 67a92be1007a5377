"""Files that are there as a whole or not at all, and folders that one process at a time may change."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

LOCK = ".lock"
TEMPORARY = ".part"
# What network file systems answer that know no locks, or whose lock service is down.
NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


def write_atomically(path: Path, content: bytes) -> None:
    """Write all of a file or nothing: beside its place, flushed to the disk, renamed.

    Args:
        path: the file; its folder exists.
        content: what it is to hold.

    Raises:
        OSError: it could not be written; what was there before is untouched.
    """
    temporary = path.parent / f".{secrets.token_hex(8)}{TEMPORARY}"
    # Not by mkstemp, whose files only their owner can read: here the user's umask decides.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            # Without it, a crash of the machine after the rename could leave an empty file under the final name.
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold a folder's lock: another process that asks for it waits until this one leaves the block or ends.

    The lock is an empty file, which stays: removing it would let two processes hold locks of the same name. Where the
    file system knows no locks, the block runs without one.

    Args:
        folder: an existing folder.

    Raises:
        OSError: the file of the lock cannot be made.
    """
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(FileLock(folder / LOCK))
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield
