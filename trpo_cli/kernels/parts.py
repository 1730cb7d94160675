"""How numba compiles a function that other compiled functions call: only as a part of those.

By itself numba makes machine code of every function, which the callers have no use for: they
contain a copy, which is optimised and made into machine code once more. Here that is done once, in
the function that Python calls. Compiling takes half the time.
"""

from __future__ import annotations

from typing import Any

from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering


class _Library(JITCodeLibrary):
    """Code that is only ever copied."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(NativeLowering):
    _name = "part_lowering"

    def run_pass(self, state: Any) -> bool:
        state.flags.no_compile = True
        super().run_pass(state)
        made = state["cr"]
        # Callers find the code by this object, which is called by nobody.
        key = _dynfunc.make_function(
            made.fndesc.lookup_module(),
            made.fndesc.qualname,
            "part of compiled functions",
            0,
            made.env,
            (state.library,),
        )
        state.targetctx.insert_user_function(key, made.fndesc, [state.library])
        state["cr"] = made._replace(cfunc=key)
        return True


class PartCompiler(Compiler):
    """For numba's `pipeline_class`; with `no_cpython_wrapper`."""

    def define_pipelines(self) -> list[Any]:
        state = self.state
        if state.library is None:
            state.library = _Library(state.targetctx.codegen(), state.func_id.func_qualname)
        pipelines: list[Any] = super().define_pipelines()
        for pipeline in pipelines:
            pipeline.passes = [
                (_Lowering, words) if step is NativeLowering else (step, words)
                for step, words in pipeline.passes
            ]
            pipeline.finalize()
        return pipelines
