"""How good and how varied generated images are, as distances between sets of features."""

from gan_fast.metrics.digits import DigitClassifier, DigitsMetrics, load_digit_classifier
from gan_fast.metrics.frechet import frechet_distance
from gan_fast.metrics.neighbours import density_coverage, precision_recall
from gan_fast.metrics.sliced import sliced_wasserstein

__all__ = [
    "DigitClassifier",
    "DigitsMetrics",
    "density_coverage",
    "frechet_distance",
    "load_digit_classifier",
    "precision_recall",
    "sliced_wasserstein",
]
