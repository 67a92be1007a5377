"""Names that every tool takes: identities have brackets and equals signs, which some refuse."""

import re


def plain_name(tag: str, line: str = "") -> str:
    """Join a tag and a line into a name of letters, digits, spaces, `_`, `-`, `.` and `/`.

    Args:
        tag: of a chart.
        line: of a curve in it; empty: the chart has one.

    Example:
        >>> plain_name("loss/mnist-mlp[units=40]", "adam tuned")
        'loss/mnist-mlp-units-40/adam tuned'
    """
    parts = [*tag.split("/"), *([line.replace("/", "-")] if line else [])]
    return "/".join(re.sub(r"[^\w. -]+", "-", part).strip("-. ") or "-" for part in parts)
