"""Vectors in numba: numbers of neighbouring coordinates that stay in registers, and what the kernels do with them.

numba has no such type, and what LLVM vectorises by itself has half of AVX-512's length and goes by way of memory.
"""

import operator
from collections.abc import Callable
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils as untyped_cgutils
from numba.extending import models

from l2obench.optimizers.learned.fused.compiling import Function

cgutils: Any = untyped_cgutils
# numba's types do not know that an intrinsic is called without the first argument of what writes its code.
intrinsic: Callable[[Function], Any] = extending.intrinsic
# Four vectors at once fill half of the registers: sixteen of 16 numbers with AVX-512, and with AVX2 eight of 8 numbers.
LANES = 64 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 16
FLOAT, INTEGER = ir.FloatType(), ir.IntType(32)
FLOATS, INTEGERS = ir.VectorType(FLOAT, LANES), ir.VectorType(INTEGER, LANES)
# Bits of a single number's mantissa.
MANTISSA = 23
# A quotient may be a product with a reciprocal, which a step of Newton's makes exact to a bit or two: a division takes
# as long as sixteen products. LLVM does so where nothing is infinite, as behind limits. NaN stays NaN.
FLAGS = {"fdiv": ("arcp", "ninf", "contract")}
Generated = tuple[Any, Callable[..., Any]]
"""The signature of an intrinsic, and what writes its code."""


class Vector(types.Type):
    """LANES numbers in single precision, as numba knows them."""


VECTOR: Any = Vector(name=f"vector of {LANES}")


@extending.register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, FLOATS)  # type: ignore[no-untyped-call]


@intrinsic
def load(_: Any, array: Any, place: Any) -> Generated:
    """Neighbours in an array of one dimension, from a place on. Nobody looks whether they are inside.

    Args:
        array: contiguous, single precision.
        place: of the first one.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_address(context, builder, signature, arguments, FLOATS), align=4)

    return VECTOR(array, place), generate


@intrinsic
def store(_: Any, array: Any, place: Any, vector: Any) -> Generated:
    """Write a vector to where `load` reads one.

    Args:
        array: contiguous, single precision.
        place: of the first one.
        vector: what is written.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _address(context, builder, signature, arguments, FLOATS), align=4)
        return context.get_dummy_value()

    return types.void(array, place, vector), generate


@intrinsic
def fetch_ahead(_: Any, array: Any, place: Any) -> Generated:
    """Ask for the cache line of a place that will be written soon. A place outside of the array does no harm.

    Args:
        array: contiguous.
        place: any.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature, arguments, ir.IntType(8))
        kind = ir.FunctionType(ir.VoidType(), [address.type, INTEGER, INTEGER, INTEGER])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", (address.type,), kind)
        # To be written; into the first cache; data.
        builder.call(prefetch, [address, *(ir.Constant(INTEGER, code) for code in (1, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, place), generate


@intrinsic
def spread(_: Any, number: Any) -> Generated:
    """A vector of one number.

    Args:
        number: any; it is made single.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        single = context.cast(builder, arguments[0], signature.args[0], types.float32)
        first = builder.insert_element(ir.Constant(FLOATS, ir.Undefined), single, ir.Constant(INTEGER, 0))
        return builder.shuffle_vector(first, ir.Constant(FLOATS, ir.Undefined), ir.Constant(INTEGERS, [0] * LANES))

    return VECTOR(number), generate


@intrinsic
def multiply_add(_: Any, a: Any, b: Any, c: Any) -> Generated:
    """a b + c, without rounding in between where the processor can.

    Args:
        a: a vector.
        b: a vector.
        c: a vector.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(FLOATS, [FLOATS] * 3)
        return builder.call(
            cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32"), arguments
        )

    return VECTOR(a, b, c), generate


@intrinsic
def at_least(_: Any, values: Any, limits: Any) -> Generated:
    """The larger of two; NaN where the first is.

    Args:
        values: a vector.
        limits: a vector without NaN.
    """
    return VECTOR(values, limits), _chosen("<")


@intrinsic
def at_most(_: Any, values: Any, limits: Any) -> Generated:
    """The smaller of two; NaN where the first is.

    Args:
        values: a vector.
        limits: a vector without NaN.
    """
    return VECTOR(values, limits), _chosen(">")


@intrinsic
def power_of_two(_: Any, numbers: Any) -> Generated:
    """2ⁿ from n + 127 + 1.5 · 2²³, whose last bits are those of n + 127: they become the exponent.

    Args:
        numbers: a vector.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], INTEGERS)
        return builder.bitcast(builder.shl(bits, ir.Constant(INTEGERS, [MANTISSA] * LANES)), FLOATS)

    return VECTOR(numbers), generate


def _address(context: Any, builder: Any, signature: Any, arguments: Any, kind: Any) -> Any:
    """Where a place of an array is, as a pointer to a kind of LLVM's."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    place = context.cast(builder, arguments[1], signature.args[1], types.intp)
    return builder.bitcast(builder.gep(array.data, [place]), kind.as_pointer())


def _chosen(comparison: str) -> Callable[..., Any]:
    """The second where the first compares so with it, else the first. Comparisons with NaN are false."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, limits = arguments
        return builder.select(builder.fcmp_ordered(comparison, values, limits), limits, values)

    return generate


def _arithmetic(instruction: str) -> Any:
    """One of LLVM's instructions for two numbers, on vectors."""

    @intrinsic
    def both(_: Any, a: Any, b: Any) -> Generated:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, instruction)(*arguments, flags=FLAGS.get(instruction, ()))

        return VECTOR(a, b), generate

    return both


def _teach(operation: Any, both: Any) -> None:
    """Have an operator of Python mean this on vectors."""

    # numba compares the signatures of both functions, types included.
    @extending.overload(operation)
    def of_vectors(a, b):  # type: ignore[no-untyped-def]
        return (lambda a, b: both(a, b)) if isinstance(a, Vector) and isinstance(b, Vector) else None


for _operation, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _teach(_operation, _arithmetic(_instruction))
