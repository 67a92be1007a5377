"""An extension of griffe: `Example:` of our docstrings is the section that it calls `Examples:`, shown as code."""

import re
from typing import Any

from griffe import Extension, Object

TITLE = re.compile(r"^( *)Example:$", re.MULTILINE)


class ExampleSections(Extension):
    """Renames the title of the section before the docstring is parsed."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = TITLE.sub(r"\1Examples:", obj.docstring.value)
