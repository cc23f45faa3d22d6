"""GFPGAN's checkpoints, in plain PyTorch: what those files mean, without gan_fast.

`state` makes StyleGAN2GeneratorClean's state dict with random numbers; `mapped` and `drawn` say what it computes, a
sample and a layer at a time. `around` is what a whole GFPGAN has besides: encoder, and layers that make conditions.
"""

import math

import torch
import torch.nn.functional as F
from lucidrains_style import doubled, lrelu
from torch import Tensor

State = dict[str, Tensor]


def state(channels: list[int], z: int, layers: int) -> State:
    """channels: for 4, 8, ... up to the image's side."""
    s: State = {}

    def add(name: str, *shape: int, bias: float = 0.0) -> None:
        s[f"{name}.weight"] = torch.randn(shape) / math.sqrt(math.prod(shape[1:]))
        s[f"{name}.bias"] = bias + torch.randn(shape[0]) * 0.1

    def modulated(name: str, inputs: int, outputs: int, k: int) -> None:
        s[f"{name}.modulated_conv.weight"] = torch.randn(1, outputs, inputs, k, k) / math.sqrt(inputs * k * k)
        add(f"{name}.modulated_conv.modulation", inputs, z, bias=1.0)
        s[f"{name}.bias"] = torch.randn(1, outputs, 1, 1) * 0.3

    def styled(name: str, inputs: int, outputs: int, side: int, number: int) -> None:
        modulated(name, inputs, outputs, 3)
        s[f"{name}.weight"] = torch.randn(1)
        s[f"noises.noise{number}"] = torch.randn(1, 1, side, side)

    for i in range(layers):
        add(f"style_mlp.{2 * i + 1}", z, z)
    s["constant_input.weight"] = torch.randn(1, channels[0], 4, 4)
    styled("style_conv1", channels[0], channels[0], 4, 0)
    modulated("to_rgb1", channels[0], 3, 1)
    for k in range(1, len(channels)):
        before, here = channels[k - 1], channels[k]
        styled(f"style_convs.{2 * k - 2}", before, here, 4 << k, 2 * k - 1)
        styled(f"style_convs.{2 * k - 1}", here, here, 4 << k, 2 * k)
        modulated(f"to_rgbs.{k - 1}", here, 3, 1)
    return s


def around(decoder: State) -> State:
    """A whole network, of which a few layers for each part."""
    s = {f"stylegan_decoder.{name}": x for name, x in decoder.items()}
    for name, shape in (
        ("conv_body_first", (4, 3, 1, 1)),
        ("conv_body_down.0.conv1", (4, 4, 3, 3)),
        ("conv_body_down.0.conv2", (4, 4, 3, 3)),
        ("final_conv", (4, 4, 3, 3)),
        ("conv_body_up.0.conv1", (4, 4, 3, 3)),
        ("toRGB.0", (3, 4, 1, 1)),
        ("final_linear", (32, 64)),
        ("condition_scale.0.0", (4, 4, 3, 3)),
        ("condition_shift.0.0", (4, 4, 3, 3)),
    ):
        s[f"{name}.weight"], s[f"{name}.bias"] = torch.randn(shape), torch.randn(shape[0])
    return s


def linear(s: State, name: str, x: Tensor) -> Tensor:
    return x @ s[f"{name}.weight"].T + s[f"{name}.bias"]


def modulated(s: State, name: str, x: Tensor, w: Tensor, demodulate: bool) -> Tensor:
    images = []
    for image, style in zip(x, linear(s, f"{name}.modulated_conv.modulation", w), strict=True):
        weight = s[f"{name}.modulated_conv.weight"][0] * style[:, None, None]
        if demodulate:
            weight = weight / (weight.square().sum([1, 2, 3], keepdim=True) + 1e-8).sqrt()
        images.append(F.conv2d(image[None], weight, padding=weight.shape[-1] // 2))
    return torch.cat(images)


def styled(s: State, name: str, x: Tensor, w: Tensor, noise: Tensor | float) -> Tensor:
    return lrelu(math.sqrt(2) * modulated(s, name, x, w, True) + s[f"{name}.weight"] * noise + s[f"{name}.bias"])


def mapped(s: State, z: Tensor) -> Tensor:
    w = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
    i = 1
    while f"style_mlp.{i}.weight" in s:
        w = lrelu(linear(s, f"style_mlp.{i}", w))
        i += 2
    return w


def drawn(s: State, ws: Tensor, noise: list[Tensor | float] | None = None) -> Tensor:
    """Images of ws [N, latents, z]; noise: one plane a layer, None: the stored ones."""
    if noise is None:
        noise = [s[f"noises.noise{i}"] for i in range(ws.shape[1] - 1)]
    x = s["constant_input.weight"].expand(len(ws), -1, -1, -1)
    x = styled(s, "style_conv1", x, ws[:, 0], noise[0])
    image = modulated(s, "to_rgb1", x, ws[:, 1], False) + s["to_rgb1.bias"]
    for i in range(1, ws.shape[1] - 1, 2):
        x = styled(s, f"style_convs.{i - 1}", doubled(x), ws[:, i], noise[i])
        x = styled(s, f"style_convs.{i}", x, ws[:, i + 1], noise[i + 1])
        rgb = f"to_rgbs.{i // 2}"
        image = doubled(image) + modulated(s, rgb, x, ws[:, i + 2], False) + s[f"{rgb}.bias"]
    return image
