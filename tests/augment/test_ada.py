import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from gan_fast.augment import PRESETS, AdaPipeline, Parameters, bands, colour, geometry
from gan_fast.ops import setup_filter, use_backend

NEUTRAL = {"scale": 1.0, "stretch": 1.0, "contrast": 1.0, "saturation": 1.0}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def parameters(n=1, **values) -> Parameters:
    """Neutral but for `values`, which are lists of one value an image."""
    shapes = {"shift": (n, 2), "drift": (n, 2), "hole": (n, 2), "bands": (n, 4)}
    neutral = {**NEUTRAL, "bands": 1.0, "hole": 0.5}
    return Parameters(
        **{
            f.name: torch.tensor(values[f.name], dtype=torch.float64).reshape(shapes.get(f.name, (n,)))
            if f.name in values
            else torch.full(shapes.get(f.name, (n,)), neutral.get(f.name, 0.0), dtype=torch.float64)
            for f in dataclasses.fields(Parameters)
        }
    )


@pytest.fixture(scope="module")
def drawn():
    """The parameters of 8000 images, all of them augmented."""
    return AdaPipeline.preset("bgcfnc").draw(torch.empty(8000, 3, 48, 64), 1.0, seeded())


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("channels", [1, 3])
def test_p_of_zero_is_the_identity_to_the_bit(name, channels, device):
    x = torch.randn(4, channels, 12, 10, device=device)
    pipeline = AdaPipeline.preset(name)
    assert torch.equal(pipeline(x, torch.tensor(0.0, device=device), seeded()), x)
    changed = pipeline(x, torch.tensor(1.0, device=device), seeded()) != x
    assert changed.flatten(1).any(1).sum() >= 3
    assert torch.equal(pipeline(x, 1.0, seeded()), pipeline(x, torch.tensor(1.0, device=device), seeded()))


@pytest.mark.parametrize(
    ("field", "distribution"),
    [
        (lambda a: a.turn_before / math.pi, stats.uniform(-1, 2)),
        (lambda a: a.turn_after / math.pi, stats.uniform(-1, 2)),
        (lambda a: a.scale.log2(), stats.norm(0, 0.2)),
        (lambda a: a.stretch.log2(), stats.norm(0, 0.2)),
        (lambda a: a.drift[:, 0] / 64, stats.norm(0, 0.125)),
        (lambda a: a.drift[:, 1] / 48, stats.norm(0, 0.125)),
        (lambda a: a.brightness, stats.norm(0, 0.2)),
        (lambda a: a.contrast.log2(), stats.norm(0, 0.5)),
        (lambda a: a.hue / math.pi, stats.uniform(-1, 2)),
        (lambda a: a.saturation.log2(), stats.norm(0, 1)),
        (lambda a: a.noise, stats.halfnorm(0, 0.1)),
        (lambda a: a.hole[:, 0], stats.uniform(0, 1)),
        (lambda a: a.hole[:, 1], stats.uniform(0, 1)),
        # What is left of the bands' gains when their common factor is taken out.
        (lambda a: (a.bands[:, 1] / a.bands[:, 3]).log2(), stats.norm(0, math.sqrt(2))),
    ],
)
def test_continuous_parameters_have_the_published_distributions(drawn, field, distribution):
    assert stats.kstest(field(drawn).double().numpy(), distribution.cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("field", "shares"),
    [
        (lambda a: a.flip, {0: 1 / 2, 1: 1 / 2}),
        (lambda a: a.quarter_turns, dict.fromkeys(range(4), 1 / 4)),
        (lambda a: a.luma_flip, {0: 1 / 2, 1: 1 / 2}),
        (lambda a: a.shift[:, 0], {i: 1 / 16 if abs(i) < 8 else 1 / 32 for i in range(-8, 9)}),
        (lambda a: a.shift[:, 1], {i: 1 / 12 if abs(i) < 6 else 1 / 24 for i in range(-6, 7)}),
    ],
)
def test_discrete_parameters_have_the_published_distributions(drawn, field, shares):
    found, counts = np.unique(field(drawn).numpy(), return_counts=True)
    assert found.tolist() == list(shares)
    assert stats.chisquare(counts, [share * 8000 for share in shares.values()]).pvalue > 1e-3


@pytest.mark.parametrize(
    ("happened", "chance"),
    [
        (lambda a: a.flip != 0, 0.3 / 2),
        (lambda a: a.quarter_turns != 0, 0.3 * 3 / 4),
        (lambda a: a.scale != 1, 0.3),
        (lambda a: (a.turn_before != 0) | (a.turn_after != 0), 0.3),
        (lambda a: a.stretch != 1, 0.3),
        (lambda a: (a.drift != 0).any(1), 0.3),
        (lambda a: a.brightness != 0, 0.3),
        (lambda a: a.contrast != 1, 0.3),
        (lambda a: a.luma_flip != 0, 0.3 / 2),
        (lambda a: a.hue != 0, 0.3 / 2),  # asked for with half the probability
        (lambda a: a.saturation != 1, 0.3),
        (lambda a: (a.bands != 1).any(1), 1 - 0.7**3),  # one band is switched off
        (lambda a: a.noise != 0, 0.3),
        (lambda a: a.cut != 0, 0.3),
    ],
)
def test_each_augmentation_happens_with_its_probability(happened, chance):
    pipeline = AdaPipeline.preset("bgcfnc", hue=0.5, imgfilter_bands=(1, 1, 0, 1))
    count = int(happened(pipeline.draw(torch.empty(8000, 3, 8, 8), 0.3, seeded())).sum())
    assert stats.binomtest(count, 8000, chance).pvalue > 1e-3


def test_a_group_that_is_off_changes_nothing_in_the_others():
    few, many = (AdaPipeline.preset(name).draw(torch.empty(9, 3, 8, 8), 0.7, seeded()) for name in ("color", "bgcfnc"))
    assert torch.equal(few.hue, many.hue)
    assert torch.equal(few.saturation, many.saturation)
    assert not torch.equal(few.flip, many.flip)


def test_bands_keep_the_expected_power(drawn):
    """Of one band changed alone: the spectrum expected of natural images has the power that it had."""
    power = torch.tensor(bands.EXPECTED_POWER, dtype=torch.float64)
    factors = torch.ones(4, 4, dtype=torch.float64).fill_diagonal_(3.0)
    gains = bands.normalised(factors)
    torch.testing.assert_close((gains.square() * power).sum(1), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(gains / gains.amin(1, keepdim=True), factors)


def test_points_come_from_where_the_image_was_moved_step_by_step():
    steps = {
        "flip": [1.0], "quarter_turns": [3.0], "shift": [[5.0, -2.0]], "scale": [1.3], "turn_before": [0.4],
        "stretch": [0.8], "turn_after": [-1.1], "drift": [[0.3, -2.7]],
    }  # fmt: skip
    x, y = 4.0, -7.0
    z = complex(-x, y) * 1j ** (-3) + complex(5, -2)
    z *= 1.3 * np.exp(-0.4j)
    z = complex(z.real * 0.8, z.imag / 0.8) * np.exp(1.1j) + complex(0.3, -2.7)
    source = geometry.source_map(parameters(**steps))[0].numpy()
    np.testing.assert_allclose(source @ [z.real, z.imag, 1], [x, y, 1], atol=1e-12)


def by_definition(image: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Reflect by a whole side, insert zeros, filter, sample, filter back, drop every other sample."""
    (h, w), reach = image.shape, geometry.REACH
    padded = np.pad(image, [(h - 1, h - 1), (w - 1, w - 1)], mode="reflect")
    up = np.zeros([2 * s for s in padded.shape])
    up[::2, ::2] = padded
    f = setup_filter(geometry.SYM6).double().numpy()
    for axis in (0, 1):
        up = np.apply_along_axis(lambda line: np.convolve(line, 2 * f)[5 : 5 + len(line)], axis, up)
    i, j = np.indices([2 * (h + 2 * reach), 2 * (w + 2 * reach)])
    points = np.stack([(j - (j.max() / 2) + 0.5) / 2, (i - (i.max() / 2) + 0.5) / 2, np.ones(i.shape)])
    x, y, _ = np.tensordot(source, points, 1)
    at = [2 * y - 0.5 + (up.shape[0] - 1) / 2, 2 * x - 0.5 + (up.shape[1] - 1) / 2]
    warped = ndimage.map_coordinates(up, at, order=1, mode="grid-constant")
    for axis in (0, 1):
        warped = np.apply_along_axis(lambda line: np.convolve(line, f[::-1])[6 : 6 + len(line)], axis, warped)
    return warped[::2, ::2][reach:-reach, reach:-reach]


def test_resampling_is_the_published_one():
    generator = np.random.default_rng(0)
    image = generator.normal(size=(9, 14))
    for seed in range(6):
        a = AdaPipeline.preset("bg").draw(torch.empty(1, 1, 9, 14), 0.8, seeded(seed))
        source = geometry.source_map(a).double()
        y = geometry.resample(torch.from_numpy(image)[None, None], source)[0, 0]
        np.testing.assert_allclose(y, by_definition(image, source[0].numpy()), atol=1e-12)


def test_a_smooth_image_is_what_it_is_elsewhere():
    """Away from reflections, resampling evaluates the image at the source points."""

    def scene(x, y):
        return torch.cos(0.11 * x - 0.4) * torch.sin(0.07 * y + 0.2 + 0.05 * x)

    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    x, y = (t.double() - 31.5 for t in (columns, rows))
    source = geometry.source_map(
        parameters(scale=[1.2], turn_before=[0.7], stretch=[1.1], drift=[[2.3, -1.6]], flip=[1.0])
    )
    u, v, _ = torch.einsum("ij,jhw->ihw", source[0], torch.stack([x, y, torch.ones_like(x)]))
    inside = (u.abs() < 24) & (v.abs() < 24)
    assert inside.sum() > 1500
    found = geometry.resample(scene(x, y)[None, None], source)[0, 0]
    # The filter is not quite symmetric and delays by 0.05 pixels each time; the scene changes by 0.12 in one.
    assert (found - scene(u, v))[inside].abs().max() < 0.12 * 0.1


def test_margins_lose_nothing(monkeypatch):
    x = torch.randn(3, 1, 24, 24, dtype=torch.float64)
    gentle = AdaPipeline.preset("geom", scale_std=0.1, rotate_max=0.1, xfrac_std=0.02)
    source = geometry.source_map(gentle.draw(x, 1.0, seeded(3))).double()
    assert max(geometry._margins(source, 24, 24)) < 23
    y = geometry.resample(x, source)
    monkeypatch.setattr(geometry, "_margins", lambda source, width, height: (23, 23))
    torch.testing.assert_close(y, geometry.resample(x, source), atol=1e-12, rtol=0)


COLOURS = {
    "brightness": [0.3, -0.1], "contrast": [1.4, 0.6], "luma_flip": [1.0, 0.0], "hue": [0.9, -2.0],
    "saturation": [0.5, 1.7],
}  # fmt: skip


def colour_by_definition(rgb: np.ndarray, b, c, flip, hue, saturation, channels=3) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    grey = np.full(3, 3**-0.5)
    rgb = (rgb + b) * c
    if flip:
        rgb = rgb - 2 * (rgb @ grey)[..., None] * grey
    if channels == 3:
        rgb = rgb @ Rotation.from_rotvec(hue * grey).as_matrix().T
        mean = (rgb @ grey)[..., None] * grey
        rgb = mean + (rgb - mean) * saturation
    return rgb


def test_colours_are_the_published_steps():
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    a = parameters(2, **COLOURS)
    y = colour.recolour(x, colour.colour_map(a, 3))
    grey = colour.recolour(x[:, :1], colour.colour_map(a, 1))
    for i, steps in enumerate(zip(*COLOURS.values(), strict=True)):
        wanted = colour_by_definition(x[i].movedim(0, -1).numpy(), *steps)
        np.testing.assert_allclose(y[i].movedim(0, -1), wanted, atol=1e-12)
        wanted = colour_by_definition(np.repeat(x[i, 0, ..., None].numpy(), 3, -1), *steps, channels=1)
        np.testing.assert_allclose(grey[i, 0], wanted.mean(-1), atol=1e-12)


def test_the_filter_bank_splits_the_spectrum_in_octaves():
    bank = bands.filter_bank()
    assert bank.shape == (4, 43)
    np.testing.assert_allclose(bank.sum(0), np.eye(43)[21], atol=1e-12)
    spectra = np.abs(np.fft.rfft(bank, 512))
    for i, (low, high) in enumerate([(0, 32), (32, 64), (64, 128), (128, 257)]):
        inside = np.square(spectra[i, low:high]).sum()
        assert inside > 0.7 * np.square(spectra[i]).sum()


def test_filtering_is_convolution_with_reflected_borders():
    x = torch.randn(2, 2, 30, 25, dtype=torch.float64)
    gains = torch.tensor([[0.5, 1.5, 1.0, 2.0], [1.0, 0.1, 3.0, 0.7]], dtype=torch.float64)
    y = bands.filtered(x, gains)
    taps = gains.numpy() @ bands.filter_bank()
    for i in range(2):
        for c in range(2):
            wanted = ndimage.convolve1d(x[i, c].numpy(), taps[i], 0, mode="mirror")
            np.testing.assert_allclose(y[i, c], ndimage.convolve1d(wanted, taps[i], 1, mode="mirror"), atol=1e-12)


def test_noise_and_cutout_are_what_their_parameters_say():
    x = torch.full((3, 1, 200, 100), 7.0)
    noisy = AdaPipeline.preset("noise").apply(x, parameters(3, noise=[0.0, 0.1, 2.0]), seeded())
    assert torch.equal(noisy[0], x[0])
    for i, sigma in ((1, 0.1), (2, 2.0)):
        assert stats.kstest((noisy[i] - 7).flatten().double().numpy(), stats.norm(0, sigma).cdf).pvalue > 1e-3
    a = parameters(3, cut=[0.0, 1.0, 1.0], hole=[[0.5, 0.5], [0.5, 0.5], [0.1, 0.9]])
    cut = AdaPipeline.preset("cutout").apply(x, a)
    assert torch.equal(cut[0], x[0])
    hole = torch.zeros(200, 100, dtype=torch.bool)
    hole[50:150, 25:75] = True
    assert torch.equal(cut[1, 0] == 0, hole)
    hole = torch.zeros(200, 100, dtype=torch.bool)
    hole[130:, :35] = True
    assert torch.equal(cut[2, 0] == 0, hole)


@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_differentiable_twice(channels, device):
    pipeline = AdaPipeline.preset("bgcfnc")
    x = torch.randn(1, channels, 3, 3, device=device, dtype=torch.float64, requires_grad=True)

    def augmented(x):
        return pipeline(x, 0.9, seeded(1))

    assert torch.autograd.gradcheck(augmented, x)
    assert torch.autograd.gradgradcheck(lambda x: augmented(x) ** 2, x)


def test_off_the_cpu_the_host_waits_for_no_value():
    """Meta tensors have none to give: whatever asks for one raises."""
    x, p = torch.empty(4, 3, 16, 16, device="meta"), torch.empty((), device="meta")
    with use_backend("reference"):
        assert AdaPipeline.preset("bgcfnc")(x, p).shape == x.shape


def test_halves_and_autocast_keep_the_dtype(device):
    x = torch.randn(2, 3, 8, 8, device=device)
    pipeline = AdaPipeline.preset("bgcfnc")
    full = pipeline(x, 0.9, seeded(1))
    with torch.autocast(device.type, torch.bfloat16):
        assert torch.equal(pipeline(x, 0.9, seeded(1)), full)
    half = pipeline(x.half(), 0.9, seeded(1))
    assert half.dtype == torch.float16
    assert (half - full).abs().max() < 0.02 * full.abs().max()


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: AdaPipeline.preset("bcg"), "preset.*'bcg'"),
        (lambda: AdaPipeline(scale_std=-1), "scale_std"),
        (lambda: AdaPipeline(imgfilter_bands=(1, 1)), "imgfilter_bands"),
        (lambda: AdaPipeline()(torch.zeros(1, 2, 8, 8), 0.5), "x: got shape"),
    ],
)
def test_bad_arguments_are_named(make, named):
    with pytest.raises(ValueError, match=named):
        make()
