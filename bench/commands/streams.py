"""Standard output and error that stop no command, and let no escape code from outside reach a terminal.

What cannot be written is dropped, and said at the end.
"""

import errno
import io
import sys
from typing import Any, TextIO

from l2obench.foundation.plain_text import escape_controls

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


class _PlainStream(io.TextIOWrapper):
    """Text whose control characters are escaped: names and messages may come from anywhere."""

    @property
    def with_controls(self) -> "_WithControls":
        """The same stream for a library that draws with escape codes of its own."""
        return _WithControls(self)

    def write(self, text: str, /) -> int:
        super().write(escape_controls(text))
        return len(text)

    def close(self) -> None:
        """Stay open: foreign code may close what it takes for its own, and the command has more to say."""
        if not self.closed:
            self.flush()


class _WithControls(io.TextIOBase):
    """A plain stream whose escaping is left out."""

    def __init__(self, stream: _PlainStream) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def write(self, text: str, /) -> int:
        return io.TextIOWrapper.write(self._stream, text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()


def protect_streams() -> None:
    """Exchange `sys.stdout` and `sys.stderr` for streams whose writes never raise and hold no escape codes.

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
        unfailing: TextIO = _PlainStream(
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
