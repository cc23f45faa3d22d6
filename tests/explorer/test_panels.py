import itertools

import pytest
import torch
from torch.testing import assert_close

from gan_fast import latents
from gan_fast.explorer import Explorer, projection_panel
from gan_fast.models import stylegan2
from gan_fast.projection import film, project
from gan_fast.training import load_generator, sample


@pytest.fixture(scope="module")
def explorer(untrained_run):
    generator, checkpoint = load_generator(untrained_run)
    return Explorer(generator, checkpoint.class_names)


@pytest.fixture(scope="module")
def panels(explorer):
    return {panel.title: panel for panel in explorer.panels}


def image(explorer, seed, label, psi=1.0):
    return sample.draw(explorer.generator, [seed], torch.tensor([label]), psi)[0]


def test_every_panel_draws_what_it_captions_wherever_its_controls_stand(panels):
    for panel in panels.values():
        page = panel.controls if panel.page_controls is None else panel.page_controls
        ends = itertools.product(*((control.page[0], control.page[-1]) for control in page))
        points = [tuple(control.start for control in panel.controls), *map(panel.from_page, ends)]
        images = panel.draw(points)
        assert images.shape == (len(points), len(panel.captions), 1, 8, 8), panel.title
        assert images.isfinite().all()
        assert_close(panel.draw(points[-1:])[0], images[-1])
        assert all(len(point) == len(panel.controls) for point in points)


def test_a_walk_passes_through_its_seeds(explorer, panels):
    for way in (0, 1):
        images = panels["Latent walk"].draw([(way, 4, 20 * seed) for seed in range(6)])[:, 0]
        assert_close(images, torch.stack([image(explorer, seed, 4) for seed in range(6)]))


def test_truncation(explorer, panels):
    mean, whole, at = panels["Truncation"].draw([(5, 2, 0.3)])[0]
    for found, psi in ((mean, 0.0), (whole, 1.0), (at, 0.3)):
        assert_close(found, image(explorer, 5, 2, psi))


def test_mixing_takes_the_layers_between_its_sliders_in_either_order(explorer, panels):
    a, b = (latents.seeded_ws(explorer.generator, [i], torch.tensor([i])) for i in (1, 3))
    mixed = latents.render(explorer.generator, torch.cat([a[:, :1], b[:, 1:3], a[:, 3:]], 1))[0]
    for point in ((1, 3, 1, 2), (1, 3, 2, 1)):
        found = panels["Style mixing"].draw([point])[0]
        assert_close(found, torch.stack([image(explorer, 1, 1), image(explorer, 3, 3), mixed]))


def test_directions_move_by_their_spread_and_not_at_zero(explorer, panels):
    panel = panels["Directions (SeFa)"]
    assert [control.label for control in panel.controls[3:]] == [f"Direction {i}" for i in range(1, 6)]
    still = panel.draw([(1, 3, 0, 0, 0, 0, 0, 0)])[0]
    assert_close(still[1], still[0])
    generator = explorer.generator
    n = latents.sefa(torch.cat(latents.style_weights(generator)), 2)[0][1]
    ws = latents.seeded_ws(generator, [1], torch.tensor([3])) + 1.5 * latents.spread(generator, n, 3) * n
    by_hand = latents.render(generator, ws)[0]
    assert_close(panel.draw([(1, 3, 0, 0, 1.5, 0, 0, 0)])[0, 1], by_hand)
    assert panel.from_page((1, 3, 0, 1, 1.5)) == (1, 3, 0, 0, 1.5, 0, 0, 0)


def test_arithmetic_carries_an_image_from_one_class_to_another(explorer, panels):
    a, b, c, result = panels["Arithmetic"].draw([(1, 3, 4, 8)])[0]
    assert_close(a, image(explorer, 1, 3))
    for found, label in ((b, 4), (c, 8)):
        assert_close(found, image(explorer, 0, label, 0.0))
    assert not torch.allclose(result, a)
    assert_close(panels["Arithmetic"].draw([(1, 3, 8, 8)])[0, 3], a)


def test_between_classes(explorer, panels):
    first, second, between = panels["Between classes"].draw([(1, 3, 8, 0.0), (1, 3, 8, 1.0), (1, 3, 8, 0.5)]).unbind(1)
    assert_close(first[0], image(explorer, 1, 3))
    assert_close(second[0], image(explorer, 1, 8))
    assert_close(between[:2], torch.stack([first[0], second[0]]))
    assert not torch.allclose(between[2], first[0])


def test_noise_is_off_on_and_enlarged(panels):
    off, on, enlarged = panels["Noise"].draw([(1, 3, 0, 1), (1, 3, 1, 1), (1, 3, 2, 0)]).unbind(1)
    assert_close(off[0], on[0])
    assert not torch.allclose(off[1], on[1])
    assert_close(enlarged, off + torch.tensor([5.0, 5, 1])[:, None, None, None] * (on - off))
    assert not torch.allclose(on[1], on[2])


def test_without_classes_noise_or_layers_the_panels_that_need_them_are_left_out():
    plain, _ = stylegan2.build("digits", c_dim=0, img_resolution=8, channel_base=64, channel_max=8, z_dim=8, w_dim=8)
    titles = [panel.title for panel in Explorer(plain.requires_grad_(False)).panels]
    assert titles == ["Latent walk", "Truncation", "Style mixing", "Directions (SeFa)", "Arithmetic", "Noise"]

    class Points(torch.nn.Linear):
        z_dim, c_dim = 4, 0

        def forward(self, z, c):
            return super().forward(z).unflatten(1, self.shape)

    unstyled = Points(4, 12)
    unstyled.shape = (3, 2, 2)
    explorer = Explorer(unstyled.requires_grad_(False))
    assert [panel.title for panel in explorer.panels] == ["Latent walk", "Truncation", "Arithmetic"]
    for panel in explorer.panels:
        assert panel.draw([tuple(control.start for control in panel.controls)]).isfinite().all()
    z = [latents.seeded_z(explorer.generator, [i]) for i in range(3)]
    assert_close(explorer.panels[2].draw([(0, 1, 2)])[0, 3:], unstyled(z[0] - z[1] + z[2], None))
    unstyled.shape = (12,)
    with pytest.raises(ValueError, match="this generator draws shape"):
        Explorer(unstyled)


def test_a_projection_is_played_beside_its_target(explorer):
    target = image(explorer, 3, 6)
    found = project(explorer.generator, target, label=6, steps=8)
    panel = projection_panel(explorer.generator, {"six.png": (target, found)}, steps=4)
    images = panel.draw([(0, share) for share in panel.controls[1].page])
    assert_close(images[:, 0], target.expand(5, -1, -1, -1))
    assert_close(images[:, 1], film(explorer.generator, found, 4))
    assert_close(images[-1, 1], found.image)
