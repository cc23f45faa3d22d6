"""Penalties on the gradient of a discriminator, and on that of a generator.

Each is one value a sample, float32 or higher, to be weighted and averaged by the caller, and differentiable once more:
in the network's weights. Those of (x, logits) take the gradient of a pass that the loss needs anyway or that the caller
makes for them; those of a discriminator D choose points of their own and call it: bind labels with a lambda or
functools.partial. On the way no gradient of a weight is computed.

Costs are counted in passes: one is what the convolutions of D cost forward, or one of their two gradients; D(x) and the
backward pass of the penalty count. The four of `r1` are D(x), its gradient in x, and of that the derivatives in its
cotangent and in the weights. Curvature (swish, minibatch stddev) sends a gradient back to what lies before it: at most
two more. docs/penalties.md has them measured, and says what works under torch.compile, autocast and
DistributedDataParallel.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from gan_fast.ops import arguments
from gan_fast.ops.interpolate import interpolate
from gan_fast.ops.noise import noise
from gan_fast.ops.primitive import computed_dtype
from gan_fast.ops.square_sum import square_sum


def r1(x: Tensor, logits: Tensor) -> Tensor:
    """Squared norm of the gradient of D's logits at real images.

        p[n] = sum of (d logits[n] / d x[n])^2

    x: [N, ...], the real images that D was given, with requires_grad. logits: D(x), [N, ...]; a map counts as its sum,
    and where logits of one sample depend on others (minibatch stddev) the gradient of the sum of all is taken, as in
    the published implementations. The loss of Mescheder et al. is gamma / 2 * p.mean().

    Returns [N]. Cost: 4 passes; 3 more than the loss, where that shares D(x).

    Raises TypeError or ValueError that names the argument; RuntimeError under torch.no_grad, and where D is a compiled
    function, which has no second derivative.

    Source: Mescheder et al. 2018, Which training methods for GANs do actually converge? (arXiv 1801.04406), equation 9.
    """
    return square_sum(_gradient("x", x, "logits", logits))


def r2(x: Tensor, logits: Tensor) -> Tensor:
    """Squared norm of the gradient of D's logits at generated images: r1 in every other respect.

    x: [N, ...], generated images, cut off from the generator: x = G(z).detach().requires_grad_().

    Source: Mescheder et al. 2018, Which training methods for GANs do actually converge? (arXiv 1801.04406), equation
    10; beside R1: Huang et al. 2024, The GAN is dead; long live the GAN! (arXiv 2501.05441).
    """
    return r1(x, logits)


def wgan_gp(
    D: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    seed: Tensor,
    target: float = 1.0,
    one_sided: bool = False,
) -> Tensor:
    """How far the norm of D's gradient is from a target at random points between real and generated images.

        p[n] = (|d D(x) / d x[n]| - target)^2,  x = interpolate(real, fake, seed)
        p[n] = max(|d D(x) / d x[n]| - target, 0)^2, where one_sided

    D: images -> logits, as for `r1`. real, fake: [N, ...], of one shape and dtype; no gradient flows into them. seed:
    (seed, offset), int64 [2], on their device: another offset at each step, and on each rank. Where the gradient is 0
    the penalty has the derivative 0, not NaN.

    Returns [N]. Cost: 4 passes.

    Raises what `r1` raises.

    Source: Gulrajani et al. 2017, Improved training of Wasserstein GANs (arXiv 1704.00028), equation 3; one-sided:
    Petzka et al. 2018, On the regularization of Wasserstein GANs (arXiv 1709.08894), there called LP.
    """
    return _distance(_squared_norm_at(D, interpolate(real.detach(), fake.detach(), seed)), target, one_sided)


def zero_centred_gp(D: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, seed: Tensor) -> Tensor:
    """Squared norm of the gradient of D's logits at random points between real and generated images.

        p[n] = |d D(x) / d x[n]|^2,  x = interpolate(real, fake, seed)

    Arguments and errors are those of `wgan_gp`.

    Returns [N]. Cost: 4 passes.

    Source: Thanh-Tung et al. 2019, Improving generalization and stability of generative adversarial networks (arXiv
    1902.03984), the zero-centered gradient penalty on interpolates.
    """
    return _squared_norm_at(D, interpolate(real.detach(), fake.detach(), seed))


def dragan(
    D: Callable[[Tensor], Tensor],
    real: Tensor,
    seed: Tensor,
    sigma: float,
    target: float = 1.0,
    one_sided: bool = False,
) -> Tensor:
    """How far the norm of D's gradient is from a target around real images.

        p[n] = (|d D(x) / d x[n]| - target)^2,  x = real + sigma z,  z = noise(real's shape, seed)

    sigma: standard deviation of the noise, in the unit of the images. The other arguments and the errors are those of
    `wgan_gp`.

    Returns [N]. Cost: 4 passes.

    Source: Kodali et al. 2017, On convergence and stability of GANs (arXiv 1705.07215), there called DRAGAN.
    """
    return _distance(_squared_norm_at(D, _perturbed(real, seed, sigma)), target, one_sided)


def finite_difference_r1(
    D: Callable[[Tensor], Tensor], x: Tensor, logits: Tensor, seed: Tensor, sigma: float = 0.01
) -> Tensor:
    """What R1 is in the mean over random directions, from a difference of logits: no gradient is differentiated.

        p[n] = ((D(x + sigma z)[n] - logits[n]) / sigma)^2,  z = noise(x's shape, seed)

    For small sigma the mean over z is r1(x, logits); one z makes an unbiased estimate, whose standard deviation is
    sqrt(2) times what it estimates. It asks nothing of D but a first derivative: D may be compiled. A difference of
    logits of half precision is mostly rounding: give float32.

    x: [N, ...]. logits: D(x), which the loss may share. seed: as for `wgan_gp`. sigma: in the unit of the images. Of
    the published loss |D(x) - D(x + sigma z)|^2, p is 1 / sigma^2 times.

    Returns [N]. Cost: 6 passes; 3 more than the loss, where that shares D(x).

    Source: Lin et al. 2025, Diffusion adversarial post-training for one-step video generation (arXiv 2501.08316), there
    called approximated R1.
    """
    _check_samples("x", x, "logits", logits)
    moved = D(_perturbed(x, seed, sigma))
    if moved.shape != logits.shape:
        raise ValueError(f"logits: got {tuple(logits.shape)}, takes {tuple(moved.shape)}, as D returns")
    dtype = computed_dtype(logits.dtype)
    difference = (moved.to(dtype) - logits.to(dtype)).reshape(len(logits), -1).sum(1)
    return (difference / sigma).square()


def path_length(ws: Tensor, images: Tensor, seed: Tensor) -> Tensor:
    """How far images move, in a random direction of theirs, as the latents move.

        l[n] = sqrt(mean over the layers i of |J[n, i]^T y[n]|^2),  J[n, i] = d images[n] / d ws[n, i]
        y = noise(images' shape, seed) / sqrt(H W)

    ws: [N, layers, w_dim] or [N, w_dim], the latents that the generator's synthesis was given, with requires_grad (or
    from a mapping whose weights have). images: the synthesis of ws, [N, C, H, W] (or any number of sides). seed: as
    for `wgan_gp`. y is drawn where the pass begins, and no graph keeps it besides what the last layers of the
    synthesis keep of their gradient.

    Returns lengths [N]; `path_length_penalty` compares them with their moving mean. Cost: 6 passes of the synthesis,
    whose modulation is curved; published training draws half a batch of latents for it.

    Raises what `r1` raises.

    Source: StyleGAN2, Karras et al. 2020 (arXiv 1912.04958), section 3.2, equation 4 and appendix B.
    """
    arguments.check_tensor("images", images)
    if images.ndim < 2:
        raise ValueError(f"images: got {images.ndim} dimensions, takes [N, C, ...]")
    arguments.check_seed("seed", seed)
    y = noise(images.shape, seed, images.new_full([], 1 / math.sqrt(math.prod(images.shape[2:]))))
    g = _gradient("ws", ws, "images", images, y)
    return _root(square_sum(g) / math.prod(g.shape[1:-1]))


def path_length_penalty(
    lengths: Tensor, mean: Tensor, decay: float = 0.01, batch_mean: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Squared distance of path lengths from their moving mean, and that mean after this batch.

        a = mean + decay (batch_mean - mean),  p[n] = (lengths[n] - a)^2

    lengths: [N], of `path_length`. mean: [], the a that the last call returned, at first 0. batch_mean: [], the mean
    of the lengths of all ranks; None: of these. a is a constant to autograd, as in the equation (in the published code
    `decay` of the penalty's gradient flows through it), so that samples do not depend on each other.

    Returns p [N] and a [].

    Source: StyleGAN2, Karras et al. 2020 (arXiv 1912.04958), equation 4; decay: its appendix B.
    """
    batch_mean = lengths.mean() if batch_mean is None else batch_mean
    a = mean.lerp(batch_mean.to(mean.dtype), decay).detach()
    return (lengths - a).square(), a


def _squared_norm_at(D: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    x.requires_grad_()
    return square_sum(_gradient("x", x, "D(x)", D(x)))


def _perturbed(x: Tensor, seed: Tensor, sigma: float) -> Tensor:
    arguments.check_tensor("x", x)
    if arguments.real("sigma", sigma) <= 0:
        raise ValueError(f"sigma: got {sigma}, takes a positive number")
    return x.detach() + noise(x.shape, seed, x.new_full([], sigma))


def _root(squares: Tensor) -> Tensor:
    """The root, with the derivative 0 at 0."""
    return squares.clamp(min=torch.finfo(squares.dtype).tiny).sqrt()


def _distance(squared_norms: Tensor, target: float, one_sided: bool) -> Tensor:
    beyond = _root(squared_norms) - arguments.real("target", target)
    return (beyond.clamp(min=0) if one_sided else beyond).square()


def _gradient(x_name: str, x: Tensor, y_name: str, y: Tensor, dy: Tensor | None = None) -> Tensor:
    """The gradient of y's sum, or of its product with dy, in x alone, to be differentiated again."""
    _check_samples(x_name, x, y_name, y)
    if not torch.is_grad_enabled():
        raise RuntimeError("a gradient penalty under torch.no_grad() has no gradient itself: call it outside")
    if not x.requires_grad:
        raise ValueError(f"{x_name}: does not require a gradient; call {x_name}.requires_grad_() before it is used")
    if not torch.compiler.is_compiling() and "torch._functorch.aot_autograd" in sys.modules:
        _refuse_compiled(x, y)
    if y.requires_grad:
        (g,) = torch.autograd.grad(y.sum() if dy is None else y, [x], dy, create_graph=True, allow_unused=True)
        if g is not None:
            return g
    raise ValueError(f"{y_name}: do not depend on {x_name}")


def _check_samples(x_name: str, x: Tensor, y_name: str, y: Tensor) -> None:
    arguments.check_tensor(x_name, x)
    arguments.check_tensor(y_name, y)
    if y.shape[:1] != x.shape[:1]:
        got, wanted = (f"shape {tuple(t.shape)}" for t in (y, x))
        raise ValueError(f"{y_name}: got {got}, takes as many samples as {x_name} of {wanted}")


def _refuse_compiled(x: Tensor, y: Tensor) -> None:
    """What torch.compile made of a network has no second derivative, which PyTorch says too late or not at all."""
    seen, left = {x.grad_fn} - {y.grad_fn}, [y.grad_fn]
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        if node.name() == "CompiledFunctionBackward":
            raise RuntimeError(
                "the network of a gradient penalty is a compiled function, which cannot be differentiated twice:"
                " compile the whole phase (docs/penalties.md), or call the network uncompiled"
            )
        seen.add(node)
        left += [following for following, _ in node.next_functions]
