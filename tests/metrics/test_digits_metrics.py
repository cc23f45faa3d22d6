import pytest
import torch

from gan_fast.data import digits, open_data, to_float
from gan_fast.metrics import DigitsMetrics, load_digit_classifier


@pytest.fixture(scope="module")
def metrics():
    return DigitsMetrics()


def real_images(metrics, per_class):
    """For each of the metrics' labels one of the first `per_class` real images of that class."""
    images = digits(16)
    generator = torch.Generator().manual_seed(0)
    picks = torch.randint(per_class, (len(metrics.labels),), generator=generator)
    members = torch.stack([torch.nonzero(images.labels == k)[:per_class, 0] for k in range(10)])
    return to_float(images.images[members[metrics.labels, picks]])


def test_the_classifier_reads_held_out_digits():
    _, held_out = open_data("digits", 16, 1)
    x, _ = held_out.batch(torch.arange(len(held_out)))
    assert (load_digit_classifier()(x).argmax(1) == held_out.labels).double().mean() >= 0.98


def test_real_halves_are_alike(metrics):
    halves = metrics.real_halves
    assert halves["fd_digits"] < 0.6
    assert min(halves["precision"], halves["recall"]) > 0.85
    assert halves["coverage"] > 0.95
    assert halves["classes"] == 10
    assert halves["class_accuracy"] > 0.99
    assert halves["samples"] == len(metrics.labels)


def test_collapse_within_classes_is_seen(metrics):
    collapsed = metrics(real_images(metrics, 5), metrics.labels)
    assert collapsed["precision"] > 0.9
    assert collapsed["class_accuracy"] > 0.98
    assert collapsed["recall"] < 0.1
    assert collapsed["coverage"] < 0.4
    assert collapsed["fd_digits"] > 10 * metrics.real_halves["fd_digits"]


def test_one_class_is_seen(metrics):
    zeros = digits(16).images[digits(16).labels == 0]
    result = metrics(to_float(zeros))
    assert result["classes"] == 1
    assert result["fd_digits"] > 50
    assert "class_accuracy" not in result


def test_noise_is_seen(metrics):
    noise = torch.rand(400, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    result = metrics(noise)
    assert result["precision"] < 0.2
    assert result["fd_digits"] > 50


def test_other_sizes_are_brought_to_16(metrics):
    large = digits(32)
    result = metrics(to_float(large.images), large.labels)
    assert result["class_accuracy"] > 0.98
    assert result["fd_digits"] < 3


@pytest.mark.parametrize("x", [torch.zeros(20, 3, 16, 16), torch.full((20, 1, 16, 16), float("nan"))])
def test_bad_images_are_refused(metrics, x):
    with pytest.raises(ValueError, match="x: "):
        metrics(x)
