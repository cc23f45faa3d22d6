"""The table of cases: every row has a name of its own, and layers are those of the papers."""

from collections import Counter

from gan_fast.benchmarks.cases import CASES, alias_free
from gan_fast.benchmarks.costs import output_size


def test_names_are_unique() -> None:
    assert [name for name, n in Counter(map(str, CASES)).items() if n > 1] == []


def test_layers_of_stylegan3_have_its_sizes() -> None:
    """The padding of a layer that keeps 36 pixels, and the output that every layer is named by."""
    assert alias_free(38, 36, 2, 2)["padding"] == (9, 8, 9, 8)
    layers = [c for c in CASES if c.network.startswith("StyleGAN3")]
    assert len(layers) > 20
    for case in layers:
        s = case.settings
        middle = output_size(case.shape[2], len(s["fu"]), s["up"], 1, s["padding"][:2])
        assert output_size(middle, len(s["fd"]), 1, s["down"], (0, 0)) == int(case.network.split()[-1])


def test_networks_that_must_be_there() -> None:
    networks = {case.network.rsplit(" at ", 1)[0] for case in CASES}
    assert {"StyleGAN2 256", "StyleGAN2 512", "StyleGAN2 1024", "StyleGAN3-T 256", "StyleGAN3-T 1024"} < networks
    assert {"StyleGAN3-R 256", "R3GAN", "digits demo"} < networks


def test_what_a_cpu_is_given_fits_it() -> None:
    for case in CASES:
        assert case.gpu or case.shape[0] * case.shape[1] * case.shape[2] * case.shape[3] <= 2**23
        assert not (case.quick and case.gpu)
