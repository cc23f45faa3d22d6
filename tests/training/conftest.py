import pytest

from gan_fast.training import TrainConfig, make_config

TINY = {
    "model": {"img_resolution": 8, "channel_base": 64, "channel_max": 8, "z_dim": 8, "w_dim": 8},
    "batch": 8,
    "kimg": 0.064,
    "penalty_interval": 2,
    "mode_seeking": 0.01,
    "style_mixing": 0.5,
    "translate": 0.125,
    "class_group": 2,
    "eval_kimg": 1000,
    "checkpoint_kimg": 0.032,
    "threads": 1,
}


@pytest.fixture
def tiny(request, device):
    """Makes the settings of an eight-step run of very small networks on the digits at 8x8.

    Metrics take most of the time of a short run: only the tests that ask for them pay for them.
    """
    samples = 1000 if "metrics" in request.fixturenames else 0

    def make(**changes) -> TrainConfig:
        return make_config(**{**TINY, "device": device.type, "eval_samples": samples, **changes})

    return make


@pytest.fixture
def metrics():
    """A test that takes this fixture runs with metrics."""
