"""Text from outside on its way to a terminal: no escape code starts there, and nothing changes the order of letters."""

import re
import unicodedata
from typing import TextIO

_MAY_NEED_ESCAPE = re.compile(r"[^\n\t -~]")
# Control characters, invisible ones (of the direction of writing too), halves of surrogate pairs, other line ends.
_ESCAPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def escape_controls(text: str) -> str:
    r"""Write characters that a terminal would obey as `\u001b`; line feeds and tabs stay.

    Strings of JSON mean the same afterwards, since JSON has the same notation.

    Args:
        text: from anywhere, a name or a message.

    Example:
        >>> print(escape_controls("adam\x1b[2J, 学习率 × 2"))
        adam\u001b[2J, 学习率 × 2
    """
    return _MAY_NEED_ESCAPE.sub(lambda found: _escape(found.group()), text)


def let_controls_pass(stream: TextIO) -> TextIO:
    """Give the stream below one that escapes control characters, for a library that draws with them.

    Args:
        stream: standard output or error; any other is returned as it is.
    """
    below: TextIO = getattr(stream, "with_controls", stream)
    return below


def _escape(sign: str) -> str:
    if unicodedata.category(sign) not in _ESCAPED:
        return sign
    units = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))
