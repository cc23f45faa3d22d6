import pytest
import torch

from gan_fast.augment import translate


def test_each_image_is_shifted_with_its_border_repeated(device):
    x = torch.rand(40, 2, 8, 16, device=device)
    y = translate(x, 1 / 8, torch.Generator().manual_seed(0))
    shifts = set()
    for before, after in zip(x, y, strict=True):
        padded = torch.nn.functional.pad(before[None], (2, 2, 1, 1), mode="replicate")[0]
        found = [(i, j) for i in range(3) for j in range(5) if torch.equal(padded[:, i : i + 8, j : j + 16], after)]
        assert len(found) == 1
        shifts |= set(found)
    assert len(shifts) > 10


def test_it_is_differentiable_twice(device):
    x = torch.rand(3, 1, 8, 8, device=device, dtype=torch.float64, requires_grad=True)

    def shifted(x):
        return translate(x, 1 / 8, torch.Generator().manual_seed(0)) ** 2

    assert torch.autograd.gradcheck(shifted, x)
    assert torch.autograd.gradgradcheck(shifted, x)


def test_no_shift_is_the_same_tensor(device):
    x = torch.rand(2, 1, 8, 8, device=device)
    assert translate(x, 0.0) is x
    assert torch.equal(translate(x, 0.01), x)


def test_bad_shares_are_named(device):
    with pytest.raises(ValueError, match="max_shift"):
        translate(torch.rand(2, 1, 8, 8, device=device), 1.5)
