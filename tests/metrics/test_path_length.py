import pytest
import torch

from gan_fast.metrics import load_perceptual, perceptual_path_length


class Linear(torch.nn.Module):
    """w = z scaled by the class, or by the sum of the vector; each pixel of an image is twice one coordinate of w."""

    z_dim, c_dim, num_ws, w_dim = 12, 3, 1, 12

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones([], dtype=torch.float64))

    def mapping(self, z, c):
        return (z * self.weight * (c @ torch.tensor([1.0, 2.0, 3.0], device=z.device).to(z))[:, None])[:, None]

    def synthesis(self, ws):
        return 2 * ws.reshape(-1, 3, 2, 2)


def square(a, b):
    return (a - b).square().sum((1, 2, 3))


def test_of_a_linear_generator():
    """d / eps^2 = 4 |w' - w|^2, whose expectation is 4 * 2 * 12 times the square of the class's factor."""
    for k in range(3):
        found = perceptual_path_length(Linear(), torch.full((4000,), k), square)
        assert found == pytest.approx(96 * (k + 1) ** 2, rel=0.02)
    vectors = perceptual_path_length(Linear(), torch.tensor([[1.0, 1.0, 0.0]]).repeat(4000, 1), square)
    assert vectors == pytest.approx(96 * 9, rel=0.02)


def test_outer_values_are_left_out():
    """Of 1000 pairs the ten nearest and the ten farthest."""

    def ranked(a, b):
        start = ranked.seen
        ranked.seen += len(a)
        return torch.arange(start, ranked.seen, dtype=torch.float64) * 1e-8

    ranked.seen = 0
    done = []
    assert perceptual_path_length(Linear(), torch.zeros(1000, dtype=torch.int64), ranked, done.append) == 499.5
    assert done[-1] == 1000


def test_a_network_of_ones_own(tmp_path):
    class Network(torch.nn.Module):
        def forward(self, x, resize_images: bool = True, return_lpips: bool = False):
            assert not resize_images
            assert return_lpips
            return x.mean([2, 3])

    torch.jit.script(Network()).save(tmp_path / "vgg.pt")
    distance = load_perceptual(tmp_path / "vgg.pt", torch.device("cpu"))
    a = torch.zeros(2, 1, 512, 512)
    torch.testing.assert_close(
        distance(a, a + torch.tensor([0.2, -0.4])[:, None, None, None]), 3 * torch.tensor([25.5, 51]) ** 2
    )
    (tmp_path / "text.pt").write_text("no network")
    with pytest.raises(ValueError, match=r"perceptual: .*text\.pt is no TorchScript file"):
        load_perceptual(tmp_path / "text.pt", torch.device("cpu"))
