import pytest
import torch

from gan_fast.metrics import Features, features


def rows(n, seed=0):
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(seed)) * torch.arange(1, 7) + 100


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(features, "KEPT", 16)


@pytest.mark.parametrize("count", [2, 16, 17, 100])
def test_moments_are_those_of_all_rows(small, count):
    x = rows(count).double()
    found = Features(x.split(7))
    assert found.count == count
    torch.testing.assert_close(found.mean, x.mean(0), rtol=1e-13, atol=0)
    torch.testing.assert_close(found.covariance, torch.cov(x.T), rtol=1e-11, atol=1e-11)
    assert torch.equal(found.first, x[:16])


def test_how_rows_are_batched_does_not_matter(small):
    x = rows(100)
    a, b = (Features(x.split(size)) for size in (3, 50))
    assert torch.equal(a.mean, b.mean)
    assert torch.equal(a.covariance, b.covariance)


def test_two_sets_are_one(small):
    x = rows(100)
    both = Features([x[:10]]) + Features([x[10:]])
    torch.testing.assert_close(both.covariance, torch.cov(x.double().T), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(both.mean, x.double().mean(0))
    assert (both.count, both.first.equal(x[:16])) == (100, True)


def test_memory_does_not_grow(small):
    """No batch is alive once the block after its own has been taken up."""
    import weakref

    alive = weakref.WeakSet()

    def batches():
        for i in range(50):
            batch = rows(8, i)
            alive.add(batch)
            yield batch
            assert len(alive) <= 4

    assert Features(batches()).count == 400


@pytest.mark.parametrize(
    ("batches", "named"),
    [
        ([torch.full((3, 2), torch.nan)], "NaN"),
        ([torch.zeros(3)], "expected"),
        ([rows(3), rows(3)[:, :2]], "one width"),
    ],
)
def test_bad_features_are_named(batches, named):
    with pytest.raises(ValueError, match=f"features: .*{named}"):
        Features(batches)
