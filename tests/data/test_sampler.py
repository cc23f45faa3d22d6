import pytest
import torch

from gan_fast.data import BatchSampler, seeded_generator, share
from gan_fast.ops import minibatch_stddev

LABELS = torch.arange(37) % 5


def test_an_epoch_shows_each_image_once():
    sampler = BatchSampler(LABELS, 8, seed=3)
    shown = torch.cat([sampler(step) for step in range(37)])
    assert (torch.bincount(shown, minlength=37) == 8).all()
    first, second = shown[:37], shown[37:74]
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(37))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("group_size", [1, 4])
def test_any_step_can_be_asked_for_in_any_order(group_size):
    straight = BatchSampler(LABELS, 8, seed=3, group_size=group_size)
    batches = [straight(step) for step in range(12)]
    jumping = BatchSampler(LABELS, 8, seed=3, group_size=group_size)
    for step in (11, 0, 7, 4):
        assert torch.equal(jumping(step), batches[step])
    assert not torch.equal(BatchSampler(LABELS, 8, seed=4, group_size=group_size)(0), batches[0])


def test_a_batch_larger_than_the_set_wraps():
    assert torch.bincount(BatchSampler(LABELS, 74, seed=0)(0)).tolist() == [2] * 37


def test_groups_are_the_ones_of_minibatch_stddev():
    sampler = BatchSampler(LABELS, 12, seed=0, group_size=4)
    for step in range(20):
        indices = sampler(step)
        assert len(indices.unique()) >= 4
        # One plane that holds the class: its deviation within each group is zero only if a group is one class.
        x = LABELS[indices].double().reshape(-1, 1, 1, 1)
        assert minibatch_stddev(x, group_size=4)[:, 1].max() < 1e-3


def test_groups_follow_the_class_shares():
    labels = torch.tensor([0] * 90 + [1] * 10)
    sampler = BatchSampler(labels, 16, seed=0, group_size=2)
    share = torch.cat([labels[sampler(step)] for step in range(300)]).double().mean()
    assert abs(share - 0.1) < 0.03


def test_keys_of_generators_are_independent():
    draws = {
        torch.rand(1, generator=seeded_generator(*key)).item()
        for key in [(0, 0, "a"), (0, 0, "b"), (0, 1, "a"), (1, 0, "a"), (0, 10, "a")]
    }
    assert len(draws) == 5


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="labels"):
        BatchSampler(torch.empty(0, dtype=torch.int64), 8, seed=0)
    with pytest.raises(ValueError, match=r"group_size.*12.*got 5"):
        BatchSampler(LABELS, 12, seed=0, group_size=5)


@pytest.mark.parametrize("world_size", [1, 2, 3, 6])
@pytest.mark.parametrize("class_group", [1, 2, 4])
def test_ranks_share_a_batch_by_whole_groups(world_size, class_group):
    """Each rank's minibatch stddev is that of its samples in the whole batch, for any number of ranks."""
    sampler = BatchSampler(LABELS, 24, seed=0, group_size=class_group)
    x = torch.randn(37, 3, 2, 2, dtype=torch.float64)
    for step in range(3):
        batch = sampler(step)
        shares = [share(batch, rank, world_size, group=4) for rank in range(world_size)]
        assert sorted(torch.cat(shares).tolist()) == sorted(batch.tolist())
        whole = minibatch_stddev(x[batch], group_size=4)[:, 3]
        statistic = share(whole, 0, world_size, group=4)
        torch.testing.assert_close(minibatch_stddev(x[shares[0]], group_size=4)[:, 3], statistic)


def test_a_plain_batch_is_shared_in_order():
    assert torch.cat([share(torch.arange(12), rank, 3) for rank in range(3)]).tolist() == list(range(12))


def test_batches_that_cannot_be_shared_are_named():
    with pytest.raises(ValueError, match="12 samples in groups of 4"):
        share(torch.arange(12), 0, 2, group=4)
    with pytest.raises(ValueError, match="no equal share 2 of 2"):
        share(torch.arange(12), 2, 2)
