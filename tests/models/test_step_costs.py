"""What training steps of a StyleGAN2 cost beside PyTorch's own ops: memory, launches, traffic."""

import pytest
import torch

from gan_fast.benchmarks.steps import peak_memory
from gan_fast.benchmarks.traffic import count
from gan_fast.losses import logistic_generator
from gan_fast.models.stylegan2 import build
from gan_fast.ops import use_backend


def test_peak_memory_of_a_generator_step() -> None:
    torch.manual_seed(0)
    generator, discriminator = build("paper256", img_resolution=64, channel_base=1024, num_layers=2, conv_clamp=None)
    discriminator.requires_grad_(False)
    z = torch.randn(8, generator.z_dim)
    peaks = {}
    for backend in ("auto", "reference"):
        generator.zero_grad(set_to_none=True)
        with use_backend(backend):
            step = lambda: logistic_generator(discriminator(generator(z))).mean().backward()  # noqa: E731
            peaks[backend] = peak_memory(step, torch.device("cpu"))
    assert peaks["auto"] <= 0.6 * peaks["reference"], peaks


@pytest.fixture(scope="module")
def traffic() -> dict:
    return count(64, 16, 4096)


@pytest.mark.parametrize("step", ["G, forward and backward", "G step", "D step"])
def test_launches_and_traffic(traffic: dict, step: str) -> None:
    """Fewer than PyTorch's ops take, and fewer still where the layer is one launch."""
    fused, composed, plain = (traffic[step, way] for way in ("ours, fused", "ours, composed", "PyTorch's ops"))
    assert fused.bytes.total() < composed.bytes.total() < 0.65 * plain.bytes.total()
    assert fused.launches.total() < composed.launches.total() < plain.launches.total()


def test_a_synthesis_layer_is_one_launch_and_its_gradients_three(traffic: dict) -> None:
    launches = traffic["G, forward and backward", "ours, fused"].launches
    layers = 9 + 5  # convolutions of a 64-pixel generator, and torgb
    assert launches["modulated_conv2d"] == launches["modulated_conv2d_weight_grad"] == layers
    assert launches["modulated_conv2d_input_grad"] == layers
    assert launches["convolution"] == 0
