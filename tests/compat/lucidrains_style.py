"""StyleGAN2 by the conventions of lucidrains' checkpoints, in plain PyTorch: what those files mean, without gan_fast.

A state dict with S. (mapping), G. (synthesis) and D., and SE. and GE., the averages of the first two. `state` makes one
with random numbers; `mapped`, `drawn` and `judged` say what they compute, a sample and a layer at a time.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]
HEADS, HEAD_DIM, CODES = 8, 64, 5


def state(
    g: list[int],
    d: list[int],
    z: int,
    layers: int,
    *,
    channels: int = 3,
    attn: tuple = (),
    fq: tuple = (),
    const: bool = True,
) -> State:
    """Channels of G's blocks and of D's, which are one more; attn, fq: block numbers, 1 being the image's."""
    s: State = {}

    def add(name: str, *shape: int, bias: bool = True) -> None:
        s[f"{name}.weight"] = torch.randn(shape) / math.sqrt(math.prod(shape[1:]))
        if bias:
            s[f"{name}.bias"] = torch.randn(shape[0]) * 0.1

    def attention(name: str, c: int) -> None:
        width = HEADS * HEAD_DIM
        for i in (0, 1):
            s[f"{name}.{i}.fn.norm.g"], s[f"{name}.{i}.fn.norm.b"] = torch.randn(2, 1, c, 1, 1)
        add(f"{name}.0.fn.fn.to_q", width, c, 1, 1, bias=False)
        add(f"{name}.0.fn.fn.to_kv.net.0", c, 1, 3, 3, bias=False)
        add(f"{name}.0.fn.fn.to_kv.net.1", 2 * width, c, 1, 1, bias=False)
        add(f"{name}.0.fn.fn.to_out", c, width, 1, 1)
        add(f"{name}.1.fn.fn.0", 2 * c, c, 1, 1)
        add(f"{name}.1.fn.fn.2", c, 2 * c, 1, 1)

    for e in ("", "E"):
        for i in range(layers):
            add(f"S{e}.net.{2 * i}", z, z)
            s[f"S{e}.net.{2 * i}.weight"] *= 10
        if const:
            s[f"G{e}.initial_block"] = torch.randn(1, g[0], 4, 4)
        else:
            add(f"G{e}.to_initial_block", z, g[0], 4, 4, bias=False)
        add(f"G{e}.initial_conv", g[0], g[0], 3, 3)
        before = g[0]
        for k, c in enumerate(g):
            at = f"G{e}.blocks.{k}"
            for i, inputs in ((1, before), (2, c)):
                add(f"{at}.to_style{i}", inputs, z)
                add(f"{at}.to_noise{i}", c, 1)
                add(f"{at}.conv{i}", c, inputs, 3, 3, bias=False)
            add(f"{at}.to_rgb.to_style", c, z)
            add(f"{at}.to_rgb.conv", channels, c, 1, 1, bias=False)
            if k < len(g) - 1:
                s[f"{at}.to_rgb.upsample.1.f"] = torch.tensor([1.0, 2.0, 1.0])
            if len(g) - k in attn:
                attention(f"G{e}.attns.{k}", before)
            before = c
    before = channels
    for k, c in enumerate(d):
        add(f"D.blocks.{k}.conv_res", c, before, 1, 1)
        add(f"D.blocks.{k}.net.0", c, before, 3, 3)
        add(f"D.blocks.{k}.net.2", c, c, 3, 3)
        if k < len(d) - 1:
            s[f"D.blocks.{k}.downsample.0.f"] = torch.tensor([1.0, 2.0, 1.0])
            add(f"D.blocks.{k}.downsample.1", c, c, 3, 3)
        if k + 1 in attn:
            attention(f"D.attn_blocks.{k}", c)
        if k + 1 in fq:
            at = f"D.quantize_blocks.{k}.fn"
            s[f"{at}.embed"], s[f"{at}.embed_avg"] = torch.randn(2, c, CODES)
            s[f"{at}.cluster_size"] = torch.rand(CODES)
        before = c
    add("D.final_conv", before, before, 3, 3)
    add("D.to_logit", 1, 4 * before)
    return s


def contents(s: State) -> dict:
    """What that project's save writes: its wrapper around D lists D again."""
    wrapped = {f"D_aug.{name}": x for name, x in s.items() if name.startswith("D.")}
    return {"GAN": s | wrapped, "version": "1.8.9"}


def linear(s: State, name: str, x: Tensor) -> Tensor:
    return x @ s[f"{name}.weight"].T + s[f"{name}.bias"]


def conv(s: State, name: str, x: Tensor, **options) -> Tensor:
    w = s[f"{name}.weight"]
    return F.conv2d(x, w, s.get(f"{name}.bias"), padding=w.shape[2] // 2, **options)


def lrelu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def doubled(x: Tensor) -> Tensor:
    """Bilinear: each pixel is 3/4 of the nearest and 1/4 of the next nearest, along both axes; borders repeat."""
    for axis in (2, 3):
        x = x.movedim(axis, -1)
        p = torch.cat([x[..., :1], x, x[..., -1:]], -1)
        pairs = [0.75 * p[..., 1:-1] + 0.25 * p[..., :-2], 0.75 * p[..., 1:-1] + 0.25 * p[..., 2:]]
        x = torch.stack(pairs, -1).flatten(-2).movedim(-1, axis)
    return x


def blurred(x: Tensor, f: Tensor) -> Tensor:
    """Filtered with f / sum(f) along both axes; what is beyond the border is the mirror of what is before it."""
    f = f / f.sum()
    for axis in (2, 3):
        x = x.movedim(axis, -1)
        p = torch.cat([x[..., 1:2], x, x[..., -2:-1]], -1)
        x = (f[0] * p[..., :-2] + f[1] * p[..., 1:-1] + f[2] * p[..., 2:]).movedim(-1, axis)
    return x


def modulated(w: Tensor, x: Tensor, style: Tensor, demodulate: bool) -> Tensor:
    images = []
    for image, one in zip(x, style, strict=True):
        weight = w * (one[None, :, None, None] + 1)
        if demodulate:
            weight = weight / (weight.square().sum([1, 2, 3], keepdim=True) + 1e-8).sqrt()
        images.append(F.conv2d(image[None], weight, padding=w.shape[2] // 2))
    return torch.cat(images)


def attended(s: State, name: str, x: Tensor) -> Tensor:
    if f"{name}.0.fn.norm.g" not in s:
        return x

    def norm(i: int, x: Tensor) -> Tensor:
        var, mean = torch.var_mean(x, 1, correction=0, keepdim=True)
        return (x - mean) / (var + 1e-5).sqrt() * s[f"{name}.{i}.fn.norm.g"] + s[f"{name}.{i}.fn.norm.b"]

    n, c, h, w = x.shape
    y = norm(0, x)
    q = conv(s, f"{name}.0.fn.fn.to_q", y)
    kv = conv(s, f"{name}.0.fn.fn.to_kv.net.1", conv(s, f"{name}.0.fn.fn.to_kv.net.0", y, groups=c))
    q, k, v = (t.reshape(n, HEADS, HEAD_DIM, h * w) for t in (q, *kv.chunk(2, 1)))
    context = torch.einsum("nhdp,nhep->nhde", k.softmax(3), v)
    y = torch.einsum("nhdp,nhde->nhep", q.softmax(2) / math.sqrt(HEAD_DIM), context).reshape(n, -1, h, w)
    x = x + conv(s, f"{name}.0.fn.fn.to_out", F.gelu(y))
    return x + conv(s, f"{name}.1.fn.fn.2", lrelu(conv(s, f"{name}.1.fn.fn.0", norm(1, x))))


def quantised(s: State, name: str, x: Tensor) -> Tensor:
    """Of the columns of embed, the nearest to the channels at each position."""
    if f"{name}.embed" not in s:
        return x
    codes = s[f"{name}.embed"].T
    n, c, h, w = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(-1, c)
    nearest = torch.cdist(rows.double(), codes.double()).argmin(1)
    return codes[nearest].reshape(n, h, w, c).permute(0, 3, 1, 2)


def mapped(s: State, z: Tensor, average: bool = True) -> Tensor:
    w = z / z.norm(dim=1, keepdim=True)
    name, i = "SE" if average else "S", 0
    while f"{name}.net.{i}.weight" in s:
        w = lrelu(0.1 * linear(s, f"{name}.net.{i}", w))
        i += 2
    return w


def drawn(s: State, ws: Tensor, noise: Tensor, average: bool = True) -> Tensor:
    """Images in [0, 1], about, of ws [N, blocks, z] and noise [N, H, W, 1] in [0, 1)."""
    g = "GE" if average else "G"
    if f"{g}.initial_block" in s:
        x = s[f"{g}.initial_block"].expand(len(ws), -1, -1, -1)
    else:
        x = torch.einsum("nz,zcij->ncij", ws.mean(1), s[f"{g}.to_initial_block.weight"])
    x, image = conv(s, f"{g}.initial_conv", x), 0
    for k in range(ws.shape[1]):
        at, w = f"{g}.blocks.{k}", ws[:, k]
        x = attended(s, f"{g}.attns.{k}", x)
        x = x if k == 0 else doubled(x)
        for i in (1, 2):
            added = linear(s, f"{at}.to_noise{i}", noise[:, : x.shape[2], : x.shape[3]])
            x = modulated(s[f"{at}.conv{i}.weight"], x, linear(s, f"{at}.to_style{i}", w), True)
            x = lrelu(x + added.permute(0, 3, 2, 1))
        style = linear(s, f"{at}.to_rgb.to_style", w)
        image = image + modulated(s[f"{at}.to_rgb.conv.weight"], x, style, False)
        if k < ws.shape[1] - 1:
            image = blurred(doubled(image), s[f"{at}.to_rgb.upsample.1.f"])
    return image


def judged(s: State, x: Tensor) -> Tensor:
    """Low for real images in [0, 1]."""
    k = 0
    while f"D.blocks.{k}.net.0.weight" in s:
        at = f"D.blocks.{k}"
        y = lrelu(conv(s, f"{at}.net.2", lrelu(conv(s, f"{at}.net.0", x))))
        halves = f"{at}.downsample.1.weight" in s
        if halves:
            y = conv(s, f"{at}.downsample.1", blurred(y, s[f"{at}.downsample.0.f"]), stride=2)
        x = (y + conv(s, f"{at}.conv_res", x, stride=2 if halves else 1)) / math.sqrt(2)
        x = quantised(s, f"D.quantize_blocks.{k}.fn", attended(s, f"D.attn_blocks.{k}", x))
        k += 1
    return linear(s, "D.to_logit", conv(s, "D.final_conv", x).flatten(1))
