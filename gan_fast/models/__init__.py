"""Networks, one file a paper: each is read top to bottom and stands on gan_fast.layers and gan_fast.ops alone."""

from gan_fast.models import stylegan2

__all__ = ["stylegan2"]
