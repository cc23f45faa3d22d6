"""Differentiable augmentation: applied to real and generated images alike, in D's and in G's steps.

Augmenting the reals alone would teach G the augmentation, and augmenting in D's step alone would have G's step ask D
about images it never sees; applied to both, differentiably, G learns the clean distribution as long as the
augmentation can be undone on distributions (Zhao et al., Differentiable Augmentation, arXiv 2006.10738). One that is
applied with a probability below about 0.8 can be (Karras et al., StyleGAN2-ADA, arXiv 2006.06676, section 2.2).
"""

from gan_fast.augment.ada import PRESETS, AdaPipeline
from gan_fast.augment.diff_augment import diff_augment
from gan_fast.augment.parameters import Parameters
from gan_fast.augment.translate import translate

__all__ = ["PRESETS", "AdaPipeline", "Parameters", "diff_augment", "translate"]
