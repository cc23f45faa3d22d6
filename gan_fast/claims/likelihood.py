"""A VAE beside a GAN: likelihood bounded, and images blurred."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from gan_fast.claims import games, picture
from gan_fast.claims.claim import Figure, Seen, claim
from gan_fast.data import digits, seeded_generator, to_float
from gan_fast.models import vae

NOISE = 0.5


class _Encoder(nn.Module):
    """q(z|x) of a linear model: a mean linear in x, and a variance that does not depend on it."""

    def __init__(self, x_dim: int, z_dim: int):
        super().__init__()
        self.mean = nn.Linear(x_dim, z_dim)
        self.log_var = nn.Parameter(torch.zeros(z_dim))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean(x), self.log_var.expand(len(x), -1)


@claim(
    "The evidence lower bound is log p(x) at most and nears it as the encoder learns; its KL is never negative.",
    source="Kingma and Welling 2014, arXiv 1312.6114, equations 1 to 3",
    expects=(
        Figure("largest ELBO - log p over the training, nats", at_most=1e-4),
        Figure("log p - ELBO at the start", at_least=1.0),
        Figure("log p - ELBO at the end", at_most=0.02),
        Figure("least KL over the training", at_least=0.0),
    ),
)
def evidence_bound(seed: int) -> Seen:
    """x = W z + noise in 5 dimensions, z in 3, so that log p(x) is known. An encoder learns by 1000 steps of Adam on
    256 points; the bound is looked at without sampling error, as log p(x|z) is quadratic in z.
    """
    rng = seeded_generator(seed, 0, "claims/linear")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder, encoder = nn.Linear(3, 5).double(), _Encoder(5, 3).double()
        nn.init.orthogonal_(decoder.weight)  # the posterior's covariance is then diagonal
    with torch.no_grad():
        w = decoder.weight.mul_(torch.tensor([0.5, 1.0, 2.0]))
    decoder.requires_grad_(False)
    p = MultivariateNormal(decoder.bias, w @ w.T + NOISE**2 * torch.eye(5))
    x = decoder(torch.randn(256, 3, generator=rng).double()) + NOISE * torch.randn(256, 5, generator=rng)
    # Points with mean 0 and covariance I: the mean over them is that over eps.
    points = 3**0.5 * torch.cat([torch.eye(3), -torch.eye(3)])[:, None].double().expand(-1, 256, -1)
    adam = torch.optim.Adam(encoder.parameters(), lr=0.02)
    gaps, excess, divergences = [], [], []
    for step in range(1001):
        if step % 20 == 0:
            with torch.no_grad():
                gap = p.log_prob(x) - vae.elbo(x, decoder, encoder, noise=NOISE, eps=points)
                gaps.append(gap.mean().item())
                excess.append(-gap.min().item())
                divergences.append(vae.kl_divergence(*encoder(x)).min().item())
        eps = torch.randn(1, 256, 3, generator=rng, dtype=torch.float64)
        loss = -vae.elbo(x, decoder, encoder, noise=NOISE, eps=eps).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    mean = p.log_prob(x).mean().item()
    steps = list(range(0, 1001, 20))
    drawn = {"ELBO": (steps, [mean - gap for gap in gaps]), "log p": (steps, [mean] * len(steps))}
    return Seen(
        (max(excess), gaps[0], gaps[-1], min(divergences)),
        picture.beside(
            picture.curves("mean over the points, nats", drawn, low=mean - 5.0),
            picture.curves("gap, log scale", {"log p - ELBO": (steps, gaps)}, log=True),
        ),
    )


@lru_cache
def _vae(seed: int) -> nn.Module:
    """The decoder of docs/models.md's VAE after 400 batches of 32 digits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder, encoder = vae.build("vae-digits")
        adam = torch.optim.Adam([*decoder.parameters(), *encoder.parameters()], lr=2e-3)
        batches = games.of_images(digits(16), 32, seed)
        for step in range(400):
            x, c = batches(step)
            adam.zero_grad()
            (-vae.elbo(x, decoder, encoder, c, noise=0.3).mean()).backward()
            adam.step()
    return decoder.eval()


def _sharpness(images: Tensor) -> float:
    """Mean variance of the discrete Laplacian."""
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])[None, None]
    return nn.functional.conv2d(images, kernel).var((1, 2, 3)).mean().item()


def _nearest(images: Tensor, others: Tensor) -> float:
    """Mean over images of the root mean square difference from the nearest of the others."""
    return (torch.cdist(images.flatten(1), others.flatten(1)).min(1).values / images[0].numel() ** 0.5).mean().item()


def _spread(images: Tensor, labels: Tensor) -> float:
    """Mean root mean square distance between images of one class."""
    means = []
    for k in range(10):
        each = images[labels == k].flatten(1)
        means.append(torch.cdist(each, each).sum() / (len(each) * (len(each) - 1)))
    return (torch.stack(means).mean() / images[0].numel() ** 0.5).item()


@claim(
    "A VAE's images are blurred beside a GAN's, and less like the data, though as varied.",
    source="Larsen et al. 2016, arXiv 1512.09300; the table in docs/models.md",
    expects=(
        Figure("sharpness / real: VAE", at_most=0.75),
        Figure("sharpness / real: GAN", at_least=1.0),
        Figure("spread within a class / real: VAE"),
        Figure("spread within a class / real: GAN"),
        Figure("nearest training image: real held-out"),
        Figure("nearest training image: VAE"),
        Figure("nearest training image: GAN"),
        Figure("FD_digits: VAE"),
        Figure("FD_digits: GAN"),
        Figure("FD_digits: VAE / GAN", at_least=2.0),
        Figure("recall: VAE", at_least=0.6),
        Figure("recall: GAN", at_least=0.6),
    ),
)
def vae_beside_gan(seed: int) -> Seen:
    """Both have DCGAN's generator; they see 300 (GAN) and 400 (VAE) batches of 32 digits. Sharpness is the variance of
    an image's Laplacian, of which the GAN's grain has more than real digits. Distances of images are root mean squares;
    a model that knew training images by heart would be nearer to one than other real digits are. The spread over seeds
    is that of the columns.
    """
    metrics, data = games.digits_metrics(), digits(16)
    labels, real = metrics.labels, to_float(data.images)
    drawn = {
        "VAE": games.draw_digits(_vae(seed), labels),
        "GAN": games.draw_digits(games.trained("dcgan-digits", seed, 300).averages.modules["G_ema"], labels),
    }
    first = data.class_rank() % 2 == 0
    seen = {name: metrics(images, labels) for name, images in drawn.items()}
    sharpness = {name: _sharpness(images) / _sharpness(real) for name, images in drawn.items()}
    spread = {name: _spread(images, labels) / _spread(real, data.labels) for name, images in drawn.items()}
    near = {name: _nearest(images, real) for name, images in drawn.items()}
    order = torch.cat([torch.nonzero(labels == k)[:2, 0] for k in range(10)]).view(10, 2).T.flatten()
    shown = torch.cat([torch.nonzero(data.labels == k)[:2, 0] for k in range(10)]).view(10, 2).T.flatten()
    rows = {"real": real[shown], **{name: images[order] for name, images in drawn.items()}}
    return Seen(
        (
            *(sharpness[name] for name in drawn),
            *(spread[name] for name in drawn),
            _nearest(real[~first], real[first]),
            *(near[name] for name in drawn),
            *(seen[name]["fd_digits"] for name in drawn),
            seen["VAE"]["fd_digits"] / seen["GAN"]["fd_digits"],
            *(seen[name]["recall"] for name in drawn),
        ),
        picture.beside(*(picture.images(name, images, 10, 24) for name, images in rows.items())),
    )
