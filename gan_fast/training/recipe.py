"""What a training step computes: the settings of the engine, apart from networks, data, files and machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """The settings of `gan_fast.training.engine.Engine`. A step is one batch of real samples shown to D.

    Attributes:
        objective: the game, a name in `gan_fast.losses.OBJECTIVES`.
        n_critic: G's phases run at every so many steps.
        optimizer: a name in `gan_fast.training.engine.OPTIMIZERS`.
        g_lr, d_lr, beta1, beta2: Adam's rates, before they are scaled for lazy phases.
        unroll: G is judged by D as so many more steps of gradient descent, of length unroll_lr, would leave it; the
            steps are on the samples of the part, without penalty.
        historical: weight of the squared distance of each network's weights from the mean of their past.
        began_gamma, began_rate: the objective began's diversity ratio, and how fast its k moves.
        grow_kimg: the networks grow: thousands of images for each resolution, and as many to fade in the next; 0: they
            stay as they are.
        penalty: Dreg's penalty, a name in `gan_fast.training.phases.PENALTIES`.
        gamma: its weight; of r1, r2 and r1+r2 the loss has gamma / 2.
        penalty_interval: Dreg runs at every so many steps, and is weighted by as much.
        penalty_sigma: dragan's standard deviation of the noise.
        path_length: weight of path length regularisation, the loss of Greg; 0: no such phase. The paper's 2 needs a
            generator with mapping and synthesis.
        path_length_interval, path_length_decay, path_length_shrink: Greg runs at every so many steps of G, the mean
            path length moves by this share, and the phase takes one over so many of the batch.
        style_mixing: probability that a batch takes its later layers' w from a second z.
        mode_seeking: weight of the mode-seeking term of Gmain; it pairs sample i of a batch with i + N / 2.
        class_group: samples of one class that stand N / class_group apart in a batch; parts of a batch keep them.
        translate: random translation before D, as a share of the side.
        augment: what else D's images go through: "none", "ada", or a DiffAugment policy: "color,translation,cutout".
        ada_groups: ADA's augmentations, a name in `gan_fast.augment.PRESETS`.
        ada_p: its probability p at the start.
        ada_target: r_t = E[sign(D(x))] that p is steered to; 0 leaves p as it is.
        ada_interval: p moves at every so many steps.
        ada_kimg: thousands of images in which p can move from 0 to 1.
        ema_kimg: half-life of G's average, in kimg; 0: the average is G.
        ema_extra_kimg: half-lives of further averages.
        ema_ramp: the half-life is at most this share of the images shown so far.
        freeze_d: so many layers of D, from its input on, are not trained.
        clip_weights: bound on D's parameters after each of its steps; 0: none.
        precision: "float32", or "bfloat16": autocast. Layers that choose a dtype of their own keep it.
    """

    objective: str = "logistic"
    n_critic: int = 1
    optimizer: str = "adam"
    g_lr: float = 2e-3
    d_lr: float = 2e-3
    beta1: float = 0.0
    beta2: float = 0.99
    unroll: int = 0
    unroll_lr: float = 0.01
    historical: float = 0.0
    began_gamma: float = 0.5
    began_rate: float = 0.001
    grow_kimg: float = 0.0
    penalty: str = "r1"
    gamma: float = 10.0
    penalty_interval: int = 16
    penalty_sigma: float = 0.25
    path_length: float = 0.0
    path_length_interval: int = 4
    path_length_decay: float = 0.01
    path_length_shrink: int = 2
    style_mixing: float = 0.0
    mode_seeking: float = 0.0
    class_group: int = 1
    translate: float = 0.0
    augment: str = "none"
    ada_groups: str = "bgc"
    ada_p: float = 0.0
    ada_target: float = 0.6
    ada_interval: int = 4
    ada_kimg: float = 500.0
    ema_kimg: float = 10.0
    ema_extra_kimg: tuple[float, ...] = ()
    ema_ramp: float = 0.05
    freeze_d: int = 0
    clip_weights: float = 0.0
    precision: str = "float32"
