"""The numbers of noise: known answers, their distribution, and that they are drawn again in backward."""

import pytest
import torch
from contract import backends_of, device_of

from gan_fast import ops
from gan_fast.ops.noise import philox

BACKENDS = ["reference", *backends_of("noise")]


def _device(backend: str) -> torch.device:
    return torch.device("cpu") if backend == "reference" else device_of(backend)


def test_philox_known_answers() -> None:
    """Vectors of the Random123 distribution (kat_vectors, philox4x32 10)."""
    ones = -1  # all bits
    zeros = torch.tensor([0])
    assert [hex(c.item()) for c in philox(torch.tensor(0), torch.tensor(0), zeros)] == [
        *("0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"),
    ]
    assert [hex(c.item()) for c in philox(torch.tensor(ones), torch.tensor(ones), torch.tensor([ones]))] == [
        *("0x408f276d", "0x41c83b0e", "0xa20bc7c6", "0x6d5451fd"),
    ]


@pytest.mark.parametrize("backend", BACKENDS)
def test_is_normal(backend: str) -> None:
    seed = torch.tensor([7, 11], device=_device(backend))
    z = ops.noise([1, 1, 200, 160], seed, backend=backend).double().cpu().flatten()
    n = z.numel()
    for moment, true, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**moment).mean() - true) < 4 * (spread / n) ** 0.5, moment
    neighbours = (z[1:] * z[:-1]).mean()
    assert abs(neighbours) < 4 / n**0.5
    other = ops.noise([1, 1, 200, 160], seed + torch.tensor([0, 1], device=seed.device), backend=backend)
    assert abs((z * other.double().cpu().flatten()).mean()) < 4 / n**0.5


@pytest.mark.parametrize("backend", backends_of("noise"))
def test_as_the_noise_of_a_layer(backend: str) -> None:
    """Through bias_act; forward keeps nothing of the noise's size but the output."""
    device = device_of(backend)
    seed = torch.tensor([3, 4], device=device)
    strength = torch.tensor(0.5, device=device, requires_grad=True)
    x = torch.randn(2, 3, 6, 6, device=device, requires_grad=True)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(tuple(t.shape)) or t, lambda t: t):
        y = ops.bias_act(x, act="lrelu", noise=ops.noise([2, 1, 6, 6], seed, strength, backend=backend))
    assert (2, 1, 6, 6) not in saved
    (grad,) = torch.autograd.grad(y.square().sum(), strength)
    z = ops.noise([2, 1, 6, 6], seed, backend="reference")
    true = ops.bias_act(x, act="lrelu", noise=strength * z, backend="reference")
    torch.testing.assert_close(grad, torch.autograd.grad(true.square().sum(), strength)[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([2, 1], torch.tensor([1, 2], dtype=torch.int32)), r"seed: got torch.int32 \(2,\), takes an int64 tensor"),
        (([2, 1], 5), "seed: got 5, takes an int64 tensor"),
        (([2, -1], torch.tensor([1, 2])), r"shape: got \[2, -1\], takes integers from 0"),
        (([2], torch.tensor([1, 2]), torch.ones(3)), r"strength: got shape \(3,\), takes one number"),
    ],
)
def test_bad_arguments(arguments: tuple, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        ops.noise(*arguments)
