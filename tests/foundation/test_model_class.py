"""A parameter without a type is refused in our words, in tasks, optimizers and modules."""

from typing import Any

import pytest

from l2obench.optimizers.base import CoordinatewiseOptimizer, Optimizer
from l2obench.tasks.base import Task
from l2obench.tasks.module import ModuleTask


@pytest.mark.parametrize("base", [Task, ModuleTask, Optimizer, CoordinatewiseOptimizer])
def test_a_field_without_a_type_is_refused_in_one_line(base: Any) -> None:
    with pytest.raises(TypeError, match=r"^Mine\.hidden must have a type, got hidden = 16\. Try: hidden: int = 16$"):
        type(base)("Mine", (base,), {"__module__": __name__, "__qualname__": "Mine", "hidden": 16})


def test_an_object_that_is_no_parameter_is_told_how_to_stay() -> None:
    expected = r"^Mine\.RNG must have a type, got RNG = an object of object\. Try: RNG: ClassVar = …, from typing$"
    with pytest.raises(TypeError, match=expected):
        type(ModuleTask)("Mine", (ModuleTask,), {"__module__": __name__, "__qualname__": "Mine", "RNG": object()})
