"""gan_fast: fast layers, models and training for StyleGAN-family networks."""
