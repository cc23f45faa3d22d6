import torch
from torch import nn

from gan_fast.training.health import first_nonfinite


def network(weight=1.0):
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    nn.init.constant_(net[2].weight, weight)
    return net


def test_weights_are_named_before_outputs():
    bad = network(float("nan"))
    assert first_nonfinite({"G": network(), "D": bad}, lambda: bad(torch.ones(1, 2))).startswith("D.2, whose weights")


def test_the_first_output_is_named():
    net = network(3e38)
    nn.init.constant_(net[0].weight, 2.0)
    found = first_nonfinite({"D": net}, lambda: net(torch.ones(1, 2)))
    assert found == "D.2, whose output holds NaN or infinity"


def test_nothing_is_found_where_all_is_finite():
    net = network()
    assert first_nonfinite({"D": net}, lambda: net(torch.ones(1, 2))) is None
    assert not net[0]._forward_hooks
