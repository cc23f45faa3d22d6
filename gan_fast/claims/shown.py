"""Rows of the field's tables that tests show, and where: what the page lists below the claims."""

from __future__ import annotations

# what is shown, and the test that fails if it is not so
SHOWN: tuple[tuple[str, str], ...] = (
    (
        "The losses by their formulas; each player gains where it should",
        "tests/test_losses.py::test_objectives_by_their_formulas",
    ),
    (
        "D's loss is 0 where it is right, and without bound where it is wrong",
        "tests/test_losses.py::test_limits_of_the_minimax_game",
    ),
    (
        "Maps of logits count as their mean, for every objective",
        "tests/test_losses.py::test_maps_of_logits_count_as_their_mean",
    ),
    ("k steps of D to one of G", "tests/training/test_engine.py::test_points_are_learned"),
    ("Weights of a critic are clipped", "tests/training/test_engine.py::test_weights_are_clipped"),
    (
        "EBGAN: fakes beyond the margin are left alone",
        "tests/test_losses.py::test_fakes_beyond_the_margin_are_left_alone",
    ),
    ("EBGAN's pulling-away term", "tests/test_losses.py::test_pulling_away"),
    ("Relativistic losses see differences only", "tests/test_losses.py::test_relativistic_losses_see_differences_only"),
    (
        "R1, R2, WGAN-GP, DRAGAN, path length: gradients in the weights",
        "tests/ops/test_gradient_penalty.py::test_gradients_in_the_weights",
    ),
    ("Minibatch discrimination by its formula", "tests/test_layers.py::test_minibatch_discrimination_formula"),
    ("Minibatch standard deviation by its formula", "tests/test_layers.py::test_stddev_of_each_group"),
    (
        "Unrolled steps: the gradient goes through them",
        "tests/test_updates.py::test_the_gradient_goes_through_the_steps_and_d_stays",
    ),
    (
        "Unrolled steps, an option of the engine",
        "tests/training/test_engine.py::test_the_generator_is_judged_by_the_unrolled_discriminator",
    ),
    (
        "Optimistic steps, an option of the engine",
        "tests/training/test_engine.py::test_optimistic_steps_of_each_phase",
    ),
    (
        "Historical averaging, an option of the engine",
        "tests/training/test_engine.py::test_weights_are_drawn_to_the_mean_of_their_past",
    ),
    (
        "Path length regularisation alone makes lengths even",
        "tests/training/test_engine.py::test_path_length_regularisation_makes_lengths_even",
    ),
    (
        "Images of 28x28; every family draws, learns and is restored",
        "tests/models/test_families.py::test_gradients_reach_every_parameter",
    ),
    ("Values 0..255 of the digits become -1..1", "tests/data/test_digits.py::test_batches_are_floats_and_one_hot"),
    ("Conditional batch normalisation by its formula", "tests/test_layers.py::test_conditional_batch_norm"),
    ("BigGAN: orthogonal regularisation", "tests/models/test_biggan.py::test_orthogonal_regularisation"),
    ("BigGAN: self-attention", "tests/models/test_biggan.py::test_attention_formula"),
    ("BigGAN: truncated latents", "tests/models/test_biggan.py::test_truncated_latents"),
    ("StyleGAN: AdaIN", "tests/models/test_stylegan.py::test_adain_formula"),
    ("StyleGAN: style mixing and truncation", "tests/models/test_stylegan.py::test_mixing_and_truncation"),
    (
        "StyleGAN2: demodulation cancels the scale of styles",
        "tests/test_layers.py::test_demodulation_cancels_the_scale_of_styles_and_weights",
    ),
    (
        "StyleGAN2: skip generator, residual discriminator",
        "tests/models/test_stylegan2.py::test_skip_generator_sums_the_images_of_all_blocks",
    ),
    (
        "StyleGAN3: filters, schedule and sizes of the release",
        "tests/models/test_stylegan3.py::test_schedule_of_the_release",
    ),
    ("R3GAN: blocks start as the identity", "tests/models/test_r3gan.py::test_blocks_start_as_the_identity"),
    ("Parameter counts of the papers", "tests/models/test_published_sizes.py::test_published_sizes"),
    (
        "DiffAugment and ADA are differentiable, twice",
        "tests/augment/test_diff_augment.py::test_it_is_differentiable_twice",
    ),
    ("Walks: slerp, lerp", "tests/test_latents.py::test_slerp_walks_the_great_circle_at_even_speed"),
    (
        "Arithmetic on averaged latents",
        "tests/explorer/test_panels.py::test_arithmetic_carries_an_image_from_one_class_to_another",
    ),
    ("Style mixing by layer", "tests/test_latents.py::test_mixing_takes_layers_as_concatenation_does"),
    ("SeFa's directions", "tests/test_latents.py::test_sefa_is_the_explicit_eigendecomposition"),
    ("Projection of an image", "tests/test_projection.py::test_projection_finds_the_w_of_a_generated_image"),
    (
        "The lab in a browser: choose an objective, see points move",
        "tests/lab/test_lab_app.py::test_an_objective_and_a_mixture_chosen_change_the_picture_and_not_the_step",
    ),
    (
        "The explorer in a browser: move a slider, see the image change",
        "tests/explorer/test_app.py::test_a_slider_moved_changes_the_images_that_it_should",
    ),
    (
        "FD by its definition, and as torchmetrics has it",
        "tests/metrics/test_frechet.py::test_symmetric_and_agrees_with_torchmetrics",
    ),
    (
        "KD by its definition, unbiased",
        "tests/metrics/test_kernel.py::test_the_expectation_does_not_depend_on_the_number_of_samples",
    ),
    ("Precision, recall, density, coverage by hand", "tests/metrics/test_neighbours.py::test_by_hand_on_a_line"),
    (
        "Each metric with its sample count and what real data get",
        "tests/metrics/test_digits_metrics.py::test_real_halves_are_alike",
    ),
    ("FID and KID with Inception's file", "tests/metrics/test_image_metrics.py::test_a_detector_of_ones_own"),
)
