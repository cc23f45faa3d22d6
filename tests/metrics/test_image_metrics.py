import itertools

import pytest
import torch
import torch.nn.functional as F

from gan_fast.data import ImageSet, photos, to_float
from gan_fast.metrics import ImageMetrics, load_classifier, load_detector, metrics_for
from gan_fast.metrics.filters import filter_features

SAMPLES = 200


@pytest.fixture(scope="module")
def real():
    """Patches of the photographs, no two of which are neighbours."""
    images = photos(32)[0]
    return images.subset(torch.arange(0, len(images), 7))


@pytest.fixture(scope="module")
def metrics(real):
    return ImageMetrics(real, SAMPLES)


def other_half(real, metrics):
    """Images that the metrics have not taken as their reference, of both classes in the shares of all."""
    images = real.subset(real.class_rank() % 2 == 1)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(5))
    return to_float(images.images[order[:SAMPLES]])


def blurred(x, factor):
    return F.interpolate(F.avg_pool2d(x, factor), scale_factor=factor, mode="bilinear")


def test_better_images_are_nearer(real, metrics):
    """Each step divides both distances by 1.4 and more; the least quotient measured over four seeds was 1.84."""
    x = other_half(real, metrics)
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = [metrics(images) for images in (noise, blurred(x, 8), blurred(x, 4), blurred(x, 2), x)]
    for key in ("fd_filters", "kd_filters"):
        values = [scores[key] for scores in found]
        assert all(worse > 1.4 * better for worse, better in itertools.pairwise(values)), (key, values)
    for key in ("recall", "coverage"):
        values = [scores[key] for scores in found]
        assert values[0] < 0.05 < max(values[1:3]) < 0.3 < values[3] < 0.6 < 0.8 < values[4], (key, values)


def test_a_collapse_is_seen_by_recall_and_coverage(real, metrics):
    x = other_half(real, metrics)
    collapsed = metrics(x[:10].repeat(SAMPLES // 10, 1, 1, 1))
    assert collapsed["precision"] > 0.6
    assert collapsed["recall"] < 0.3 < metrics.real_halves["recall"]
    assert collapsed["coverage"] < 0.3 < metrics.real_halves["coverage"]


def test_batches_measure_as_the_whole(real, metrics):
    x = other_half(real, metrics)
    assert metrics(x) == metrics(iter(x.split(30)))


def test_the_protocol_says_what_was_compared(metrics):
    assert metrics.protocol == {
        "features": "filters",
        "revision": 1,
        "width": 240,
        "resize": "bilinear, antialiased, to 64x64",
        "reference": f"{SAMPLES} of 815 images: every second of its class",
        "kd_and_neighbours": "of the first 5000 of each side at most",
    }
    assert metrics.real_halves["samples"] == len(metrics.labels) == SAMPLES


def test_features_are_pinned():
    """A change of the formula takes a new REVISION."""
    x = (torch.arange(3 * 20 * 20).view(1, 3, 20, 20) * 7919 % 256).to(torch.uint8)
    features = filter_features(x)
    assert features.shape == (1, 240)
    torch.testing.assert_close(features[0, ::60], torch.tensor([0.04350469, -2.56576824, -2.31246972, -2.40847421]))
    grey = filter_features(x[:, :1])
    assert torch.equal(grey, filter_features(x[:, :1].expand(-1, 3, -1, -1)))


def test_a_detector_of_ones_own(real, tmp_path):
    class Means(torch.nn.Module):
        def forward(self, x, return_features: bool = False):
            x = x.float().mean(3)
            return x if return_features else x[:, :0]

    torch.jit.script(Means()).save(tmp_path / "means.pt")
    metrics = ImageMetrics(real, 50, load_detector(tmp_path / "means.pt"), "means", "none")
    assert metrics.protocol["width"] == 3 * 32
    assert metrics.real_halves["fd_means"] > 0
    assert "is_means" not in metrics.real_halves
    (tmp_path / "text.pt").write_text("no network")
    with pytest.raises(ValueError, match=r"text\.pt is no TorchScript file"):
        load_detector(tmp_path / "text.pt")


def test_the_published_protocol_takes_all_real_images_and_a_classifier(real, metrics, tmp_path):
    class Brightness(torch.nn.Module):
        """Three classes by brightness, told apart the less sharply the more bias."""

        def forward(self, x, return_features: bool = False, no_output_bias: bool = False):
            bright = x.float().mean([1, 2, 3])
            if return_features:
                return bright[:, None]
            levels = torch.tensor([60.0, 120.0, 180.0])
            sharpness = 0.01 if no_output_bias else 0.0
            return torch.softmax(-sharpness * (bright[:, None] - levels).square(), 1)

    torch.jit.script(Brightness()).save(tmp_path / "b.pt")
    features, classify = load_detector(tmp_path / "b.pt"), load_classifier(tmp_path / "b.pt")
    found = ImageMetrics(real, 300, features, "b", "none", classify, whole=True)
    assert found.protocol["reference"] == "815 of 815 images"
    assert found.protocol["is_splits"] == 10
    assert len(found.labels) == 300
    assert set(found.labels.tolist()) == {0, 1}
    shades = torch.tensor([-0.53, -0.06, 0.41]).repeat(100)[:, None, None, None].expand(-1, 3, 8, 8)
    assert found(shades)["is_b"] == pytest.approx(3, rel=1e-2)
    grey = found(shades[1::3])
    assert grey["is_b"] == pytest.approx(1, rel=1e-6)
    assert 1 < found.real_halves["is_b"] < 3
    assert found(to_float(real.images))["fd_b"] == pytest.approx(0, abs=1e-6)


def test_bad_images_are_refused(metrics):
    for x in (torch.zeros(20, 1, 16, 16), torch.full((20, 3, 16, 16), float("nan"))):
        with pytest.raises(ValueError, match="x: "):
            metrics(x)
    with pytest.raises(ValueError, match="10 images are too few"):
        metrics_for(
            "a folder", ImageSet(torch.zeros(10, 3, 8, 8, dtype=torch.uint8), torch.zeros(10, dtype=torch.int64))
        )
