"""Counts what runs inside it: arithmetic operations, and bytes that operators read and write."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

from l2obench.foundation.eager_mode import EagerMode

NO_ARITHMETIC = {"clone", "where", "relu", "threshold", "threshold_backward", "maximum", "minimum", "clamp"}
NO_ARITHMETIC |= {"isnan", "isfinite", "isinf"}
NO_ARITHMETIC |= {"clamp_min", "clamp_max", "eq", "ne", "lt", "le", "gt", "ge", "masked_fill", "round", "floor", "ceil"}
NO_ARITHMETIC |= {"logical_and", "logical_or", "logical_not", "bitwise_and", "bitwise_or", "bitwise_not"}
"""Pointwise, and no arithmetic: copies, comparisons and selections."""
UNTOUCHED = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view"}
UNTOUCHED |= {"_record_function_enter_new", "_record_function_exit"}
"""Memory is neither read nor written."""
OVERWRITES = {"copy", "fill", "zero", "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full"}
"""The first argument lends its memory or its shape, and is not read."""
MOVES = {"_to_copy", "cat", "stack", "index", "index_put", "index_select", "gather", "scatter", "repeat", "roll"}
MOVES |= {"amax", "amin", "max", "min", "any", "all", "argmax", "sort", "argsort", "tril", "triu", "lift_fresh"}
MOVES |= {"zeros", "ones", "full", "eye", "arange", "scalar_tensor", "_local_scalar_dense"}
"""The rest that is no arithmetic."""
REDUCTIONS = {"sum": 1, "mean": 1, "cumsum": 1, "dot": 2, "mv": 2, "norm": 2, "linalg_vector_norm": 2}
"""Operations for each element that is read."""
SEVERAL = {"lerp": 3, "addcmul": 2, "addcdiv": 2, "_fused_adam": 11}
"""Pointwise operators that are more than one: v + w (g − v), a + b c, a + b / c, and Adam's update."""
DECOMPOSITIONS = {"linalg_qr": 8 / 3, "_linalg_eigh": 9}
"""Times n³, for a matrix of n rows."""
SCALED = {"add": "alpha", "sub": "alpha", "addcmul": "value", "addcdiv": "value"}
"""Those with a factor, which is one operation more where it is not ±1."""


class Operations(EagerMode):  # type: ignore[no-untyped-call]
    """Inside `with Operations() as counted`, every operator of torch on this thread is counted.

    An addition, multiplication, division, root, exponential, logarithm, sign or absolute value is one operation, a
    matrix product of `[m, k]` by `[k, n]` is 2 m k n (torch's own counts), a comparison, selection or copy none.
    Decompositions count as Golub & Van Loan 2013 have them (sections 5.2 and 8.3): Q and R of an n × n matrix 8 n³/3,
    its eigenvalues and eigenvectors 9 n³. Every operator reads its inputs and writes its outputs once: what stays in a
    cache between two operators counts as moved all the same. One that returns nothing writes all that its schema lets
    it write. Views move nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self.unknown: set[str] = set()
        self._flops = 0.0

    @property
    def flops(self) -> float | None:
        """Operations so far; None if some were by operators that are not known here."""
        return None if self.unknown else self._flops

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        result = func(*args, **given)
        if _is_view(func):
            return result
        inputs = {name: value for name, value in given.items() if name != "out"}
        name = func.overloadpacket.__name__.removeprefix("_foreach_").rstrip("_")
        first, made = list(_tensors(args[:1])), list(_tensors(result))
        if name not in UNTOUCHED:
            read = _distinct(_tensors([args[1:] if name in OVERWRITES else args, inputs]))
            self.bytes += sum(map(_bytes, [*read, *(made or _written(func, args))]))
        if func.overloadpacket in flop_registry:
            self._flops += flop_registry[func.overloadpacket](*args, **inputs, out_val=result)
        elif (each := _operations_an_element(func, name, inputs)) is not None:
            self._flops += each * sum(tensor.numel() for tensor in (first if name in REDUCTIONS or not made else made))
        elif name in DECOMPOSITIONS:
            self._flops += DECOMPOSITIONS[name] * first[0].numel() * first[0].shape[-1]
        elif name not in MOVES | UNTOUCHED | OVERWRITES:
            self.unknown.add(name)
        return result


def _operations_an_element(func: Any, name: str, inputs: dict[str, Any]) -> int | None:
    """Those of a reduction or of a pointwise operator; None of any other."""
    if name in NO_ARITHMETIC:
        return 0
    if name in REDUCTIONS:
        return REDUCTIONS[name]
    pointwise = torch.Tag.pointwise in func.tags or "_foreach_" in func.overloadpacket.__name__
    if not pointwise and name not in SEVERAL:
        return None
    scaled: bool = abs(inputs.get(SCALED.get(name, ""), 1)) != 1
    return SEVERAL.get(name, 1) + scaled


def _is_view(func: Any) -> bool:
    """Whether an operator only looks at its input's memory in another way."""
    infos = [value.alias_info for value in func._schema.returns]
    return bool(infos) and all(info is not None and not info.is_write for info in infos)


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested arguments or results."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)


def _written(func: Any, args: tuple[Any, ...]) -> list[Tensor]:
    """What an operator that returns nothing writes into."""
    values = zip(func._schema.arguments, args, strict=False)
    return [tensor for about, value in values if about.alias_info is not None for tensor in _tensors(value)]


def _distinct(tensors: Iterator[Tensor]) -> list[Tensor]:
    return list({id(tensor): tensor for tensor in tensors}.values())


def _bytes(tensor: Tensor) -> int:
    """Of the elements that are there: one that is expanded is read once."""
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    return math.prod(size for size, stride in sizes if stride or size == 0) * tensor.element_size()
