import pytest
import torch

from gan_fast.augment import diff_augment


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_translation_shifts_whole_pixels_and_brings_in_zeros(device):
    x = torch.rand(60, 2, 8, 16, device=device) + 1
    y = diff_augment(x, "translation", seeded())
    shifts = set()
    for before, after in zip(x, y, strict=True):
        padded = torch.nn.functional.pad(before, (2, 2, 1, 1))
        found = [(i, j) for i in range(3) for j in range(5) if torch.equal(padded[:, i : i + 8, j : j + 16], after)]
        assert len(found) == 1
        shifts |= set(found)
    assert len(shifts) == 15


def test_cutout_makes_a_square_of_half_the_side_zero(device):
    y = diff_augment(torch.ones(200, 2, 8, 8, device=device), "cutout", seeded())
    assert torch.equal(y[:, 0], y[:, 1])
    rows, columns = ((y[:, 0] == 0).any(dim).sum(1) for dim in (2, 1))
    assert torch.equal((y[:, 0] == 0).sum((1, 2)), rows * columns)  # a rectangle
    assert sorted({*rows.tolist(), *columns.tolist()}) == [2, 3, 4]  # part of it may lie outside
    assert ((rows == 4) & (columns == 4)).any()


def test_colour_is_brightness_then_saturation_then_contrast(device):
    x = torch.rand(500, 3, 4, 4, device=device, dtype=torch.float64)
    y = diff_augment(x, "color", seeded())
    assert ((y.mean((1, 2, 3)) - x.mean((1, 2, 3))).abs() <= 0.5).all()
    # Saturation leaves the mean over channels: there only contrast scales, within [0.5, 1.5].
    grey_x, grey_y = (t.mean(1).flatten(1) - t.mean((1, 2, 3))[:, None] for t in (x, y))
    contrast = (grey_y / grey_x).median(1).values
    torch.testing.assert_close(grey_y, grey_x * contrast[:, None])
    assert contrast.min() < 0.55
    assert contrast.max() > 1.45
    saturation = ((y - y.mean(1, keepdim=True)) / (x - x.mean(1, keepdim=True))).flatten(1).median(1).values / contrast
    assert 0 <= saturation.min() < 0.05
    assert 1.95 < saturation.max() <= 2


def test_it_is_random_by_its_generator_alone(device):
    x = torch.rand(5, 3, 8, 8, device=device)
    assert torch.equal(diff_augment(x, generator=seeded(1)), diff_augment(x, generator=seeded(1)))
    assert not torch.equal(diff_augment(x, generator=seeded(1)), diff_augment(x, generator=seeded(2)))
    assert diff_augment(x, "") is x


def test_it_is_differentiable_twice(device):
    x = torch.rand(2, 3, 4, 4, device=device, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: diff_augment(x, generator=seeded()), x)
    assert torch.autograd.gradgradcheck(lambda x: diff_augment(x, generator=seeded()) ** 2, x)


def test_unknown_parts_are_named(device):
    with pytest.raises(ValueError, match=r"policy.*'colour'"):
        diff_augment(torch.rand(1, 3, 4, 4, device=device), "colour,cutout")
