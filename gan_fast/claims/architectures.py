"""Architectures: what conditioning, growing, normalisation and filters are said to do."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_fast import models, ops
from gan_fast.claims import games, picture
from gan_fast.claims.claim import Figure, Seen, claim
from gan_fast.data import digits, seeded_generator
from gan_fast.data.image_set import one_hot
from gan_fast.layers import ModulatedConv2d
from gan_fast.metrics import frechet_distance
from gan_fast.models import biggan, stylegan, stylegan3

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


@claim(
    "Trained on the same data from the same seed, AdaIN's feature maps grow spikes and demodulation's do not.",
    source="Karras et al. 2020, arXiv 1912.04958, section 2 and figure 1",
    expects=(
        Figure("peak of a map in its standard deviations, AdaIN / demodulation", at_least=1.3),
        Figure("peak, AdaIN"),
        Figure("peak, demodulation"),
    ),
    unmet="Why: maps have 16x16 pixels here, and training takes seconds; the paper sees droplets in maps of 64x64 and"
    " more, where a spike has room that the image does not miss, of networks that were trained for days. What lets"
    " AdaIN make use of one, and demodulation not, shows in droplet-mechanism.",
)
def droplet(seed: int) -> Seen:
    """StyleGAN and StyleGAN2 on 16x16 digits, 60 batches of 32. The peak is that of the last layer's activations,
    before AdaIN in the former, over the pixels of a map, the highest of an image's 32 maps, in the mean over 64 images.
    """
    peaks, panels = [], []
    for name, preset in (("AdaIN", "stylegan-digits"), ("demodulation", "digits")):
        game = games.trained(preset, seed, 60, gamma=3.0, g_lr=3e-3, d_lr=3e-3, style_mixing=0.5, mode_seeking=0.0)
        average = game.averages.modules["G_ema"]
        maps: list[Tensor] = []
        if name == "AdaIN":
            layer = average.synthesis.layers[-1].adain
            hook = layer.register_forward_pre_hook(lambda module, inputs, maps=maps: maps.append(inputs[0]))
        else:
            layer = average.synthesis.b16.conv1
            hook = layer.register_forward_hook(lambda module, inputs, output, maps=maps: maps.append(output))
        drawn = games.draw_digits(average, TEN.repeat(7)[:64])
        hook.remove()
        y = maps[0]
        score = (y - y.mean((2, 3), keepdim=True)).abs().amax((2, 3)) / y.std((2, 3)).clamp(min=1e-6)
        peaks.append(score.amax(1).mean().item())
        worst = y[0, score[0].argmax()]
        shown = torch.cat([drawn[:4], (worst / worst.abs().max())[None, None]])
        panels.append(picture.images(f"{name}: images, and the map with the highest peak", shown, 5, 48))
    return Seen((peaks[0] / peaks[1], *peaks), picture.beside(*panels))


@claim(
    "Path length regularisation makes images move as far wherever the latent starts from.",
    source="Karras et al. 2020, arXiv 1912.04958, section 3.2 and figure 4",
    expects=(
        Figure("spread of path lengths, with / without", at_most=0.8),
        Figure("standard deviation / mean of path lengths, without"),
        Figure("standard deviation / mean of path lengths, with"),
    ),
    unmet="It is smaller with two seeds of three, and not by as much. Why: the regulariser has run 50 times, and after"
    " so short a training of such small networks the spread is below a tenth of the mean already. A weight of 500 did"
    " not help with seed 0.",
)
def path_lengths(seed: int) -> Seen:
    """The digits demo's StyleGAN2 after 200 batches of 32, with weight 20 at every 4th step and without; lengths of 256
    latents, in the mean over 32 random directions of their images.
    """
    spreads, lengths = [], {}
    labels = games.digits_metrics().labels[:256]
    for name, weight in (("without", 0.0), ("with", 20.0)):
        G = games.trained("digits", seed, 200, path_length=weight, path_length_decay=0.1).averages.modules["G_ema"]
        ws = G.mapping(games.latents(G, len(labels)), one_hot(labels, 10)).detach().requires_grad_()
        each = [
            ops.path_length(ws, G.synthesis(ws, noise_mode="const"), torch.tensor([0, way])).detach()
            for way in range(32)
        ]
        found = torch.stack(each).mean(0)
        spreads.append((found.std() / found.mean()).item())
        lengths[name] = list(range(len(labels))), (found / found.mean()).sort().values.tolist()
    return Seen((spreads[1] / spreads[0], *spreads), picture.curves("path lengths / mean, sorted", lengths))


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
