"""Bilinear sampling at given points, and affine warps: the geometric part of adaptive augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gan_fast.ops import arguments
from gan_fast.ops.backends import resolve
from gan_fast.ops.primitive import Primitive, computed_dtype, needs
from gan_fast.ops.upfirdn2d import dense, memory_format_of


def _to_pixels(g: Tensor, size: int, align_corners: bool) -> Tensor:
    """From [-1, 1] to pixels; a point that no pixel is near, or that is NaN, goes to -2, where it samples zeros."""
    at = g * ((size - align_corners) / 2) + (size - 1) / 2
    return torch.where((at > -2) & (at < size + 1), at, -2)


def _reference(x: Tensor, grid: Tensor, align_corners: bool) -> Tensor:
    n, c, h, w = x.shape
    rows, columns = grid.shape[1:3]
    px, py = (_to_pixels(grid[..., i], size, align_corners).flatten(1)[:, None] for i, size in ((0, w), (1, h)))
    left, top = px.detach().floor(), py.detach().floor()
    pixels = x.flatten(2).to(grid.dtype)
    y = pixels.new_zeros(())
    for a, weight_y in ((0, top + 1 - py), (1, py - top)):
        for b, weight_x in ((0, left + 1 - px), (1, px - left)):
            i, j = (top + a).long(), (left + b).long()
            inside = (i >= 0) & (i < h) & (j >= 0) & (j < w)
            index = i.clamp(0, h - 1) * w + j.clamp(0, w - 1)
            corner = pixels.gather(2, index.expand(-1, c, -1))
            y = y + torch.where(inside, corner, 0) * weight_x * weight_y
    return y.reshape(n, c, rows, columns).to(x.dtype).contiguous(memory_format=memory_format_of(x))


# Three primitives close the family. Let S be the sampling at the points g, a matrix whose weights are bilinear in g:
# with f the fraction of a coordinate between pixels, X = (1 - f, f) across and Y alike down, those of a point are X Y.
# Its derivatives at a point are Dx (X' Y), Dy (X Y') and Dxy (X' Y'); Dxx = Dyy = 0. Directions e, one for each point,
# replace S by its derivative along them, S' = e_x Dx + e_y Dy, and Dx, Dy by e_y Dxy, e_x Dxy:
#   y  = S x                                                                  grid_sample
#   dx = S^T v                                                                grid_sample_adjoint
#   dg = sum over channels of v (Dx x, Dy x)                                  grid_sample_grid_grad
# where v is the cotangent of y. With these, and the same with `along` e:
#   of grid_sample(x, g, e):           x: adjoint(v, g, e)     g: grid_grad(v, x, g, e)    e: grid_grad(v, x, g)
#   of adjoint(v, g, e) along w:       v: grid_sample(w, g, e) g: grid_grad(v, w, g, e)    e: grid_grad(v, w, g)
#   of grid_grad(v, x, g) along w:     v: grid_sample(x, g, w) x: adjoint(v, g, w)         g: grid_grad(v, x, g, w)
# In x alone every order exists; grid_grad along directions, the second derivative in g, ends the other chain.
def _allocate(x: Tensor, grid: Tensor, along: Tensor | None, align_corners: bool) -> Tensor:
    shape = (x.shape[0], x.shape[1], *grid.shape[1:3])
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=memory_format_of(x))


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    x, grid, along, ctx.align_corners, ctx.backend = inputs
    ctx.size = x.shape[2:]
    ctx.save_for_backward(x if ctx.needs_input_grad[1] or ctx.needs_input_grad[2] else None, grid, along)


def _backward(ctx: Any, dy: Tensor) -> tuple:
    x, grid, along = ctx.saved_tensors
    settings = (ctx.align_corners, ctx.backend)
    dy = dense(dy)
    grads: list[Tensor | None] = [None] * 4
    if needs(ctx, 0):
        grads[0] = _grid_sample_adjoint(dy, grid, along, *ctx.size, *settings)
    if needs(ctx, 1):
        grads[1] = _grid_sample_grid_grad(dy, x, grid, along, *settings)
    if along is not None and needs(ctx, 2):
        grads[2] = _grid_sample_grid_grad(dy, x, grid, None, *settings)
    return tuple(grads)


def _allocate_adjoint(dy: Tensor, grid: Tensor, along: Tensor | None, h: int, w: int, align_corners: bool) -> Tensor:
    shape = (*dy.shape[:2], h, w)
    return torch.empty(shape, dtype=dy.dtype, device=dy.device, memory_format=memory_format_of(dy))


def _adjoint_setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    dy, grid, along, _, _, ctx.align_corners, ctx.backend = inputs
    ctx.save_for_backward(dy if ctx.needs_input_grad[1] or ctx.needs_input_grad[2] else None, grid, along)


def _adjoint_backward(ctx: Any, ddx: Tensor) -> tuple:
    dy, grid, along = ctx.saved_tensors
    settings = (ctx.align_corners, ctx.backend)
    ddx = dense(ddx)
    grads: list[Tensor | None] = [None] * 6
    if needs(ctx, 0):
        grads[0] = _grid_sample(ddx, grid, along, *settings)
    if needs(ctx, 1):
        grads[1] = _grid_sample_grid_grad(dy, ddx, grid, along, *settings)
    if along is not None and needs(ctx, 2):
        grads[2] = _grid_sample_grid_grad(dy, ddx, grid, None, *settings)
    return tuple(grads)


def _grid_grad_setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    dy, x, grid, along, ctx.align_corners, ctx.backend = inputs
    ctx.ends = along is not None
    ctx.size = x.shape[2:]
    ctx.save_for_backward(dy, x, grid)


def _grid_grad_backward(ctx: Any, w: Tensor) -> tuple:
    if ctx.ends:
        raise RuntimeError(
            "grid_sample_grid_grad along directions has no gradient: grid_sample is differentiable twice in the grid "
            "on every backend; for a higher order use backend='reference'"
        )
    dy, x, grid = ctx.saved_tensors
    settings = (ctx.align_corners, ctx.backend)
    w = w.contiguous()
    grads: list[Tensor | None] = [None] * 5
    if needs(ctx, 0):
        grads[0] = _grid_sample(x, grid, w, *settings)
    if needs(ctx, 1):
        grads[1] = _grid_sample_adjoint(dy, grid, w, *ctx.size, *settings)
    if needs(ctx, 2):
        grads[2] = _grid_sample_grid_grad(dy, x, grid, w, *settings)
    return tuple(grads)


_grid_sample = Primitive(
    "grid_sample",
    "grid_sample(Tensor x, Tensor grid, Tensor? along, bool align_corners) -> Tensor",
    _allocate,
    _setup,
    _backward,
)
_grid_sample_adjoint = Primitive(
    "grid_sample",
    "grid_sample_adjoint(Tensor dy, Tensor grid, Tensor? along, int height, int width, bool align_corners) -> Tensor",
    _allocate_adjoint,
    _adjoint_setup,
    _adjoint_backward,
)
_grid_sample_grid_grad = Primitive(
    "grid_sample",
    "grid_sample_grid_grad(Tensor dy, Tensor x, Tensor grid, Tensor? along, bool align_corners) -> Tensor",
    lambda dy, x, grid, along, align_corners: torch.empty_like(grid),
    _grid_grad_setup,
    _grid_grad_backward,
)


def grid_sample(x: Tensor, grid: Tensor, align_corners: bool = False, *, backend: str | None = None) -> Tensor:
    """Samples images at given points, bilinearly, with zeros outside: F.grid_sample, differentiable twice.

        p             = (g_x W + W - 1) / 2, or with align_corners (g_x + 1) (W - 1) / 2; q alike of g_y and H
        y[n, c, i, j] = sum over pixels (a, b) of x[n, c, a, b] max(0, 1 - |q - a|) max(0, 1 - |p - b|)

    where g = grid[n, i, j]. x: [N, C, H, W], float32, float64, float16 or bfloat16, contiguous or channels_last
    (anything else is copied). grid: points (x, y), [N, H', W', 2], -1 and 1 being the borders of the image, or the
    centres of its outermost pixels with align_corners; any of these dtypes, computed in float32 or higher. A point
    that is NaN samples zeros.

    Returns y: [N, C, H', W'], of x's dtype and memory format. Half precision is summed in float32, and all sums have a
    fixed order, or on a GPU are sums of integers: equal inputs give equal bits. There, a gradient of y that is not
    finite makes all of x's gradient of that sample NaN. Differentiable in x any number of times on
    every backend, twice where the grid is differentiated too (F.grid_sample: once), any number of times with
    backend="reference". At a pixel's centre, where derivatives in the grid jump, they are those of the larger side.

    Raises TypeError or ValueError that names the argument; RuntimeError if a named backend cannot run.

    Source: Jaderberg et al. 2015, Spatial Transformer Networks (arXiv 1506.02025), section 3.3; as used by
    StyleGAN2-ADA (Karras et al. 2020, arXiv 2006.06676, appendix B).
    """
    arguments.check_tensor("x", x, ndim=4)
    arguments.check_tensor("grid", grid, ndim=4)
    arguments.check_same_device("grid", grid, x)
    if grid.shape[0] != x.shape[0] or grid.shape[3] != 2:
        raise ValueError(f"grid: got {tuple(grid.shape)}, takes [{x.shape[0]}, H', W', 2]")
    if 0 in x.shape[2:]:
        raise ValueError(f"x: got shape {tuple(x.shape)}, takes at least one pixel")
    grid = grid.to(computed_dtype(x.dtype))
    backend = resolve("grid_sample", x, backend)
    if backend == "reference":
        return _reference(x, grid, bool(align_corners))
    return _grid_sample(dense(x), grid.contiguous(), None, bool(align_corners), backend)


def affine_warp(
    x: Tensor,
    theta: Tensor,
    size: Sequence[int] | None = None,
    align_corners: bool = False,
    *,
    backend: str | None = None,
) -> Tensor:
    """Warps images by affine maps: the pixel of y at (u, v) shows the point theta (u, v, 1) of x.

        y = grid_sample(x, F.affine_grid(theta, [N, C, *size]))

    x: as in `grid_sample`. theta: [N, 2, 3], from y's coordinates to x's, both from -1 to 1 as there, any float dtype.
    size: (H', W') of y, by default that of x. Returns y: [N, C, H', W'], differentiable in x and theta as
    `grid_sample` is in x and its grid.

    Raises TypeError or ValueError that names the argument; RuntimeError if a named backend cannot run.

    Source: Jaderberg et al. 2015, Spatial Transformer Networks (arXiv 1506.02025), section 3.2.
    """
    arguments.check_tensor("x", x, ndim=4)
    arguments.check_tensor("theta", theta, ndim=3)
    arguments.check_same_device("theta", theta, x)
    if theta.shape != (x.shape[0], 2, 3):
        raise ValueError(f"theta: got {tuple(theta.shape)}, takes ({x.shape[0]}, 2, 3)")
    h, w = arguments.integers("size", list(x.shape[2:] if size is None else size), (2,), minimum=1)
    theta = theta.to(computed_dtype(x.dtype))
    return grid_sample(x, _affine_grid(theta, h, w, bool(align_corners)), align_corners, backend=backend)


def _affine_grid(theta: Tensor, h: int, w: int, align_corners: bool) -> Tensor:
    """F.affine_grid without its matrix product, which a GPU may round to TF32: a quarter of a pixel in 512."""

    def centres(size: int) -> Tensor:
        last = 1 - 1 / size if not align_corners or size == 1 else 1
        return torch.linspace(-last, last, size, dtype=theta.dtype, device=theta.device)

    across, down, shift = theta[:, None, None].unbind(-1)
    return across * centres(w)[:, None] + down * centres(h)[:, None, None] + shift
