"""Several float32 numbers at once, in compiled code: a processor's vector register by name.

    v = load(a, i)            a[i : i + LANES] of a one-dimensional float32 array
    store(a, i, v)            writes it
    fma(x, y, v)              x * y + v, rounded once where the processor can
    splat(x)                  the number x in every lane

What a loop's compiler would have to find out (which values stay in registers, that arrays do not
overlap) is said here. Every lane computes what a single number would.
"""

from __future__ import annotations

import operator
from typing import Any, ClassVar

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_jitable, register_model

from trpo_cli.kernels.jit import fused

LANES = 16 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 8
"""Numbers in a register; on processors with shorter ones the compiler takes several."""


@register_jitable
def padded(count: int) -> int:
    """The next multiple of LANES; for Python and for compiled code."""
    return (count + LANES - 1) // LANES * LANES


def aligned(count: int) -> np.ndarray:
    """Zeros (count,) float32 on a cache line's start: a register is loaded from one line."""
    raw = np.zeros(count + 16, dtype=np.float32)
    start = -raw.ctypes.data % 64 // 4
    return raw[start : start + count]


if numba.config.DISABLE_JIT:

    def keep_whole() -> None:
        pass

    def load(a: Any, i: int) -> Any:
        return a[i : i + LANES].copy()

    def store(a: Any, i: int, v: Any) -> None:
        a[i : i + LANES] = v

    def transpose_tile(a: Any, i: int, row: int, b: Any, j: int, column: int) -> None:
        for k in range(LANES):
            b[j + k * column : j + k * column + LANES] = a[i + k : i + k + LANES * row : row]

    def splat(x: Any) -> Any:
        return np.full(LANES, x, dtype=np.float32)

    def fma(x: Any, y: Any, v: Any) -> Any:
        return (x.astype(np.float64) * y + v).astype(np.float32)

    def clamp(v: Any, bound: Any) -> Any:
        return np.where(v > bound, bound, np.where(v < -bound, -bound, v))

    def positive(v: Any) -> Any:
        return np.where(v > 0.0, np.float32(1.0), np.float32(0.0))

    def total(v: Any) -> Any:
        found = v[0]
        for x in v[1:]:
            found = found + x
        return found

    root = np.sqrt

else:

    class _Floats(types.Type):
        def __init__(self) -> None:
            super().__init__(name=f"Floats{LANES}")

    FLOATS = _Floats()
    VECTOR = ir.VectorType(ir.FloatType(), LANES)
    FUSED = ("contract",)

    @register_model(_Floats)
    class _FloatsModel(models.PrimitiveModel):
        def __init__(self, manager: Any, fe_type: Any) -> None:
            super().__init__(manager, fe_type, VECTOR)

    def _place(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
        data = context.make_array(kind)(context, builder, array).data
        return builder.bitcast(builder.gep(data, [index]), VECTOR.as_pointer())

    @intrinsic
    def keep_whole(typing_context: Any) -> Any:
        """The function that calls this is not copied into those that call it."""

        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            builder.function.attributes.add("noinline")
            return context.get_dummy_value()

        return types.void(), build

    @intrinsic
    def load(typing_context: Any, a: Any, i: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            place = _place(context, builder, signature.args[0], *arguments)
            return builder.load(place, align=4)

        return FLOATS(a, types.intp), build

    @intrinsic
    def store(typing_context: Any, a: Any, i: Any, v: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            place = _place(context, builder, signature.args[0], *arguments[:2])
            builder.store(arguments[2], place, align=4)
            return context.get_dummy_value()

        return types.void(a, types.intp, FLOATS), build

    @intrinsic
    def transpose_tile(
        typing_context: Any, a: Any, i: Any, row: Any, b: Any, j: Any, column: Any
    ) -> Any:
        """b[j + k column + l] = a[i + l row + k] for all k, l < LANES, by exchanges between pairs
        of registers: on two pairs of blocks of 1 x 1 numbers, then 2 x 2, and so on."""

        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def places(kind: Any, array: Any, start: Any, step: Any) -> Any:
                for _ in range(LANES):
                    yield _place(context, builder, kind, array, start)
                    start = builder.add(start, step)

            rows = [
                builder.load(place, align=4) for place in places(signature.args[0], *arguments[:3])
            ]
            block = 1
            while block < LANES:
                lanes = range(LANES)
                upper = [n if not n & block else LANES + n - block for n in lanes]
                lower = [LANES + n if n & block else n + block for n in lanes]
                for k in range(LANES):
                    if not k & block:
                        pair = rows[k], rows[k + block]
                        for to, mask in ((k, upper), (k + block, lower)):
                            chosen = ir.Constant(ir.VectorType(ir.IntType(32), LANES), mask)
                            rows[to] = builder.shuffle_vector(*pair, chosen)
                block *= 2
            for row, place in zip(rows, places(signature.args[3], *arguments[3:]), strict=True):
                builder.store(row, place, align=4)
            return context.get_dummy_value()

        return types.void(a, types.intp, types.intp, b, types.intp, types.intp), build

    @intrinsic
    def splat(typing_context: Any, x: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            zero = ir.Constant(ir.IntType(32), 0)
            one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), arguments[0], zero)
            lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
            return builder.shuffle_vector(one, ir.Constant(VECTOR, ir.Undefined), lanes)

        return FLOATS(types.float32), build

    @intrinsic
    def fma(typing_context: Any, x: Any, y: Any, v: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            x, y, v = arguments
            return builder.fadd(builder.fmul(x, y, flags=FUSED), v, flags=FUSED)

        return FLOATS(FLOATS, FLOATS, FLOATS), build

    @intrinsic
    def clamp(typing_context: Any, v: Any, bound: Any) -> Any:
        """Between -bound and bound; what is no number stays so."""

        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            v, high = arguments
            low = builder.fneg(high)
            v = builder.select(builder.fcmp_ordered(">", v, high), high, v)
            return builder.select(builder.fcmp_ordered("<", v, low), low, v)

        return FLOATS(FLOATS, FLOATS), build

    @intrinsic
    def positive(typing_context: Any, v: Any) -> Any:
        """1 where v > 0, else 0."""

        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            zero, one = (ir.Constant(VECTOR, [x] * LANES) for x in (0.0, 1.0))
            return builder.select(builder.fcmp_ordered(">", arguments[0], zero), one, zero)

        return FLOATS(FLOATS), build

    @intrinsic
    def total(typing_context: Any, v: Any) -> Any:
        """The sum of all lanes, one after the other."""

        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            lanes = [ir.Constant(ir.IntType(32), lane) for lane in range(LANES)]
            numbers = [builder.extract_element(arguments[0], lane) for lane in lanes]
            found = numbers[0]
            for number in numbers[1:]:
                found = builder.fadd(found, number)
            return found

        return types.float32(FLOATS), build

    @intrinsic
    def root(typing_context: Any, v: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.call(
                cgutils.get_or_insert_function(
                    builder.module, ir.FunctionType(VECTOR, [VECTOR]), f"llvm.sqrt.v{LANES}f32"
                ),
                arguments,
            )

        return FLOATS(FLOATS), build

    def _operator(symbol: Any, instruction: str) -> None:
        @infer_global(symbol)
        class _Template(ConcreteTemplate):
            cases: ClassVar = [signature(FLOATS, FLOATS, FLOATS)]

        @lower_builtin(symbol, FLOATS, FLOATS)
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, instruction)(*arguments)

    _operator(operator.add, "fadd")
    _operator(operator.sub, "fsub")
    _operator(operator.mul, "fmul")
    _operator(operator.truediv, "fdiv")


@fused
def dot(a: Any, b: Any) -> Any:
    """a'b of vectors whose lengths are a multiple of LANES, summed in float32."""
    s0 = s1 = s2 = s3 = splat(np.float32(0.0))
    blocked = len(a) - len(a) % (4 * LANES)
    for i in range(0, blocked, 4 * LANES):
        s0 = fma(load(a, i), load(b, i), s0)
        s1 = fma(load(a, i + LANES), load(b, i + LANES), s1)
        s2 = fma(load(a, i + 2 * LANES), load(b, i + 2 * LANES), s2)
        s3 = fma(load(a, i + 3 * LANES), load(b, i + 3 * LANES), s3)
    for i in range(blocked, len(a), LANES):
        s0 = fma(load(a, i), load(b, i), s0)
    return np.float64(total((s0 + s1) + (s2 + s3)))
