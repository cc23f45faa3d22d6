"""Claims of the literature, each shown, or not, by an experiment that takes seconds on a CPU.

A file here is a theme; a function in it that `claim` decorates is an experiment, and its docstring says what it does.
Everything stands on the engine, the lab's sessions, the models, losses and metrics that users train with.
"""

from __future__ import annotations

from types import ModuleType

from gan_fast.claims import architectures, balance, likelihood, little_data, objectives
from gan_fast.claims.claim import Claim


def _claims(theme: ModuleType) -> dict[str, Claim]:
    return {claim.name: claim for claim in vars(theme).values() if isinstance(claim, Claim)}


THEMES: dict[str, dict[str, Claim]] = {
    "Objectives": _claims(objectives),
    "Collapse, oscillation and balance": _claims(balance),
    "Architectures": _claims(architectures),
    "Little data": _claims(little_data),
    "A VAE beside a GAN": _claims(likelihood),
}
CLAIMS: dict[str, Claim] = {name: claim for claims in THEMES.values() for name, claim in claims.items()}
