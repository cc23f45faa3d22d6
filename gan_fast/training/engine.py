"""The engine: one training step of a pair of networks, in memory; no files, no log, no clock.

    engine = Engine(G, D, Recipe(penalty="r1", gamma=1.0), seed=0)
    for x, c in batches:
        losses = engine.step(x, c)          # {"Gmain": [], "Dmain": [], "Dreg": []}, of the phases that ran

G and D follow the convention of `gan_fast.models`; samples may be images or points [N, 2]. A step is a function of the
networks, the recipe, the seed, the step's number and the batch: nothing else draws random numbers. Losses and counts
stay on the device, so that nothing waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from gan_fast.augment import AdaPipeline, diff_augment, translate
from gan_fast.data import share
from gan_fast.losses import OBJECTIVES, Objective, began_control
from gan_fast.models.progressive import Growing, faded, level_at
from gan_fast.training.capture import CudaRecorder, Graphs
from gan_fast.training.ema import Averages
from gan_fast.training.phases import PENALTIES, Augment, Draws, Phases
from gan_fast.training.ranks import Ranks
from gan_fast.training.recipe import Recipe
from gan_fast.updates import OptimisticAdam, clip_weights

LARGEST_GRADIENT = 1e5
OPTIMIZERS: dict[str, type[torch.optim.Adam]] = {"adam": torch.optim.Adam, "optimistic_adam": OptimisticAdam}

Part = tuple[Draws, Tensor, Tensor]  # of a batch: random numbers, samples, labels
Loss = Callable[[Draws, Tensor, Tensor], tuple[Tensor, dict[str, Tensor]]]


@dataclass(frozen=True)
class Phase:
    """A loss, the optimiser that follows its gradient, and the steps that it is due at: every interval-th."""

    name: str
    parameters: list[nn.Parameter]
    adam: torch.optim.Adam
    interval: int
    loss: Loss


class Engine:
    """The phases, optimisers and averages of a run.

    Args:
        generator, discriminator: the networks, on their device and in their memory format.
        recipe: what a step computes.
        seed: of all random numbers of the steps.
        ranks: the processes that share each batch; the networks start as rank 0's.
        accumulate: parts that a rank's share of a batch is computed in. A step depends on how many parts there are in
            all, ranks x accumulate, and but for rounding not on who computes them.
        compile: run the networks under torch.compile in Gmain and Dmain, for long runs: it takes minutes first. Weights
            are the same but for rounding.
        capture: run phases as CUDA graphs: `gan_fast.training.capture`. The weights are the same, bit for bit.
        objective: in place of the recipe's.

    Raises:
        ValueError: the recipe names something unknown, or wants what the generator does not have; or `capture` is given
            where networks are not on a GPU or grow, or a batch has several parts; or `compile` where D is unrolled or
            networks grow.

    Attributes:
        step_number, images: steps done, and real samples shown to D in them, on all ranks.
        averages: G's moving averages: `averages.modules["G_ema"]`.
        objective: the game.
        ada_p: ADA's probability, []. began_k: BEGAN's k, []. path_length: mean path length, []. nonfinite: gradient
            values that were NaN or infinite and were replaced by 0 or +-1e5, counted since the start, int64 [].
        mark: called with the name of each phase, and "averages", when their work is queued; does nothing unless set.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        recipe: Recipe | None = None,
        seed: int = 0,
        *,
        ranks: Ranks | None = None,
        accumulate: int = 1,
        compile: bool = False,
        capture: bool = False,
        objective: Objective | None = None,
    ):
        self.generator, self.discriminator = generator, discriminator
        self.recipe = recipe = Recipe() if recipe is None else recipe
        self.ranks, self.accumulate = Ranks() if ranks is None else ranks, accumulate
        _check(recipe, generator, discriminator, objective)
        self.step_number = self.images = 0
        self.mark: Callable[[str], object] = lambda name: None
        like = next(generator.parameters()).detach()
        self.device = like.device
        self.ada_p = like.new_full([], recipe.ada_p)
        self.path_length, self.began_k, self._real_signs = (like.new_zeros([]) for _ in range(3))
        self.nonfinite = like.new_zeros([], dtype=torch.int64)
        self.ranks.broadcast_(_state(generator, discriminator))
        self.averages = Averages(generator, (recipe.ema_kimg, *recipe.ema_extra_kimg), recipe.ema_ramp)

        self.objective = objective = OBJECTIVES[recipe.objective] if objective is None else objective
        # Copies from here on: rank 0's weights are everybody's.
        networks = {"G": generator, "D": discriminator} if recipe.historical else {}
        self._pasts = {name: [p.detach().clone() for p in net.parameters()] for name, net in networks.items()}
        losses = Phases(generator, discriminator, recipe, objective, seed, self._augment(), self.began_k, self._pasts)
        self._draw = losses.draw
        if capture and accumulate > 1:
            raise ValueError(f"capture: each part of a batch seeds generators, hence it takes one, got {accumulate}")
        if capture and recipe.grow_kimg:
            raise ValueError("capture: a graph stays as it is, and with grow_kimg the networks do not")
        if compile and (recipe.unroll or recipe.grow_kimg):
            raise ValueError(
                "compile: has no second derivatives, as unroll needs, nor networks that change, as grow_kimg"
            )
        first_order = losses.compiled() if compile else losses
        self._graphs = Graphs(CudaRecorder(self.device), [losses.rng]) if capture else None
        g, d = list(generator.parameters()), _trained(discriminator, recipe.freeze_d)
        greg, dreg = recipe.path_length > 0, recipe.penalty != "none" and recipe.gamma > 0
        betas = (recipe.beta1, recipe.beta2)
        optimizer = OPTIMIZERS[recipe.optimizer]
        self.g_adam = lazy_adam(g, recipe.g_lr, betas, recipe.path_length_interval if greg else None, optimizer)
        self.d_adam = lazy_adam(d, recipe.d_lr, betas, recipe.penalty_interval if dreg else None, optimizer)
        every = recipe.n_critic
        self.phases = [Phase("Gmain", g, self.g_adam, every, first_order.g_main)]
        if greg:
            self.phases.append(
                Phase(
                    "Greg",
                    g,
                    self.g_adam,
                    every * recipe.path_length_interval,
                    lambda draws, x, c: losses.g_reg(draws, c, self.path_length),
                )
            )
        self.phases.append(Phase("Dmain", d, self.d_adam, 1, first_order.d_main))
        if dreg:
            self.phases.append(Phase("Dreg", d, self.d_adam, recipe.penalty_interval, losses.d_reg))

    def step(self, x: Tensor, c: Tensor | None = None) -> dict[str, Tensor]:
        """Let the networks grow, run the phases that are due, then move the averages, ADA's p and BEGAN's k.

        Args:
            x: this rank's share of the batch, [n, ...], nominally in [-1, 1].
            c: its labels [n, c_dim]; None where there are none.

        Returns:
            the mean loss of each phase that ran, over all ranks: [], on the device; beside it <phase>_gradient, the
            norm of its gradient. "penalty" is Dreg's, unweighted; r_t and f_t are the mean signs of D's logits of
            real and of generated images, or real_energy and fake_energy their means; began_m is BEGAN's measure M.
        """
        c = x.new_zeros(len(x), 0) if c is None else c
        batch = len(x) * self.ranks.count
        x = self._grow(x)
        values: dict[str, Tensor] = {}
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            for phase in self.phases:
                if self.step_number % phase.interval == 0:
                    values |= self._run(phase, x, c)
                    self.mark(phase.name)
        if "w" in values:
            mapping = self.generator.mapping
            mapping.w_avg.copy_(values.pop("w").lerp(mapping.w_avg, mapping.w_avg_beta))
        if "path_length" in values:
            self.path_length.lerp_(values.pop("path_length"), self.recipe.path_length_decay)
        self._steer(values, batch)
        self._remember()
        self.averages.update(self.generator, self.images, batch)
        self.mark("averages")
        self.step_number += 1
        self.images += batch
        return values

    def gradients(self, phase: Phase, x: Tensor, c: Tensor) -> dict[str, Tensor]:
        """Leave a phase's gradient, of the whole batch, in its parameters' grad, and return its means by name."""
        return self._gradients(phase, self._parts(phase, x, c))

    def _parts(self, phase: Phase, x: Tensor, c: Tensor) -> Iterator[Part]:
        """What a phase of this step takes, part by part; generators are seeded for a part when it is asked for."""
        group, parts = self.recipe.class_group, self.accumulate
        for part in range(parts):
            part_x, part_c = (share(t, part, parts, group) for t in (x, c))
            place, places = self.ranks.index * parts + part, self.ranks.count * parts
            yield self._draw(self.step_number, phase.name, len(part_x), place, places), part_x, part_c

    def _gradients(self, phase: Phase, parts: Iterable[Part]) -> dict[str, Tensor]:
        for p in (*self.generator.parameters(), *self.discriminator.parameters()):
            p.requires_grad_(False)
        for p in phase.parameters:
            p.requires_grad_(True)
        phase.adam.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for draws, x, c in parts:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
                loss, means = phase.loss(draws, x, c)
            loss = loss.mean()
            (loss / self.accumulate).backward()
            for name, value in {phase.name: loss.detach(), **means}.items():
                sums[name] = sums[name] + value if name in sums else value
        return self._reduce(phase, {name: total / self.accumulate for name, total in sums.items()})

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on besides its batch; tensors are the engine's own, not copies."""
        return {
            "weights": {name: module.state_dict() for name, module in self._modules().items()},
            "g_adam": self.g_adam.state_dict(),
            "d_adam": self.d_adam.state_dict(),
            "step": self.step_number,
            "images": self.images,
            "pasts": self._pasts,
            **{name: getattr(self, name) for name in _TENSORS},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned, on this device.

        Raises:
            ValueError: it is another version's, and lacks something, which is named.
        """
        if missing := self.state_dict().keys() - state.keys():
            raise ValueError(f"the training state of another version of gan_fast has no {', '.join(sorted(missing))}")
        for name, module in self._modules().items():
            module.load_state_dict(state["weights"][name])
        self.g_adam.load_state_dict(state["g_adam"])
        self.d_adam.load_state_dict(state["d_adam"])
        for group in (*self.g_adam.param_groups, *self.d_adam.param_groups):
            group["capturable"] = self.device.type == "cuda"  # the state may come from another kind of device
        self.step_number, self.images = state["step"], state["images"]
        for name in _TENSORS:
            getattr(self, name).copy_(state[name])
        for name, past in self._pasts.items():
            torch._foreach_copy_(past, state["pasts"][name])

    def _modules(self) -> dict[str, nn.Module]:
        return {"G": self.generator, **self.averages.modules, "D": self.discriminator}

    def _run(self, phase: Phase, x: Tensor, c: Tensor) -> dict[str, Tensor]:
        parts = self._parts(phase, x, c)
        if self._graphs is None:
            return self._update(phase, parts)
        ((draws, x, c),) = parts

        def update(x: Tensor, c: Tensor, z: Tensor, z2: Tensor, cutoff: Tensor | None) -> dict[str, Tensor]:
            return self._update(phase, [(replace(draws, z=z, z2=z2, cutoff=cutoff), x, c)])

        return self._graphs(phase.name, update, (x, c, draws.z, draws.z2, draws.cutoff))

    def _update(self, phase: Phase, parts: Iterable[Part]) -> dict[str, Tensor]:
        means = self._gradients(phase, parts)
        # Optimistic steps foresee from the last one down the same loss.
        phase.adam.step(**({"turn": phase.name} if self.recipe.optimizer == "optimistic_adam" else {}))
        if phase.adam is self.d_adam and self.recipe.clip_weights:
            clip_weights(self.discriminator, self.recipe.clip_weights)
        return means

    @torch.no_grad()
    def _reduce(self, phase: Phase, means: dict[str, Tensor]) -> dict[str, Tensor]:
        """One all-reduce for the gradients, which it makes finite, and the means; the gradient's norm is added."""
        gradients = [p.grad for p in phase.parameters if p.grad is not None]
        tensors = gradients + list(means.values())
        flat = self.ranks.mean_(torch.cat([t.flatten().to(gradients[0].dtype) for t in tensors]))
        parts = [y.view_as(t) for y, t in zip(flat.split([t.numel() for t in tensors]), tensors, strict=True)]
        flat = flat[: sum(g.numel() for g in gradients)]
        self.nonfinite += flat.isfinite().logical_not_().sum()
        flat.nan_to_num_(nan=0.0, posinf=LARGEST_GRADIENT, neginf=-LARGEST_GRADIENT)
        torch._foreach_copy_(gradients, parts[: len(gradients)])
        # Copies, because a view would keep the whole gradient in memory.
        means = {name: y.clone() for name, y in zip(means, parts[len(gradients) :], strict=True)}
        return means | {f"{phase.name}_gradient": torch.linalg.vector_norm(flat)}

    def _grow(self, x: Tensor) -> Tensor:
        """Take all networks to the level that the images so far make, and the batch to the detail that it has."""
        kimg = self.recipe.grow_kimg
        if not kimg:
            return x
        for network in self._modules().values():
            network.grow(level_at(self.images, kimg, network.last))
        return faded(x, self.generator.level)

    def _steer(self, values: dict[str, Tensor], batch: int) -> None:
        """Move BEGAN's k, and ADA's p: every ada_interval steps by their images / ada_kimg, up where r_t is above its
        target (Karras et al., arXiv 2006.06676, section 3.1).
        """
        recipe = self.recipe
        if self.objective.needs_k:
            energies = values["real_energy"], values["fake_energy"]
            values["began_m"] = began_control(self.began_k, *energies, recipe.began_gamma, recipe.began_rate)
        if recipe.augment != "ada" or not recipe.ada_target:
            return
        self._real_signs += values["r_t"]
        if (self.step_number + 1) % recipe.ada_interval == 0:
            r_t = self._real_signs / recipe.ada_interval
            change = batch * recipe.ada_interval / (1000 * recipe.ada_kimg)
            self.ada_p += (r_t - recipe.ada_target).sign() * change
            self.ada_p.clamp_(0, 1)
            self._real_signs.zero_()

    @torch.no_grad()
    def _remember(self) -> None:
        """Move the means that `historical` draws weights to: over all steps, each counting alike."""
        for name, past in self._pasts.items():
            torch._foreach_lerp_(past, list(self._modules()[name].parameters()), 1 / (self.step_number + 1))

    def _augment(self) -> Augment:
        recipe = self.recipe
        if recipe.augment == "none":
            return lambda x, rng: translate(x, recipe.translate, rng)
        if recipe.augment == "ada":
            pipeline = AdaPipeline.preset(recipe.ada_groups)
            return lambda x, rng: pipeline(x, self.ada_p, rng)
        return lambda x, rng: diff_augment(x, recipe.augment, rng)


_TENSORS = ("ada_p", "began_k", "path_length", "nonfinite", "_real_signs")


def lazy_adam(
    parameters: Iterable[nn.Parameter],
    lr: float,
    betas: tuple[float, float],
    interval: int | None,
    optimizer: type[torch.optim.Adam] = torch.optim.Adam,
) -> torch.optim.Adam:
    """Adam for a network whose regulariser runs as a step of its own every `interval` steps (None: it has none).

    The extra steps make interval + 1 where there were interval, so with r = interval / (interval + 1) the rates become
    lr r, beta1^r, beta2^r (Karras et al., arXiv 1912.04958, appendix B, "lazy regularization").
    """
    ratio = 1.0 if interval is None else interval / (interval + 1)
    betas = (float(betas[0]) ** ratio, float(betas[1]) ** ratio)
    parameters = list(parameters)
    on_gpu = parameters[0].is_cuda
    return optimizer(parameters, lr=lr * ratio, betas=betas, eps=1e-8, fused=True, capturable=on_gpu)


def layers(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The modules of a network that have parameters of their own, by name, from its input on."""
    return [(name, m) for name, m in network.named_modules() if any(True for _ in m.parameters(recurse=False))]


def _trained(discriminator: nn.Module, freeze: int) -> list[nn.Parameter]:
    """All parameters but those of the first layers. Mo et al., Freeze the Discriminator, arXiv 2002.10964."""
    every = layers(discriminator)
    if not 0 <= freeze < len(every):
        raise ValueError(f"freeze_d: D has {len(every)} layers, of which at least one must be trained; got {freeze}")
    frozen = {p for _, layer in every[:freeze] for p in layer.parameters(recurse=False)}
    return [p for p in discriminator.parameters() if p not in frozen]


def _state(*modules: nn.Module) -> list[Tensor]:
    return [t for module in modules for t in (*module.parameters(), *module.buffers())]


def _check(recipe: Recipe, generator: nn.Module, discriminator: nn.Module, objective: Objective | None) -> None:
    tables = {"penalty": PENALTIES, "optimizer": OPTIMIZERS} | ({} if objective else {"objective": OBJECTIVES})
    for name, known in tables.items():
        if getattr(recipe, name) not in known:
            raise ValueError(f"{name}: got {getattr(recipe, name)!r}, takes {', '.join(known)}")
    if recipe.precision not in ("float32", "bfloat16"):
        raise ValueError(
            f"precision: got {recipe.precision!r}, takes float32 and bfloat16; float16 is a setting of the networks'"
        )
    for name in ("path_length", "style_mixing"):
        if getattr(recipe, name) and not hasattr(generator, "mapping"):
            raise ValueError(f"{name}: needs a generator with mapping and synthesis, unlike {type(generator).__name__}")
    if recipe.grow_kimg and not (isinstance(generator, Growing) and isinstance(discriminator, Growing)):
        raise ValueError("grow_kimg: needs the networks of gan_fast.models.progressive, which grow")
    for name in ("freeze_d", "clip_weights"):
        if recipe.unroll and getattr(recipe, name):
            raise ValueError(f"unroll: its steps of D know no {name}")
    if recipe.augment == "ada" and recipe.ada_target and (objective or OBJECTIVES[recipe.objective]).energy:
        raise ValueError("augment: ada is steered by the signs of logits, but the objective is one of energies")
