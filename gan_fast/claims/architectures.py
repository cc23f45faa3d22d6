"""Architectures: what conditioning, growing, normalisation and filters are said to do."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_fast import models, ops
from gan_fast.claims import games, picture
from gan_fast.claims.claim import Figure, Seen, claim
from gan_fast.data import digits, seeded_generator
from gan_fast.layers import Conv2d, ModulatedConv2d
from gan_fast.metrics import frechet_distance
from gan_fast.models import biggan, common, mlp, stylegan, stylegan3
from gan_fast.models.stylegan2 import Mapping
from gan_fast.ops import bias_act
from gan_fast.training import Engine, Recipe

TEN = torch.arange(10)


@claim(
    "A generator that is told a class draws it, however it and its D are told: by concatenation, conditional batch"
    " normalisation, projection.",
    source="Mirza and Osindero 2014, arXiv 1411.1784; Dumoulin et al. 2017, arXiv 1610.07629; Miyato and Koyama 2018,"
    " arXiv 1802.05637",
    expects=(
        Figure("class accuracy: concatenation in G and D", at_least=0.6),
        Figure("class accuracy: batch normalisation in G, projection in D", at_least=0.4),
        Figure("class accuracy of the untrained G", at_most=0.2),
    ),
)
def conditions(seed: int) -> Seen:
    """The two DCGANs of docs/models.md, 300 batches of 32 digits. The classifier of FD_digits reads 896 drawn digits;
    chance is 0.1.
    """
    untrained = games.of_preset("dcgan-digits", seed).generator.eval()
    accuracies, rows = [], []
    for name in ("dcgan-digits", "dcgan-digits-projection"):
        average = games.trained(name, seed, 300).averages.modules["G_ema"]
        accuracies.append(games.measure_digits(average)["class_accuracy"])
        rows.append(picture.images(name, games.draw_digits(average, TEN.repeat(2)), 10))
    return Seen((*accuracies, games.measure_digits(untrained)["class_accuracy"]), picture.beside(*rows))


@claim(
    "A growing GAN learns each resolution in turn, and the next one fades in without a jump.",
    source="Karras et al. 2018, arXiv 1710.10196, section 2 and figure 2",
    expects=(
        Figure("distance at 4x4, end / start of its stage", at_most=0.5),
        Figure("distance at 8x8", at_most=0.5),
        Figure("distance at 16x16", at_most=0.7),
        Figure("jump of the image where a fade begins or ends, against its size", at_most=0.01),
        Figure("change over a fade, against its size", at_least=0.05),
    ),
)
def growing(seed: int) -> Seen:
    """The progressive GAN on 16x16 digits, 40 batches of 32 for each stage and each fade. At the start and the end of
    what is trained at a resolution, the Frechet distance of 896 images' pixels at that resolution from the real ones'.
    The jump is that of the image over a thousandth of a level.
    """
    data, steps = digits(16), 40
    game = games.of_preset("progressive-digits", seed, grow_kimg=steps * 32 / 1000)
    G, batches = game.generator, games.of_images(data, 32, seed)
    labels, z = games.digits_metrics().labels, games.latents(game.generator, len(games.digits_metrics().labels))
    real = data.batch(torch.arange(len(data)))[0]
    ratios, jumps, fades, shown = [], [], [], []

    def draw(level: float) -> Tensor:
        before = G.level
        G.grow(level)
        images = games.draw_digits(G, labels, z)
        G.grow(before)
        return images

    def distance(stage: int) -> float:
        side = 4 << stage
        pixels = [F.adaptive_avg_pool2d(x, side).flatten(1) for x in (real, draw(stage))]
        return frechet_distance(*pixels)

    for stage in range(3):
        if stage:
            before, after = draw(stage - 1), draw(stage)
            for level in (stage - 1, stage - 0.001):
                jumps.append(((draw(level + 0.001) - draw(level)).norm() / draw(level).norm()).item())
            fades.append(((after - before).norm() / before.norm()).item())
        start = distance(stage)
        games.train(game, batches, steps * (2 if stage else 1))
        ratios.append(distance(stage) / start)
        shown.append(picture.images(f"{4 << stage}x{4 << stage}", draw(stage)[:20], 5))
    return Seen((*ratios, max(jumps), min(fades)), picture.beside(*shown))


@claim(
    "Truncation trades variety for quality: precision rises as recall falls.",
    source="Brock et al. 2019, arXiv 1809.11096, section 3.1; Karras et al. 2019, arXiv 1812.04948, appendix B",
    expects=(
        Figure("z within 1 (BigGAN's): precision - that of all z", at_least=0.02),
        Figure("z within 1: recall - that of all z", at_most=-0.2),
        Figure("w at psi 0.3 (StyleGAN2): precision - that of psi 1", at_least=0.02),
        Figure("w at psi 0.3: recall - that of psi 1", at_most=-0.2),
    ),
)
def truncation(seed: int) -> Seen:
    """A DCGAN after 300 batches of 32 digits, whose z are drawn again beyond a threshold; and the digits demo's
    StyleGAN2 after 200, whose w are drawn towards the mean of their class.
    (Below a threshold of 1 the DCGAN's precision falls, too: it was trained without orthogonal regularisation.)
    """
    from gan_fast import latents

    metrics = games.digits_metrics()
    thresholds = (0.3, 0.6, 1.0, 10.0)
    psis = (0.3, 0.5, 0.7, 1.0)
    values, panels = [], []
    G = games.trained("dcgan-digits", seed, 300).averages.modules["G_ema"]
    draws = {
        threshold: games.draw_digits(
            G,
            metrics.labels,
            biggan.truncated_z(len(metrics.labels), G.z_dim, threshold, seeded_generator(0, 0, "truncated")),
        )
        for threshold in thresholds
    }
    style = games.trained("digits", seed, 200).averages.modules["G_ema"]
    z = games.latents(style, len(metrics.labels))
    styled = {psi: latents.render(style, latents.class_ws(style, z, metrics.labels, psi)) for psi in psis}
    for name, drawn, low in (("threshold on z, DCGAN", draws, 1.0), ("psi on w, StyleGAN2", styled, 0.3)):
        seen = {at: metrics(images, metrics.labels) for at, images in drawn.items()}
        every = max(seen)
        values += [seen[low][what] - seen[every][what] for what in ("precision", "recall")]
        axis = [min(at, 3.0) for at in seen]
        lines = {what: (axis, [each[what] for each in seen.values()]) for what in ("precision", "recall")}
        few = [torch.nonzero(metrics.labels == k)[0, 0] for k in range(5)]
        rows = torch.cat([drawn[at][torch.stack(few)] for at in seen])
        panels += [picture.curves(name, lines, low=0.0, high=1.0), picture.images("from least to most", rows, 5, 24)]
    return Seen(tuple(values), picture.beside(*panels))


@claim(
    "AdaIN lets one strong pixel quieten the rest of its feature map, which a generator can use for a droplet;"
    " demodulated weights do not.",
    source="Karras et al. 2020, arXiv 1912.04958, sections 2 and 2.2, figure 1",
    expects=(
        Figure("rest of the map with a spike / without: AdaIN", at_most=0.5),
        Figure("rest of the map with a spike / without: demodulation", at_least=0.99, at_most=1.01),
    ),
)
def droplet_mechanism(seed: int) -> Seen:
    """One layer of each kind with random weights, 16 channels of 32x32, the same input with and without a pixel that is
    100 times as strong; the rest is what the 3x3 convolution does not carry the pixel to.
    """
    rng = seeded_generator(seed, 0, "claims/spike")
    x, w = torch.randn(8, 16, 32, 32, generator=rng), torch.randn(8, 16, generator=rng)
    spiked = x.clone()
    spiked[:, :, 16, 16] *= 100
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        adain = stylegan.SynthesisLayer(16, 16, 16, 32, up=1)
        demodulated = ModulatedConv2d(16, 16, 16, activation="lrelu")
        outputs = [
            [layer(each) for each in (x, spiked)]
            for layer in (lambda each: adain.adain(adain.conv(each), w), lambda each: demodulated(each, w))
        ]
    away = torch.ones(32, 32, dtype=torch.bool)
    away[14:19, 14:19] = False
    ratios = []
    for plain, with_spike in outputs:
        spread = [y[:, :, away].std(dim=2).mean() for y in (plain, with_spike)]
        ratios.append((spread[1] / spread[0]).item())
    panels = [
        picture.images(
            f"{name}, without and with a spike", torch.cat([y[:1, :4].transpose(0, 1) / 3 for y in pair]), 4, 64
        )
        for name, pair in zip(("AdaIN", "demodulation"), outputs, strict=True)
    ]
    return Seen(tuple(ratios), picture.beside(*panels))


class _Redrawing(nn.Module):
    """Two layers of 16 channels, with AdaIN or demodulation, and a 1x1 convolution: draws a channel of its input."""

    def __init__(self, normalisation: str, side: int):
        super().__init__()
        self.adain = normalisation == "AdaIN"
        self.layers = nn.ModuleList(
            stylegan.SynthesisLayer(channels, 16, 8, side, up=1) if self.adain else ModulatedConv2d(channels, 16, 8)
            for channels in (2, 16)
        )
        self.torgb = Conv2d(16, 1, 1)

    def forward(self, x: Tensor, w: Tensor, edit: Callable[[Tensor], Tensor] = lambda y: y) -> tuple[Tensor, Tensor]:
        """Images, and the maps of the last layer, before AdaIN; each layer's maps pass through `edit`."""
        for layer in self.layers:
            if self.adain:
                y = edit(bias_act(layer.conv(x), layer.bias, act="lrelu"))
                x = layer.adain(y, w)
            else:
                x = y = edit(layer(x, w))
        return self.torgb(x), y


def _textures(n: int, side: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noise that is blurred to unit variance, with a contrast from 1/4 to 4: [n, 1, side, side], and log contrast."""
    log_contrast = (2 * torch.rand(n, 1, 1, 1, generator=rng) - 1) * math.log(4)
    noise = torch.randn(n, 1, side + 2, side + 2, generator=rng)
    return log_contrast.exp() * 3 * F.avg_pool2d(noise, 3, 1), log_contrast.flatten()


def _peaks(y: Tensor) -> Tensor:
    """Of each map [N, C, H, W] its largest distance from its mean, in its standard deviations: [N, C]."""
    return (y - y.mean((2, 3), keepdim=True)).abs().amax((2, 3)) / y.std((2, 3)).clamp(min=1e-6)


def _redraw(
    normalisation: str, seed: int, *, pixel: float = 5.0, told: bool = False
) -> tuple[dict[str, float], Tensor]:
    """Train a network to draw textures; what is measured of 64 of them, and rows of images for a picture."""
    side, steps = 32, 300
    marker = torch.zeros(1, 1, side, side)
    marker[..., side // 2, side // 2] = pixel
    away = torch.ones(side, side)
    away[11:22, 11:22] = 0
    rng = seeded_generator(seed, 0, "claims/textures")

    def batch(n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, log_contrast = _textures(n, side, rng)
        w = torch.zeros(n, 8)
        w[:, 0] = log_contrast * told
        return x, torch.cat([marker.expand(n, -1, -1, -1), x], 1), w, log_contrast.exp()

    def without_spike(y: Tensor) -> Tensor:
        """The middle 7x7 pixels become those of a corner."""
        y = y.clone()
        y[..., 13:20, 13:20] = y[..., 4:11, 4:11]
        return y

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _Redrawing(normalisation, side)
    adam = torch.optim.Adam(network.parameters(), lr=5e-3, betas=(0.5, 0.99))
    for _ in range(steps):
        x, given, w, _ = batch(16)
        loss = (network(given, w)[0] - x).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        x, given, w, contrast = batch(64)
        drawn, y = network(given, w)
        spikeless, _ = network(given, w, without_spike)

    def agreement(images: Tensor) -> float:
        return games.correlation((images * away).square().mean((1, 2, 3)).sqrt().tolist(), contrast.tolist())

    peaks = _peaks(y)
    worst = y[0, peaks[0].argmax()]
    return {
        "peak": peaks.amax(1).mean().item(),
        "error": ((drawn - x).square().mean() / x.square().mean()).item(),
        "agreement": agreement(drawn),
        "agreement without the spike": agreement(spikeless),
    }, torch.cat([x[:2] / 4, drawn[:2] / 4, spikeless[:2] / 4, (worst / worst.abs().max())[None, None]])


@claim(
    "Trained on the same data from the same seed, AdaIN makes a bright pixel a spike, which carries the strength of"
    " features past the normalisation; demodulation has no use for one.",
    source="Karras et al. 2020, arXiv 1912.04958, section 2 and figure 1",
    expects=(
        Figure("peak of a map in its standard deviations, AdaIN / demodulation", at_least=1.3),
        Figure("peak, AdaIN"),
        Figure("peak, demodulation"),
        Figure("peak, AdaIN: w tells the contrast / it does not", at_most=0.75),
        Figure("contrast drawn and wanted, correlation: AdaIN", at_least=0.9),
        Figure("the same without the spike: AdaIN", at_most=0.5),
        Figure("the same without the spike: demodulation", at_least=0.9),
        Figure("error, AdaIN: without the pixel / with it", at_least=2.0),
        Figure("peak in a GAN on digits, AdaIN / demodulation"),
    ),
)
def droplet(seed: int) -> Seen:
    """Two layers of 16 channels of 32x32 and a 1x1 convolution learn, by 300 steps of Adam on squared errors, to draw
    a texture that they are given, whose contrast, 1/4 to 4, differs from image to image; beside it they are given one
    bright pixel in the middle. The peak is that of the last layer's activations, before AdaIN, over the pixels of a
    map, the highest of an image's maps, in the mean over 64 images. To take the spike out, the middle 7x7 pixels of all
    maps become those of a corner; contrast is that of the rest of the image.

    AdaIN hides the contrast from the layers that follow, except beside a spike that outweighs it. Where w tells the
    contrast AdaIN scales by it, and no spike grows.

    Not seen: droplets in GANs of this size. The last figure is that of StyleGAN and StyleGAN2 after 60 batches of 32
    digits at 16x16, with the same settings. Longer training alone does not make them: after 500 batches the peak of
    AdaIN's maps is 5.4 and 5.8 (seeds 1 and 2). Why is not proven; that w can tell strengths, as above, may be one
    reason, and another that the paper sees droplets in maps of 64x64 and more.
    """
    ways = {
        "AdaIN": _redraw("AdaIN", seed),
        "demodulation": _redraw("demodulation", seed),
        "AdaIN, w tells the contrast": _redraw("AdaIN", seed, told=True),
    }
    adain, demodulation, told = (found for found, _ in ways.values())
    bare, _ = _redraw("AdaIN", seed, pixel=0.0)
    in_gan = []
    for preset in ("stylegan-digits", "digits"):
        game = games.trained(preset, seed, 60, gamma=3.0, g_lr=3e-3, d_lr=3e-3, style_mixing=0.5, mode_seeking=0.0)
        average = game.averages.modules["G_ema"]
        maps: list[Tensor] = []
        if preset == "stylegan-digits":
            layer = average.synthesis.layers[-1].adain
            hook = layer.register_forward_pre_hook(lambda module, inputs, maps=maps: maps.append(inputs[0]))
        else:
            layer = average.synthesis.b16.conv1
            hook = layer.register_forward_hook(lambda module, inputs, output, maps=maps: maps.append(output))
        games.draw_digits(average, TEN.repeat(7)[:64])
        hook.remove()
        in_gan.append(_peaks(maps[0]).amax(1).mean().item())
    return Seen(
        (
            adain["peak"] / demodulation["peak"],
            adain["peak"],
            demodulation["peak"],
            told["peak"] / adain["peak"],
            adain["agreement"],
            adain["agreement without the spike"],
            demodulation["agreement without the spike"],
            bare["error"] / adain["error"],
            in_gan[0] / in_gan[1],
        ),
        picture.below(
            *(
                picture.images(f"{name}: 2 wanted, drawn, without the spike; the highest peak", rows, 7, 64)
                for name, (_, rows) in ways.items()
            )
        ),
    )


class _PointsOfW(nn.Module):
    def __init__(self, config: mlp.Config):
        super().__init__()
        self.network = mlp.Generator(config)

    def forward(self, ws: Tensor, noise_mode: str = "random") -> Tensor:
        return self.network(ws[:, 0])


class _MappedPoints(common.StyleBased):
    """The generator of points behind StyleGAN's mapping, of four layers: G(z, c) = synthesis(mapping(z, c))."""

    def __init__(self, config: mlp.Config):
        super().__init__()
        self.z_dim, self.c_dim, self.num_ws = config.z_dim, 0, 1
        self.mapping = Mapping(config.z_dim, 0, config.z_dim, 1, 4, lr_multiplier=1.0)
        self.synthesis = _PointsOfW(config)


def _lengths(G: nn.Module, n: int) -> Tensor:
    """|J^T y| of n latents and 16 random directions y, [16, n]."""
    ws = G.mapping(games.latents(G, n)).detach().requires_grad_()
    seeds = (torch.tensor([0, way]) for way in range(16))
    return torch.stack([ops.path_length(ws, G.synthesis(ws, noise_mode="const"), at).detach() for at in seeds])


def _at_w(lengths: Tensor) -> Tensor:
    """The path length at each w: the root mean square over the directions."""
    return lengths.square().mean(0).sqrt()


def _spread(lengths: Tensor) -> float:
    """The standard deviation over w of the path length, over its mean."""
    return (_at_w(lengths).std() / _at_w(lengths).mean()).item()


@claim(
    "Path length regularisation makes images move as far wherever the latent starts from.",
    source="Karras et al. 2020, arXiv 1912.04958, section 3.2 and figure 4",
    expects=(
        Figure("spread of path lengths over w, with / without", at_most=0.8),
        Figure("variance of |J^T y|, with / without", at_most=0.5),
        Figure("mean length, with / without"),
        Figure("spread without, after 125 steps"),
        Figure("spread without, after 1000 steps"),
        Figure("spread with, after 1000 steps"),
        Figure("modes of 8, with", at_least=6),
    ),
)
def path_lengths(seed: int) -> Seen:
    """A ring of eight Gaussians (standard deviation 0.1 at radius 2) has gaps, where a small step of w moves a point
    far. A generator of points behind a mapping, 1000 steps of 128 points, R1 with weight 2; path length regularisation
    of weight 0.3 at every step, or none, with decay 0.1. Lengths are those of 1000 latents in 16 random directions; the
    length at a w is their root mean square, and the spread is its standard deviation over its mean. Without, the spread
    grows as the points are learned. With it lengths also become shorter, and points lie less close to the modes.

    On 8x8 digits without labels (StyleGAN2, 200 batches of 32, weight 2 at every step) the variance fell to 0.69, 0.82
    and 0.80 of that without, with seeds 0, 1 and 2, and the spread to 0.81, 0.93 and 0.81. There it is 0.11 to 0.16
    before training and 0.10 to 0.11 after training without: so short a training leaves little to make even.
    """
    config = models.preset("points", activation="lrelu")
    looks = (125, 250, 500, 1000)
    lengths, spreads, shown, modes = {}, {}, [], 0
    for name, weight in (("without", 0.0), ("with", 0.3)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            D, G = mlp.Discriminator(config), _MappedPoints(config)
        recipe = Recipe(
            gamma=2.0, penalty_interval=1, beta1=0.5, path_length=weight, path_length_interval=1, path_length_decay=0.1
        )
        game, batches = Engine(G, D, recipe, seed), games.of_mixture(games.NARROW, 128, seed)
        average = game.averages.modules["G_ema"]
        found = []
        for at in looks:
            games.train(game, batches, at - game.step_number)
            found.append(_lengths(average, 1000))
        spreads[name] = looks, [_spread(each) for each in found]
        lengths[name] = found[-1]
        points = games.draw_points(average, 2000)
        modes = int((games.NARROW.counts(points) >= 20).sum())
        shown.append(picture.plane(name, {"generated": points[:500], "real": games.NARROW.centres}, 3.0))
    (_, without), (_, with_it) = spreads["without"], spreads["with"]
    curves = {
        name: (list(range(1000)), (_at_w(each) / _at_w(each).mean()).sort().values.tolist())
        for name, each in lengths.items()
    }
    return Seen(
        (
            with_it[-1] / without[-1],
            (lengths["with"].var() / lengths["without"].var()).item(),
            (lengths["with"].mean() / lengths["without"].mean()).item(),
            without[0],
            without[-1],
            with_it[-1],
            modes,
        ),
        picture.beside(
            picture.curves("spread of path lengths, by steps", spreads, low=0.0),
            picture.curves("path lengths / mean, sorted", curves),
            *shown,
        ),
    )


# ---------------------------------------------------------------- equivariance


def signal_to_error(image: Tensor, other: Tensor, margin: int) -> float:
    """In dB: EQ-T of StyleGAN3's appendix E.1 with the images' own power in place of that of their range.

    Networks that are not trained yet have images of all scales. A margin is left out at every side.
    """
    a, b = (x[..., margin:-margin, margin:-margin].double() for x in (image, other))
    return 10 * math.log10(a.var() / (a - b).square().mean())


@torch.no_grad()
def moved_stylegan3(seed: int, pixels: int, **options) -> tuple[Tensor, Tensor]:
    """Images of an untrained StyleGAN3, moved to the right after and before the network. [4, 1, 32, 32]."""
    config = models.preset("stylegan3-t-digits", img_resolution=32, c_dim=0, num_layers=8, margin_size=10, **options)
    G = games.networks(config, seed)[0].eval()
    ws = G.mapping(games.latents(G, 4, f"equivariance {seed}"))
    image = G.synthesis(ws)
    G.synthesis.input.transform[0, 2] = -pixels / 32
    return image.roll(pixels, 3), G.synthesis(ws)


@torch.no_grad()
def moved_stylegan2(seed: int, pixels: int) -> tuple[Tensor, Tensor]:
    """The same of StyleGAN2 with Fourier features for its constant: configuration B of StyleGAN3's table 1."""
    G = games.networks(models.preset("digits", img_resolution=32, c_dim=0), seed)[0]
    constant = stylegan3.SynthesisInput(
        1, stylegan3.Band(cutoff=1.0, half_width=1.0, sampling_rate=4, size=4, channels=32)
    )
    ws, images = G.mapping(games.latents(G, 4, f"equivariance {seed}")), []
    for shift in (0, -pixels / 32):
        constant.transform[0, 2] = shift
        G.synthesis.b4.const.copy_(constant(torch.zeros(1, 1))[0])
        images.append(G.synthesis(ws, noise_mode="none"))
    return images[0].roll(pixels, 3), images[1]


@claim(
    "StyleGAN3 moves its images with its input, StyleGAN2 does not: details stick to the pixels.",
    source="Karras et al. 2021, arXiv 2106.12423, table 1 (63.0 and 66.7 dB after training, against 16.2)",
    expects=(
        Figure("EQ-T in dB, StyleGAN3-T", at_least=50.0),
        Figure("EQ-T in dB, StyleGAN3-R", at_least=50.0),
        Figure("EQ-T in dB, StyleGAN2", at_most=25.0),
    ),
)
def translation_equivariance(seed: int) -> Seen:
    """Untrained networks at 32x32: the input moved by 3 pixels, against the image moved by 3 pixels."""
    pairs = {
        "StyleGAN3-T": moved_stylegan3(seed, 3),
        "StyleGAN3-R": moved_stylegan3(seed, 3, rotation=True),
        "StyleGAN2": moved_stylegan2(seed, 3),
    }
    panels = []
    for name, (image, moved) in pairs.items():
        scale = image.abs().max()
        rows = torch.cat([image[:3], moved[:3], moved[:3] - image[:3]])[..., 4:-4, 4:-4] / scale
        panels.append(picture.images(f"{name}: moved after, before, difference", rows, 3, 72))
    return Seen(tuple(signal_to_error(*pair, margin=4) for pair in pairs.values()), picture.beside(*panels))
