"""Standard output and error that stop no command: what cannot be written there is dropped, and said at the end."""

import errno
import io
import sys
from typing import Any

# The reader of a pipe has ended (`| head`), or the terminal was closed: nobody waits for the rest.
NOBODY_READS = {errno.EPIPE, errno.EIO, errno.EBADF}


class _UnfailingFile(io.FileIO):
    """A file that takes everything; from the first failure on it writes nothing more."""

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        if self.failure is None:
            try:
                return super().write(data) or 0
            except OSError as error:
                self.failure = error
        return len(data)


def protect_streams() -> None:
    """Exchange `sys.stdout` and `sys.stderr` for streams whose writes never raise.

    A character that their encoding lacks is written with a backslash. A stream that is no file of the system, as a
    test's, stays what it is.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            stream.flush()
            raw = _UnfailingFile(stream.fileno(), "wb", closefd=False)
        except (AttributeError, OSError, ValueError):
            continue
        unfailing = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=stream.encoding,
            errors="backslashreplace",
            line_buffering=stream.line_buffering or name == "stderr",
        )
        setattr(sys, name, unfailing)


def lost_output() -> str | None:
    """Say why standard output could not be written; None where it was, or where nobody reads it."""
    try:
        sys.stdout.flush()
        raw = getattr(sys.stdout.buffer, "raw", None)
    except (AttributeError, OSError, ValueError):
        return None
    failure = raw.failure if isinstance(raw, _UnfailingFile) else None
    if failure is None or failure.errno in NOBODY_READS:
        return None
    return f"standard output cannot be written: {failure.strerror}. The command's work is done"
