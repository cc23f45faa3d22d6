"""Networks, one file a paper: each is read top to bottom and stands on gan_fast.layers and gan_fast.ops.

Every file has `Config`, `PRESETS` and `build(preset or config, **overrides) -> (G, D)`, where G(z, c) has z_dim, c_dim,
img_resolution and img_channels, and D(x, c) returns logits (those of `autoencoder` energies; `vae` has an encoder in
D's place). What they take from each other is common: StyleGAN's mapping, DCGAN's generator.
"""

from gan_fast.models import (
    autoencoder,
    biggan,
    dcgan,
    mlp,
    progressive,
    r3gan,
    stylegan,
    stylegan2,
    stylegan3,
    vae,
)

__all__ = [
    "autoencoder",
    "biggan",
    "dcgan",
    "mlp",
    "progressive",
    "r3gan",
    "stylegan",
    "stylegan2",
    "stylegan3",
    "vae",
]
