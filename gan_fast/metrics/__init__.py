"""How good and how varied generated images are, as distances between sets of features."""

from __future__ import annotations

from gan_fast.data import Images
from gan_fast.metrics.digits import DigitClassifier, DigitsMetrics, load_digit_classifier
from gan_fast.metrics.features import Features
from gan_fast.metrics.frechet import frechet_distance
from gan_fast.metrics.images import SAMPLES, ImageMetrics, load_classifier, load_detector
from gan_fast.metrics.inception import InceptionScore
from gan_fast.metrics.kernel import kernel_distance
from gan_fast.metrics.neighbours import density_coverage, precision_recall
from gan_fast.metrics.path_length import load_perceptual, perceptual_path_length
from gan_fast.metrics.sliced import sliced_wasserstein

__all__ = [
    "DigitClassifier",
    "DigitsMetrics",
    "Features",
    "ImageMetrics",
    "InceptionScore",
    "density_coverage",
    "frechet_distance",
    "kernel_distance",
    "load_classifier",
    "load_detector",
    "load_digit_classifier",
    "load_perceptual",
    "metrics_for",
    "perceptual_path_length",
    "precision_recall",
    "sliced_wasserstein",
]


def metrics_for(source: str, data: Images, samples: int = SAMPLES) -> DigitsMetrics | ImageMetrics:
    """The metrics of a source, as `gan_fast.data.open_data` names it: the digits have their own classifier.

    Args:
        source: name or path.
        data: its images.
        samples: see `ImageMetrics`; of the digits it is always one half.
    """
    return DigitsMetrics() if source == "digits" else ImageMetrics(data, samples)
