"""StyleGAN2 (Karras et al. 2020, arXiv 1912.04958) with the options of StyleGAN2-ADA (arXiv 2006.06676).

    z, c -> Mapping -> w -> (truncation) -> ws [N, num_ws, w_dim] -> Synthesis -> image [N, C, H, W]
    image, c -> Discriminator -> logits [N, 1]

`build("stylegan2-256")` makes the pair of a named configuration; `Generator` and `Discriminator` take any other.

Names in state dicts follow the ADA release, so that its checkpoints fit:

    mapping.embed.*, mapping.fc0.*, ...        label embedding (with labels) and fully connected layers: weight, bias
    mapping.w_avg                              running mean of w (generator only)
    synthesis.b4.const                         learned constant [C, h, w]; blocks are b4, b8, ... by their smaller side
    synthesis.b<r>.conv0, conv1                ModulatedConv2d (b4 has conv1 only): affine.weight, affine.bias, weight,
                                               bias, noise_strength, noise_const, resample_filter
    synthesis.b<r>.torgb                       ToRGB: affine.weight, affine.bias, weight, bias
    synthesis.b<r>.skip                        1x1 Conv2d of the residual architecture: weight, resample_filter
    synthesis.b<r>.resample_filter
    b<r>.fromrgb, conv0, conv1, skip           the discriminator's blocks, from the full resolution down to b8
    b4.conv, b4.fc, b4.out                     its end, and b4.fromrgb where that reads an image
    mapping.*                                  its label mapping, without w_avg (with labels)

An upsampling layer stores its weight rotated by 180 degrees (see `gan_fast.layers.Conv2d`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping as MappingType
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_fast.layers import Conv2d, EqualizedLinear, FromRGB, MinibatchStdDev, ModulatedConv2d, ToRGB
from gan_fast.models import common
from gan_fast.ops import downsample2d, setup_filter, upsample2d

ARCHITECTURES = ("orig", "skip", "resnet")
LOWPREC_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}

Size = int | tuple[int, int]


# ---------------------------------------------------------------- generator


class Mapping(nn.Module):
    """w = f(z, c): from a random vector and a label to an intermediate latent.

    z, and the linear embedding of c, are brought to unit second moment, x / sqrt(mean(x^2) + 1e-8), put side by side,
    and pass num_layers equalised fully connected layers with leaky ReLU (1912.04958, appendix B; labels as in ADA).
    Truncation draws w towards the running mean: w_avg + psi (w - w_avg) for the first truncation_cutoff layers.

    Args:
        z_dim: size of z; 0: no z.
        c_dim: size of the label; 0: no label.
        w_dim: size of w, and of every hidden layer.
        num_ws: how many copies of w to return; None: one, as [N, w_dim], and no running mean.
        num_layers: fully connected layers, at least 1.
        lr_multiplier: their speed of learning.
        w_avg_beta: decay of the running mean, per update.

    Shapes: z [N, z_dim], c [N, c_dim] -> [N, num_ws, w_dim] or [N, w_dim], in the dtype of the parameters.
    """

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        num_ws: int | None,
        num_layers: int = 8,
        *,
        lr_multiplier: float = 0.01,
        w_avg_beta: float = 0.998,
    ):
        super().__init__()
        if z_dim + c_dim == 0:
            raise ValueError("z_dim, c_dim: got 0 and 0, one of them must be positive")
        if num_layers < 1:
            raise ValueError(f"num_layers: got {num_layers}, takes integers from 1")
        self.z_dim, self.c_dim, self.w_dim, self.num_ws, self.num_layers = z_dim, c_dim, w_dim, num_ws, num_layers
        self.w_avg_beta = w_avg_beta
        if c_dim > 0:
            self.embed = EqualizedLinear(c_dim, w_dim)
        in_features = z_dim + (w_dim if c_dim > 0 else 0)
        for i in range(num_layers):
            layer = EqualizedLinear(in_features, w_dim, activation="lrelu", lr_multiplier=lr_multiplier)
            setattr(self, f"fc{i}", layer)
            in_features = w_dim
        if num_ws is not None:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self,
        z: Tensor | None,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        update_emas: bool = False,
    ) -> Tensor:
        """Map z and c; update_emas also moves w_avg towards the mean of this batch."""
        inputs = []
        if self.z_dim > 0:
            inputs.append(_normalize(common.rows("z", z, self.z_dim, self.fc0.weight)))
        if self.c_dim > 0:
            inputs.append(_normalize(self.embed(common.rows("c", c, self.c_dim, self.fc0.weight))))
        elif c is not None and c.numel() > 0:
            raise ValueError(f"c: got shape {list(c.shape)}, takes None or [N, 0] as c_dim is 0")
        if inputs[0].shape[0] != inputs[-1].shape[0]:
            raise ValueError(f"c: got {c.shape[0]} labels, takes one for each of the {z.shape[0]} rows of z")
        w = torch.cat(inputs, 1)
        for i in range(self.num_layers):
            w = getattr(self, f"fc{i}")(w)
        if self.num_ws is None:
            return w
        if update_emas:
            self.w_avg.copy_(w.detach().mean(0).lerp(self.w_avg, self.w_avg_beta))
        return common.styles(w, self.w_avg, self.num_ws, truncation_psi, truncation_cutoff)


class SynthesisBlock(nn.Module):
    """One resolution of the synthesis network: conv0 doubles the size, conv1 keeps it, torgb adds to the image.

    The first block (in_channels 0) starts from the learned constant and has conv1 alone. "skip" sums the images of all
    blocks, "resnet" adds a 1x1 shortcut and scales both branches by sqrt(1/2), "orig" has neither (paper, figure 7).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        size: tuple[int, int],
        img_channels: int,
        is_last: bool,
        *,
        architecture: str,
        resample_filter: Sequence[float],
        conv_clamp: float | None,
        dtype: torch.dtype | None,
    ):
        super().__init__()
        self.architecture, self.dtype = architecture, dtype
        self.register_buffer("resample_filter", setup_filter(resample_filter))
        options = {"resolution": size, "resample_filter": resample_filter, "conv_clamp": conv_clamp}
        self.is_first = in_channels == 0
        if self.is_first:
            self.const = nn.Parameter(torch.randn(out_channels, *size))
        else:
            self.conv0 = ModulatedConv2d(in_channels, out_channels, w_dim, up=2, **options)
        self.conv1 = ModulatedConv2d(out_channels, out_channels, w_dim, **options)
        self.has_torgb = is_last or architecture == "skip"
        if self.has_torgb:
            self.torgb = ToRGB(out_channels, img_channels, w_dim, conv_clamp=conv_clamp)
        if not self.is_first and architecture == "resnet":
            self.skip = Conv2d(in_channels, out_channels, 1, bias=False, up=2, resample_filter=resample_filter)
        self.num_conv = 1 if self.is_first else 2

    def forward(
        self, x: Tensor | None, img: Tensor | None, ws: Tensor, noise_mode: str
    ) -> tuple[Tensor, Tensor | None]:
        """x [N, in_channels, h/2, w/2], img [N, img_channels, h/2, w/2], ws [N, num_conv + 1, w_dim]: one w a layer."""
        w0, w1, w_rgb = ws[:, 0], ws[:, self.num_conv - 1], ws[:, -1]
        dtype = self.dtype or self.conv1.weight.dtype
        if self.is_first:
            x = self.const.to(dtype)[None].expand(ws.shape[0], -1, -1, -1)
            x = x.contiguous(memory_format=_memory_format(self.conv1.weight))
            x = self.conv1(x, w1, noise_mode)
        elif self.architecture == "resnet":
            x = x.to(dtype)
            y = self.skip(x, gain=0.5**0.5)
            x = self.conv0(x, w0, noise_mode)
            x = self.conv1(x, w1, noise_mode, gain=0.5**0.5) + y
        else:
            x = self.conv0(x.to(dtype), w0, noise_mode)
            x = self.conv1(x, w1, noise_mode)
        if img is not None:
            img = upsample2d(img, self.resample_filter)
        if self.has_torgb:
            y = self.torgb(x, w_rgb).to(self.torgb.weight.dtype)
            img = y if img is None else img + y
        return x, img


class Synthesis(nn.Module):
    """image = g(ws, noise): blocks b4, b8, ... up to img_resolution; block by block the arguments are `Generator`'s.

    Each convolution takes a w of its own, in order; a torgb shares its w with the convolution that follows it, and the
    last torgb has its own: num_ws = 2 log2(side) - 2 for square images.

    Shapes: ws [N, num_ws, w_dim] -> [N, img_channels, H, W], in the dtype of the parameters.
    """

    def __init__(
        self,
        w_dim: int,
        img_resolution: Size,
        img_channels: int,
        *,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: str = "skip",
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        conv_clamp: float | None = None,
        num_lowprec_res: int = 0,
        lowprec_dtype: str = "bfloat16",
    ):
        super().__init__()
        _check_architecture(architecture)
        sizes = _block_sizes(img_resolution)
        dtypes = _block_dtypes(len(sizes), num_lowprec_res, lowprec_dtype)
        self.w_dim = w_dim
        self.names = []
        self.num_ws = 1
        in_channels = 0
        for size, dtype in zip(sizes, dtypes, strict=True):
            out_channels = _channels(size, channel_base, channel_max)
            block = SynthesisBlock(
                in_channels,
                out_channels,
                w_dim,
                size,
                img_channels,
                is_last=size == sizes[-1],
                architecture=architecture,
                resample_filter=resample_filter,
                conv_clamp=conv_clamp,
                dtype=dtype,
            )
            self.names.append(f"b{min(size)}")
            setattr(self, self.names[-1], block)
            self.num_ws += block.num_conv
            in_channels = out_channels

    def forward(self, ws: Tensor, noise_mode: str = "random") -> Tensor:
        """Draw images; noise_mode is "random", "const" (the stored planes, the same for every sample) or "none"."""
        common.check_ws(ws, self.num_ws, self.w_dim)
        x = img = None
        i = 0
        for name in self.names:
            block = getattr(self, name)
            x, img = block(x, img, ws[:, i : i + block.num_conv + 1], noise_mode)
            i += block.num_conv
        return img


class Generator(common.StyleBased):
    """G(z, c) = synthesis(mapping(z, c)).

    Args:
        z_dim: size of the random vector; 0: none (labels only).
        c_dim: size of the label vector, one-hot as a rule; 0: none.
        w_dim: size of the intermediate latent.
        img_resolution: side of the image, a power of two from 4 upwards; or (height, width), where the larger side is a
            multiple of a quarter of the smaller's power of two: (32, 64) starts from a 4x8 constant.
        img_channels: channels of the image.
        num_layers: fully connected layers of the mapping.
        channel_base, channel_max: a block whose smaller side is r has min(channel_base // r, channel_max) channels.
        architecture: "skip" (the paper's), "resnet" or "orig".
        resample_filter: taps of the FIR filter for every change of size.
        conv_clamp: bound on every layer's output (256 suits fp16); None: none.
        num_lowprec_res, lowprec_dtype: the so many largest resolutions run in "bfloat16" or "float16", the rest, the
            image and the parameters in the parameters' dtype.

    Memory format: `G.to(memory_format=torch.channels_last)` runs all blocks channels-last.
    """

    def __init__(
        self,
        z_dim: int = 512,
        c_dim: int = 0,
        w_dim: int = 512,
        img_resolution: Size = 256,
        img_channels: int = 3,
        *,
        num_layers: int = 8,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: str = "skip",
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        conv_clamp: float | None = None,
        num_lowprec_res: int = 0,
        lowprec_dtype: str = "bfloat16",
    ):
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim = z_dim, c_dim, w_dim
        self.img_resolution, self.img_channels = img_resolution, img_channels
        self.synthesis = Synthesis(
            w_dim,
            img_resolution,
            img_channels,
            channel_base=channel_base,
            channel_max=channel_max,
            architecture=architecture,
            resample_filter=resample_filter,
            conv_clamp=conv_clamp,
            num_lowprec_res=num_lowprec_res,
            lowprec_dtype=lowprec_dtype,
        )
        self.num_ws = self.synthesis.num_ws
        self.mapping = Mapping(z_dim, c_dim, w_dim, self.num_ws, num_layers)


# ---------------------------------------------------------------- discriminator


class DiscriminatorBlock(nn.Module):
    """One resolution of the discriminator: conv0 keeps the size, conv1 halves it.

    The first block reads the image (fromrgb); with "skip" every block does, at its own size; "resnet" adds a 1x1
    shortcut and scales both branches by sqrt(1/2).
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        out_channels: int,
        img_channels: int,
        *,
        architecture: str,
        resample_filter: Sequence[float],
        conv_clamp: float | None,
        dtype: torch.dtype | None,
    ):
        super().__init__()
        self.architecture, self.dtype = architecture, dtype
        self.register_buffer("resample_filter", setup_filter(resample_filter))
        options = {"resample_filter": resample_filter, "conv_clamp": conv_clamp}
        self.has_fromrgb = in_channels == 0 or architecture == "skip"
        if self.has_fromrgb:
            self.fromrgb = FromRGB(img_channels, channels, **options)
        self.conv0 = Conv2d(channels, channels, activation="lrelu", **options)
        self.conv1 = Conv2d(channels, out_channels, activation="lrelu", down=2, **options)
        if architecture == "resnet":
            self.skip = Conv2d(channels, out_channels, 1, bias=False, down=2, resample_filter=resample_filter)

    def forward(self, x: Tensor | None, img: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """x [N, in_channels, h, w] and the image of this size -> x at half size and the image for the next block."""
        dtype = self.dtype or self.conv0.weight.dtype
        x = None if x is None else x.to(dtype)
        if self.has_fromrgb:
            y = self.fromrgb(img.to(dtype))
            x = y if x is None else x + y
            img = downsample2d(img, self.resample_filter) if self.architecture == "skip" else None
        if self.architecture == "resnet":
            y = self.skip(x, gain=0.5**0.5)
            return self.conv1(self.conv0(x), gain=0.5**0.5) + y, img
        return self.conv1(self.conv0(x)), img


class DiscriminatorEpilogue(nn.Module):
    """The discriminator's end at 4x4: minibatch standard deviation, a convolution, two fully connected layers.

    With labels the output is projected on the mapped label: sum_k out_k cmap_k / sqrt(cmap_dim).
    """

    def __init__(
        self,
        in_channels: int,
        size: tuple[int, int],
        img_channels: int,
        cmap_dim: int,
        *,
        has_fromrgb: bool,
        mbstd_group_size: int | None,
        mbstd_num_channels: int,
        conv_clamp: float | None,
    ):
        super().__init__()
        if mbstd_num_channels and in_channels % mbstd_num_channels:
            raise ValueError(f"mbstd_num_channels: got {mbstd_num_channels}, takes a divisor of {in_channels}")
        self.cmap_dim, self.has_fromrgb = cmap_dim, has_fromrgb
        if has_fromrgb:
            self.fromrgb = FromRGB(img_channels, in_channels, conv_clamp=conv_clamp)
        self.mbstd = MinibatchStdDev(mbstd_group_size, mbstd_num_channels) if mbstd_num_channels else nn.Identity()
        self.conv = Conv2d(in_channels + mbstd_num_channels, in_channels, activation="lrelu", conv_clamp=conv_clamp)
        self.fc = EqualizedLinear(in_channels * size[0] * size[1], in_channels, activation="lrelu")
        self.out = EqualizedLinear(in_channels, max(cmap_dim, 1))

    def forward(self, x: Tensor | None, img: Tensor | None, cmap: Tensor | None) -> Tensor:
        """x [N, in_channels, h, w], cmap [N, cmap_dim] -> logits [N, 1]."""
        dtype = self.conv.weight.dtype
        x = None if x is None else x.to(dtype)
        if self.has_fromrgb:
            y = self.fromrgb(img.to(dtype))
            x = y if x is None else x + y
        x = self.out(self.fc(self.conv(self.mbstd(x)).flatten(1)))
        return x if cmap is None else (x * cmap).sum(1, keepdim=True) / self.cmap_dim**0.5


class Discriminator(nn.Module):
    """D(img, c) = logits [N, 1]; with labels, the projection of the features on a mapped label (ADA).

    Args:
        c_dim: size of the label vector; 0: none.
        img_resolution, img_channels, channel_base, channel_max, resample_filter, conv_clamp, num_lowprec_res,
            lowprec_dtype: as for `Generator`.
        num_layers: fully connected layers of the label mapping.
        cmap_dim: size of the mapped label; None: the channels of the last block.
        architecture: "resnet" (the paper's), "skip" or "orig".
        mbstd_group_size: samples in a minibatch standard deviation group; None: the whole batch.
        mbstd_num_channels: channels that statistic adds; 0: none.

    Memory format: `D.to(memory_format=torch.channels_last)` runs all blocks channels-last.
    """

    def __init__(
        self,
        c_dim: int = 0,
        img_resolution: Size = 256,
        img_channels: int = 3,
        *,
        num_layers: int = 8,
        cmap_dim: int | None = None,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: str = "resnet",
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        conv_clamp: float | None = None,
        mbstd_group_size: int | None = 4,
        mbstd_num_channels: int = 1,
        num_lowprec_res: int = 0,
        lowprec_dtype: str = "bfloat16",
    ):
        super().__init__()
        _check_architecture(architecture)
        sizes = _block_sizes(img_resolution)
        dtypes = _block_dtypes(len(sizes), num_lowprec_res, lowprec_dtype)
        self.c_dim, self.img_resolution, self.img_channels = c_dim, img_resolution, img_channels
        self.size = sizes[-1]
        self.names = []
        in_channels = 0
        for i in range(len(sizes) - 1, 0, -1):
            channels = _channels(sizes[i], channel_base, channel_max)
            out_channels = _channels(sizes[i - 1], channel_base, channel_max)
            block = DiscriminatorBlock(
                in_channels,
                channels,
                out_channels,
                img_channels,
                architecture=architecture,
                resample_filter=resample_filter,
                conv_clamp=conv_clamp,
                dtype=dtypes[i],
            )
            self.names.append(f"b{min(sizes[i])}")
            setattr(self, self.names[-1], block)
            in_channels = out_channels
        channels = _channels(sizes[0], channel_base, channel_max)
        cmap_dim = 0 if c_dim == 0 else channels if cmap_dim is None else cmap_dim
        self.mapping = Mapping(0, c_dim, cmap_dim, None, num_layers) if c_dim > 0 else None
        self.b4 = DiscriminatorEpilogue(
            channels,
            sizes[0],
            img_channels,
            cmap_dim,
            has_fromrgb=architecture == "skip" or len(sizes) == 1,
            mbstd_group_size=mbstd_group_size,
            mbstd_num_channels=mbstd_num_channels,
            conv_clamp=conv_clamp,
        )

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """Judge img [N, img_channels, H, W] with labels c [N, c_dim]; the logits have the parameters' dtype."""
        first = getattr(self, self.names[0]).conv0 if self.names else self.b4.conv
        img = common.images(img, self.img_channels, self.size, like=first.weight)
        if self.mapping is None and c is not None and c.numel() > 0:
            raise ValueError(f"c: got shape {list(c.shape)}, takes None or [N, 0] as c_dim is 0")
        cmap = None if self.mapping is None else self.mapping(None, c)
        if cmap is not None and cmap.shape[0] != img.shape[0]:
            raise ValueError(f"c: got {cmap.shape[0]} labels, takes one for each of the {img.shape[0]} images")
        img = img.contiguous(memory_format=_memory_format(first.weight))
        x = None
        for name in self.names:
            x, img = getattr(self, name)(x, img)
        return self.b4(x, img, cmap)


# ---------------------------------------------------------------- named configurations


@dataclasses.dataclass(frozen=True)
class Config:
    """Arguments of a matching pair, named as in `Generator`; d_num_layers and d_architecture are `Discriminator`'s."""

    img_resolution: Size
    img_channels: int = 3
    c_dim: int = 0
    z_dim: int = 512
    w_dim: int = 512
    num_layers: int = 8
    d_num_layers: int = 8
    cmap_dim: int | None = None
    channel_base: int = 32768
    channel_max: int = 512
    architecture: str = "skip"
    d_architecture: str = "resnet"
    resample_filter: tuple[float, ...] = (1, 3, 3, 1)
    conv_clamp: float | None = None
    mbstd_group_size: int | None = 4
    mbstd_num_channels: int = 1
    num_lowprec_res: int = 0
    lowprec_dtype: str = "bfloat16"


PRESETS: dict[str, Config] = {
    # Small enough to learn 16x16 digits on two CPU cores in minutes.
    "digits": Config(
        16,
        img_channels=1,
        c_dim=10,
        z_dim=64,
        w_dim=64,
        num_layers=2,
        d_num_layers=2,
        channel_base=512,
        channel_max=32,
    ),
    # StyleGAN2-ADA, table of hyperparameters (its appendix) and training configurations of the release.
    "cifar": Config(32, num_layers=2, d_architecture="orig", mbstd_group_size=32, conv_clamp=256),
    "paper256": Config(256, channel_base=16384, mbstd_group_size=8, conv_clamp=256),
    # StyleGAN2, configuration F.
    "stylegan2-256": Config(256),
    "stylegan2-512": Config(512),
    "stylegan2-1024": Config(1024),
}


def preset(name: str, **overrides) -> Config:
    """The configuration called name, with some of its fields replaced: preset("digits", c_dim=0).

    Raises ValueError for a name that PRESETS lacks and for an unknown field.
    """
    return common.preset(PRESETS, name, **overrides)


def build(config: str | Config | MappingType, **overrides) -> tuple[Generator, Discriminator]:
    """Make (G, D) from a preset's name, a Config or a mapping of its fields, with some fields replaced.

    `build(dataclasses.asdict(config))` makes the same pair again.
    """
    config = common.configure(Config, PRESETS, config, overrides)
    shared = {name: getattr(config, name) for name in _SHARED}
    generator = Generator(
        config.z_dim,
        w_dim=config.w_dim,
        num_layers=config.num_layers,
        architecture=config.architecture,
        **shared,
    )
    discriminator = Discriminator(
        num_layers=config.d_num_layers,
        cmap_dim=config.cmap_dim,
        architecture=config.d_architecture,
        mbstd_group_size=config.mbstd_group_size,
        mbstd_num_channels=config.mbstd_num_channels,
        **shared,
    )
    return generator, discriminator


_SHARED = (
    "c_dim",
    "img_resolution",
    "img_channels",
    "channel_base",
    "channel_max",
    "resample_filter",
    "conv_clamp",
    "num_lowprec_res",
    "lowprec_dtype",
)


# ---------------------------------------------------------------- shared rules


def _check_architecture(architecture: str) -> None:
    if architecture not in ARCHITECTURES:
        raise ValueError(f"architecture: got {architecture!r}, takes {', '.join(ARCHITECTURES)}")


def _block_sizes(img_resolution: Size) -> list[tuple[int, int]]:
    """Sizes (height, width) of the blocks, from the constant's to the image's: halving until the smaller side is 4."""
    size = (img_resolution,) * 2 if isinstance(img_resolution, int) else tuple(img_resolution)
    factor = min(size) // 4
    if len(size) != 2 or factor < 1 or factor & (factor - 1) or min(size) % 4 or max(size) % factor:
        raise ValueError(
            f"img_resolution: got {img_resolution}, takes a power of two from 4, or (height, width) whose smaller side"
            " is one and whose larger side is a multiple of a quarter of it"
        )
    return [(size[0] >> i, size[1] >> i) for i in range(factor.bit_length() - 1, -1, -1)]


def _block_dtypes(num_blocks: int, num_lowprec_res: int, lowprec_dtype: str) -> list[torch.dtype | None]:
    if lowprec_dtype not in LOWPREC_DTYPES:
        raise ValueError(f"lowprec_dtype: got {lowprec_dtype!r}, takes {', '.join(LOWPREC_DTYPES)}")
    if num_lowprec_res < 0:
        raise ValueError(f"num_lowprec_res: got {num_lowprec_res}, takes integers from 0")
    low = min(num_lowprec_res, num_blocks)
    return [None] * (num_blocks - low) + [LOWPREC_DTYPES[lowprec_dtype]] * low


def _channels(size: tuple[int, int], channel_base: int, channel_max: int) -> int:
    channels = min(channel_base // min(size), channel_max)
    if channels < 1:
        raise ValueError(
            f"channel_base, channel_max: got {channel_base} and {channel_max},"
            f" takes integers from {min(size)} and from 1 at this resolution"
        )
    return channels


def _normalize(x: Tensor) -> Tensor:
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def _memory_format(weight: Tensor) -> torch.memory_format:
    channels_last = weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    return torch.channels_last if channels_last else torch.contiguous_format
