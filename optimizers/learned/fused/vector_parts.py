"""Signs, exponents and mantissas of vectors, and a choice between two."""

from typing import Any

from llvmlite import ir

from l2obench.optimizers.learned.fused.vectors import (
    FLOATS,
    INTEGERS,
    LANES,
    MANTISSA,
    VECTOR,
    Generated,
    cgutils,
    intrinsic,
)

# Of √½ in single precision.
ROOT_HALF_BITS = 0x3F3504F3


@intrinsic
def absolute(_: Any, values: Any) -> Generated:
    """|x|.

    Args:
        values: a vector.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(FLOATS, [FLOATS])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fabs.v{LANES}f32"), arguments)

    return VECTOR(values), generate


@intrinsic
def with_sign(_: Any, sizes: Any, values: Any) -> Generated:
    """The first with the sign of the second.

    Args:
        sizes: a vector.
        values: a vector.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(FLOATS, [FLOATS] * 2)
        name = f"llvm.copysign.v{LANES}f32"
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)

    return VECTOR(sizes, values), generate


@intrinsic
def where_at_least(_: Any, values: Any, limits: Any, reached: Any, other: Any) -> Generated:
    """`reached` where a value is at least its limit, elsewhere, and where it is NaN, `other`.

    Args:
        values: a vector.
        limits: a vector.
        reached: a vector.
        other: a vector.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">=", arguments[0], arguments[1]), arguments[2], arguments[3])

    return VECTOR(values, limits, reached, other), generate


@intrinsic
def binary_exponent(_: Any, values: Any) -> Generated:
    """e of x = 2ᵉ f with f from √½ to √2, as numbers.

    Args:
        values: a vector, above 0, normal.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        above = _above_root_half(builder, arguments[0])
        return builder.sitofp(builder.ashr(above, ir.Constant(INTEGERS, [MANTISSA] * LANES)), FLOATS)

    return VECTOR(values), generate


@intrinsic
def binary_fraction(_: Any, values: Any) -> Generated:
    """f of the same.

    Args:
        values: a vector, above 0, normal.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rest = builder.and_(_above_root_half(builder, arguments[0]), ir.Constant(INTEGERS, [2**MANTISSA - 1] * LANES))
        return builder.bitcast(builder.add(rest, ir.Constant(INTEGERS, [ROOT_HALF_BITS] * LANES)), FLOATS)

    return VECTOR(values), generate


def _above_root_half(builder: Any, values: Any) -> Any:
    """The bits of numbers less those of √½: what is above the mantissa's is then the exponent."""
    return builder.sub(builder.bitcast(values, INTEGERS), ir.Constant(INTEGERS, [ROOT_HALF_BITS] * LANES))
