"""A primitive: one op in the dispatcher, its shape rule, its derivative and its two routes.

Eager tensors take a classic autograd.Function (the cheapest route there is); torch.compile, torch.export, fake tensors
and dispatch modes take the same primitive as a registered op, torch.ops.gan_fast.<name>. Both share one
`setup_context` and one `backward`, and `backward` is made of primitives again, so that it can be differentiated.
The contract allocates the outputs by the shape rule, and a backend only fills them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from gan_fast.ops.backends import launcher, variant

_library = torch.library.Library("gan_fast", "DEF")

OPS: list[str] = []  # every op that has primitives

# What `explain_call` is recording: (primitive, backend, variant) of every launch.
_launches: ContextVar[list[tuple[str, str, str | None]] | None] = ContextVar("gan_fast_launches", default=None)

# Tests set this, so that an element which a kernel leaves unwritten shows as NaN.
poison_outputs = False


def needs(ctx: Any, index: int) -> bool:
    """Whether the running backward pass wants the gradient of the index-th tensor argument.

    `ctx.needs_input_grad` says only that the input requires a gradient: under autograd.grad(y, [x]), as in a gradient
    penalty, it is also true of weights that nobody asked for. The engine knows which nodes it is going to run.
    Optional tensors that are absent do not count.
    """
    edges = ctx.next_functions
    if index >= len(edges) or (node := edges[index][0]) is None:
        return False
    ask = getattr(torch._C, "_will_engine_execute_node", None)
    if ask is None or torch._C._current_graph_task_id() == -1:
        return True
    try:
        return ask(node)
    except RuntimeError:  # the engine does not answer for a leaf whose gradient autograd.grad is to return
        return True


def wanted_of(ctx: Any, *tensors: Tensor | None) -> list[bool]:
    """Of which of its tensor arguments, all in their order, the running backward pass wants the gradient."""
    given = [t is not None for t in tensors]
    return [there and needs(ctx, sum(given[:i])) for i, there in enumerate(given)]


def computed_dtype(dtype: torch.dtype) -> torch.dtype:
    """What half precision is computed and summed in: float32; the others as they are."""
    return torch.promote_types(dtype, torch.float32)


def runs_at_once(*args: Any) -> bool:
    """Whether a call with these arguments is to be run at once: nothing is traced, and no tensor is fake."""
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() > 0:
        return False
    plain = (Tensor, torch.nn.Parameter)
    return not any(isinstance(a, Tensor) and type(a) not in plain for a in args)


def explain_call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> list[str]:
    """Makes a call and says what it launched: primitive, backend and, where there are several, which of its kernels.

        explain_call(ops.upsample2d, x, f)
        ["upfirdn2d on cuda: pixels: channels_last with 4x4 taps"]

    A composition of PyTorch's own ops, as with backend="reference", launches nothing of ours: an empty list.
    """
    launches: list[tuple[str, str, str | None]] = []
    token = _launches.set(launches)
    try:
        function(*args, **kwargs)
    finally:
        _launches.reset(token)
    return [f"{name} on {backend}" + (f": {which}" if which else "") for name, backend, which in launches]


class Primitive:
    """An op that backends implement by filling the outputs which the contract allocates.

    schema: "name(Tensor x, Tensor? b, int n) -> Tensor"; tensors come first. allocate(*args): the shape rule, returns
    the empty output or outputs, from real tensors and fake ones alike. setup_context(ctx, inputs, output) and
    backward(ctx, *grads): as in torch.autograd.Function; the last input is the backend's name, and backward returns a
    gradient for each argument of the schema. A primitive without them is not differentiable: asking is an error.
    """

    def __init__(
        self,
        op: str,
        schema: str,
        allocate: Callable[..., Any],
        setup_context: Callable[[Any, tuple, Any], None] | None = None,
        backward: Callable[..., Any] | None = None,
    ) -> None:
        self.op = op
        if op not in OPS:
            OPS.append(op)
        self.name = schema.split("(")[0]
        self._allocate = allocate
        head, tail = schema.rsplit(") ->", 1)
        _library.define(f"{head}, str backend) ->{tail}")
        for key in ("CPU", "CUDA"):
            _library.impl(self.name, self._launch, key)
        qualified = f"gan_fast::{self.name}"
        torch.library.register_fake(qualified, lambda *args: allocate(*args[:-1]), lib=_library)
        self.registered = getattr(torch.ops.gan_fast, self.name).default

        def refuse(ctx: FunctionCtx, *grads: Tensor) -> None:
            raise RuntimeError(
                f"{self.name} has no gradient: {op} is differentiable twice on every backend; "
                "for a higher order use backend='reference'"
            )

        def setup(ctx: FunctionCtx, inputs: tuple, output: Any) -> None:
            # a gradient that is absent stays so: zeros in its place would run through everything before
            ctx.set_materialize_grads(False)
            if setup_context is not None:
                setup_context(ctx, inputs, output)

        num_args = len(self.registered._schema.arguments)

        def derive(ctx: FunctionCtx, *grads: Tensor | None) -> tuple:
            if all(g is None for g in grads):
                return (None,) * num_args
            return (*(backward or refuse)(ctx, *grads), None)

        torch.library.register_autograd(qualified, derive, setup_context=setup, lib=_library)

        def forward(ctx: FunctionCtx, *args: Any) -> Any:
            output = self._launch(*args)
            setup(ctx, args, output)
            return output

        methods = {"forward": staticmethod(forward), "backward": staticmethod(derive)}
        self._apply = type(self.name, (torch.autograd.Function,), methods).apply

    def _launch(self, *args: Any) -> Any:
        *inputs, backend = args
        fill = launcher(self.op, self.name, backend)
        if isinstance(fill, str):
            raise RuntimeError(f"{self.name}: backend '{backend}' cannot run here: {fill}")
        output = self._allocate(*inputs)
        outputs: Sequence[Tensor] = (output,) if isinstance(output, Tensor) else output
        if poison_outputs:
            for y in outputs:
                y.fill_(float("nan") if y.is_floating_point() else 255)
        if (launches := _launches.get()) is not None:
            launches.append((self.name, backend, variant(self.op, self.name, backend, (*inputs, *outputs))))
        if any(y.numel() for y in outputs):
            fill(*inputs, *outputs)
        return output

    def __call__(self, *args: Any) -> Any:
        if not runs_at_once(*args):
            return self.registered(*args)
        if not torch.is_grad_enabled() or not any(isinstance(a, Tensor) and a.requires_grad for a in args):
            return self._launch(*args)
        return self._apply(*args)
