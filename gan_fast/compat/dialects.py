"""The names that StyleGAN2's tensors have in other projects' checkpoints: a table each.

A `Row` pairs a name in our state dicts (see `gan_fast.models.stylegan2`; NVlabs' names are the same) with a foreign one
and says how the foreign tensor is made from ours. All the dialects of rosinality's family store the same numbers:

    equalised weights      before their scale 1 / sqrt(fan_in), as here; biases before their multiplier
    convolutions of G      with a leading axis of 1, [1, O, I, k, k]; upsampling ones as a transposed convolution's
    bias and activation    the bias belongs to the activation after the convolution
    noise                  strength [1], planes [1, 1, h, w]; learned constant [1, C, 4, 4]; bias of ToRGB [1, 3, 1, 1]
    filters of up-layers   times 4, the gain of upsampling by two

and differ in names alone: `RENAMED` turns rosinality's into each other's. GFPGAN's clean decoder and lucidrains' files
hold other architectures, `gan_fast.models.stylegan2_clean` and `stylegan2_lucidrains`, and have tables of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Row:
    """ours, theirs: names. before, after: axes of size 1 that theirs has around ours. scale: theirs / ours."""

    ours: str
    theirs: str
    before: int = 0
    after: int = 0
    scale: float = 1.0

    def export(self, x: Tensor) -> Tensor:
        return (x * self.scale if self.scale != 1 else x).reshape((1,) * self.before + x.shape + (1,) * self.after)

    def import_(self, x: Tensor) -> Tensor:
        """Raises ValueError where the axes of size 1 are missing."""
        end = x.ndim - self.after
        if end < self.before or any(n != 1 for n in (*x.shape[: self.before], *x.shape[end:])):
            raise ValueError(f"{self.theirs}: got shape {list(x.shape)}")
        x = x.reshape(x.shape[self.before : end])
        return x / self.scale if self.scale != 1 else x


# Patterns over rosinality's names; the first that matches is applied. None: the dialect stores no such tensor.
RENAMED: dict[str, tuple[tuple[str, str | None], ...]] = {
    "rosinality": (),
    "basicsr": (
        (r".*\.kernel", None),
        (r"style\.", r"style_mlp."),
        (r"input\.input", r"constant_input.weight"),
        (r"noises\.noise_", r"noises.noise"),
        (r"(conv1|convs\.\d+)\.noise\.weight", r"style_\1.weight"),
        (r"(conv1|convs\.\d+)\.conv\.(?=weight|modulation)", r"style_\1.modulated_conv."),
        (r"(conv1|convs\.\d+)\.activate\.", r"style_\1.activate."),
        (r"(to_rgb1|to_rgbs\.\d+)\.conv\.", r"\1.modulated_conv."),
        (r"convs\.", r"conv_body."),
    ),
    "mmgen": (
        (r"style\.(\d+)\.weight", r"style_mapping.\1.linear.weight_orig"),
        (r"style\.", r"style_mapping."),
        (r"input\.input", r"constant_input.input"),
        (r"noises\.noise_", r"injected_noise_"),
        (r"(.*)\.noise\.weight", r"\1.noise_injector.weight"),
        (r"(.*)\.conv\.modulation\.weight", r"\1.conv.style_modulation.linear.weight_orig"),
        (r"(.*)\.conv\.modulation\.bias", r"\1.conv.style_modulation.bias"),
        (r"(.*)\.conv\.weight", r"\1.conv.weight_orig"),
        (r"final_linear\.(\d)\.weight", r"final_linear.\1.linear.weight_orig"),
        (r"((?:convs\.|final_conv).*)\.weight", r"\1.conv.weight_orig"),
    ),
    "gfpgan": (),
    "lucidrains": (),
}


def rename(dialect: str, name: str) -> str | None:
    for pattern, replacement in RENAMED[dialect]:
        if re.match(pattern, name):
            return None if replacement is None else re.sub(pattern, replacement, name, count=1)
    return name


def generator_rows(dialect: str, blocks: int, layers: int) -> list[Row]:
    """The table of a generator of `blocks` resolutions, 4x4 included, and `layers` of the mapping."""
    return list(_renamed(dialect, _generator_rows(blocks, layers)))


def discriminator_rows(dialect: str, blocks: int) -> list[Row]:
    return list(_renamed(dialect, _discriminator_rows(blocks)))


def _renamed(dialect: str, rows: Iterator[Row]) -> Iterator[Row]:
    for row in rows:
        theirs = rename(dialect, row.theirs)
        if theirs is not None:
            yield Row(row.ours, theirs, row.before, row.after, row.scale)


def _generator_rows(blocks: int, layers: int) -> Iterator[Row]:
    for i in range(layers):
        yield from _both(f"mapping.fc{i}", f"style.{i + 1}")
    yield Row("synthesis.b4.const", "input.input", 1)
    for k in range(blocks):
        block = f"synthesis.b{4 << k}"
        convs = [("conv1", "conv1")] if k == 0 else [("conv0", f"convs.{2 * k - 2}"), ("conv1", f"convs.{2 * k - 1}")]
        for ours, theirs in convs:
            yield from _modulated(f"{block}.{ours}", f"{theirs}.conv")
            yield Row(f"{block}.{ours}.bias", f"{theirs}.activate.bias")
            yield Row(f"{block}.{ours}.noise_strength", f"{theirs}.noise.weight", 1)
            plane = 2 * k - (ours == "conv0")
            yield Row(f"{block}.{ours}.noise_const", f"noises.noise_{plane}", 2)
            if ours == "conv0":
                yield Row(f"{block}.conv0.resample_filter", f"{theirs}.conv.blur.kernel", scale=4)
        theirs = "to_rgb1" if k == 0 else f"to_rgbs.{k - 1}"
        yield from _modulated(f"{block}.torgb", f"{theirs}.conv")
        yield Row(f"{block}.torgb.bias", f"{theirs}.bias", 1, 2)
        if k:
            yield Row(f"{block}.resample_filter", f"{theirs}.upsample.kernel", scale=4)


def _modulated(ours: str, theirs: str) -> Iterator[Row]:
    yield Row(f"{ours}.weight", f"{theirs}.weight", 1)
    yield from _both(f"{ours}.affine", f"{theirs}.modulation")


def _discriminator_rows(blocks: int) -> Iterator[Row]:
    top = f"b{2 << blocks}"
    yield Row(f"{top}.fromrgb.weight", "convs.0.0.weight")
    yield Row(f"{top}.fromrgb.bias", "convs.0.1.bias")
    for j in range(1, blocks):
        ours, theirs = f"b{4 << blocks - j}", f"convs.{j}"
        yield Row(f"{ours}.conv0.weight", f"{theirs}.conv1.0.weight")
        yield Row(f"{ours}.conv0.bias", f"{theirs}.conv1.1.bias")
        yield Row(f"{ours}.conv1.resample_filter", f"{theirs}.conv2.0.kernel")
        yield Row(f"{ours}.conv1.weight", f"{theirs}.conv2.1.weight")
        yield Row(f"{ours}.conv1.bias", f"{theirs}.conv2.2.bias")
        yield Row(f"{ours}.skip.resample_filter", f"{theirs}.skip.0.kernel")
        yield Row(f"{ours}.skip.weight", f"{theirs}.skip.1.weight")
    yield Row("b4.conv.weight", "final_conv.0.weight")
    yield Row("b4.conv.bias", "final_conv.1.bias")
    yield from _both("b4.fc", "final_linear.0")
    yield from _both("b4.out", "final_linear.1")


def gfpgan_generator_rows(blocks: int, layers: int) -> list[Row]:
    """As `generator_rows`: BasicSR's names, but for the activations, which are numbered or have no bias there."""
    rows = [row for i in range(layers) for row in _both(f"mapping.fc{i}", f"style_mlp.{2 * i + 1}")]
    for row in generator_rows("basicsr", blocks, 0):
        if row.theirs == "constant_input.weight":
            rows.append(Row("synthesis.start", row.theirs, row.before))
        elif row.theirs.endswith(".activate.bias"):
            rows.append(Row(row.ours, row.theirs.replace("activate.", ""), 1, 2))
        else:
            rows.append(row)
    return rows


def lucidrains_generator_rows(blocks: int, layers: int) -> list[Row]:
    """As `generator_rows`, of whatever such a generator may have: attention in every block, and either start."""
    return list(_lucidrains_generator_rows(blocks, layers))


def lucidrains_discriminator_rows(blocks: int) -> list[Row]:
    """As `discriminator_rows`, with attention and codes in every block. Its logits are high where ours are low."""
    return list(_lucidrains_discriminator_rows(blocks))


def _lucidrains_generator_rows(blocks: int, layers: int) -> Iterator[Row]:
    for i in range(layers):
        yield from _both(f"mapping.fc{i}", f"S.net.{2 * i}")
    yield Row("synthesis.const", "G.initial_block", 1)
    yield Row("synthesis.to_const", "G.to_initial_block.weight")
    yield from _both("synthesis.initial_conv", "G.initial_conv")
    for k in range(blocks):
        ours, theirs = f"synthesis.b{4 << k}", f"G.blocks.{k}"
        for i in (0, 1):
            conv = f"{ours}.conv{i}"
            yield Row(f"{conv}.weight", f"{theirs}.conv{i + 1}.weight")
            yield from _both(f"{conv}.affine", f"{theirs}.to_style{i + 1}")
            yield Row(f"{conv}.noise_strength", f"{theirs}.to_noise{i + 1}.weight", after=1)
            yield Row(f"{conv}.bias", f"{theirs}.to_noise{i + 1}.bias")
        yield Row(f"{ours}.torgb.weight", f"{theirs}.to_rgb.conv.weight")
        yield from _both(f"{ours}.torgb.affine", f"{theirs}.to_rgb.to_style")
        if k:
            yield Row(f"{ours}.blur.f", f"G.blocks.{k - 1}.to_rgb.upsample.1.f", scale=4)
        yield from _lucidrains_attention(f"{ours}.attention", f"G.attns.{k}")


def _lucidrains_discriminator_rows(blocks: int) -> Iterator[Row]:
    for k in range(blocks):
        ours, theirs = f"b{1 << blocks - k}", f"blocks.{k}"
        yield from _both(f"{ours}.skip", f"{theirs}.conv_res")
        yield from _both(f"{ours}.conv0", f"{theirs}.net.0")
        yield from _both(f"{ours}.conv1", f"{theirs}.net.2")
        yield Row(f"{ours}.blur.f", f"{theirs}.downsample.0.f", scale=4)
        yield from _both(f"{ours}.down", f"{theirs}.downsample.1")
        yield from _lucidrains_attention(f"{ours}.attention", f"attn_blocks.{k}")
        for part, named in (("codes", "embed"), ("usage", "cluster_size"), ("sums", "embed_avg")):
            yield Row(f"{ours}.quantizer.{part}", f"quantize_blocks.{k}.fn.{named}")
    yield from _both("final_conv", "final_conv")
    yield from _both("out", "to_logit", scale=-1)


def _lucidrains_attention(ours: str, theirs: str) -> Iterator[Row]:
    for i in (0, 1):
        yield Row(f"{ours}.{i}.norm.scale", f"{theirs}.{i}.fn.norm.g", 1, 2)
        yield Row(f"{ours}.{i}.norm.shift", f"{theirs}.{i}.fn.norm.b", 1, 2)
    yield Row(f"{ours}.0.q.weight", f"{theirs}.0.fn.fn.to_q.weight")
    yield Row(f"{ours}.0.near.weight", f"{theirs}.0.fn.fn.to_kv.net.0.weight")
    yield Row(f"{ours}.0.kv.weight", f"{theirs}.0.fn.fn.to_kv.net.1.weight")
    yield from _both(f"{ours}.0.out", f"{theirs}.0.fn.fn.to_out")
    yield from _both(f"{ours}.1.conv0", f"{theirs}.1.fn.fn.0")
    yield from _both(f"{ours}.1.conv1", f"{theirs}.1.fn.fn.2")


def _both(ours: str, theirs: str, scale: float = 1.0) -> Iterator[Row]:
    for part in ("weight", "bias"):
        yield Row(f"{ours}.{part}", f"{theirs}.{part}", scale=scale)
