"""A few steps as the rosinality family's training loop takes them: R1, path length, mixing, a checkpoint."""

import argparse
import math

import torch
from model import Discriminator, Generator
from op import conv2d_gradfix, upfirdn2d
from torch import autograd, optim
from torch.nn import functional as F


def requires_grad(model, flag=True):
    for p in model.parameters():
        p.requires_grad = flag


def accumulate(model1, model2, decay=0.999):
    par1, par2 = dict(model1.named_parameters()), dict(model2.named_parameters())
    for k in par1:
        par1[k].data.mul_(decay).add_(par2[k].data, alpha=1 - decay)


def d_r1_loss(real_pred, real_img):
    with conv2d_gradfix.no_weight_gradients():
        (grad_real,) = autograd.grad(outputs=real_pred.sum(), inputs=real_img, create_graph=True)
    return grad_real.pow(2).reshape(grad_real.shape[0], -1).sum(1).mean()


def g_path_regularize(fake_img, latents, mean_path_length, decay=0.01):
    noise = torch.randn_like(fake_img) / math.sqrt(fake_img.shape[2] * fake_img.shape[3])
    (grad,) = autograd.grad(outputs=(fake_img * noise).sum(), inputs=latents, create_graph=True)
    path_lengths = torch.sqrt(grad.pow(2).sum(2).mean(1))
    path_mean = mean_path_length + decay * (path_lengths.mean() - mean_path_length)
    return (path_lengths - path_mean).pow(2).mean(), path_mean.detach()


def augment(img):
    """Filters along one axis at a time, as the non-leaking augmentation does, and shifts."""
    taps = torch.tensor([0.25, 0.5, 0.25]).type_as(img)
    img = upfirdn2d(img, taps.view(1, 3), pad=(1, 1, 0, 0))
    img = upfirdn2d(img, taps.view(3, 1), up=(1, 2), down=(1, 2), pad=(0, 0, 1, 1))
    theta = torch.eye(2, 3).repeat(img.shape[0], 1, 1)
    theta[:, :, 2] = torch.randn(img.shape[0], 2) * 0.1
    grid = F.affine_grid(theta, img.shape, align_corners=False)
    return F.grid_sample(img, grid, mode="bilinear", align_corners=False, padding_mode="reflection")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("path", type=str)
    parser.add_argument("--iter", type=int, default=2)
    parser.add_argument("--g_reg_every", type=int, default=1)
    args = parser.parse_args()

    torch.manual_seed(0)
    generator, discriminator, g_ema = Generator(8, 2), Discriminator(), Generator(8, 2)
    g_ema.eval()
    accumulate(g_ema, generator, 0)
    g_reg_ratio = args.g_reg_every / (args.g_reg_every + 1)
    g_optim = optim.Adam(generator.parameters(), lr=0.002 * g_reg_ratio, betas=(0**g_reg_ratio, 0.99**g_reg_ratio))
    d_optim = optim.Adam(discriminator.parameters(), lr=0.002, betas=(0, 0.99))
    mean_path_length = 0

    for i in range(args.iter):
        real_img = torch.rand(4, 3, 8, 8) * 2 - 1

        requires_grad(generator, False)
        requires_grad(discriminator, True)
        fake_img, _ = generator([torch.randn(4, 8), torch.randn(4, 8)])
        fake_pred, real_pred = discriminator(augment(fake_img)), discriminator(augment(real_img))
        d_loss = F.softplus(-real_pred).mean() + F.softplus(fake_pred).mean()
        discriminator.zero_grad()
        d_loss.backward()
        d_optim.step()

        real_img.requires_grad = True
        real_pred = discriminator(augment(real_img))
        r1_loss = d_r1_loss(real_pred, real_img)
        discriminator.zero_grad()
        (10 / 2 * r1_loss + 0 * real_pred[0]).backward()
        d_optim.step()

        requires_grad(generator, True)
        requires_grad(discriminator, False)
        fake_img, _ = generator([torch.randn(4, 8)])
        g_loss = F.softplus(-discriminator(augment(fake_img))).mean()
        generator.zero_grad()
        g_loss.backward()
        g_optim.step()

        fake_img, latents = generator([torch.randn(2, 8)], return_latents=True)
        path_loss, mean_path_length = g_path_regularize(fake_img, latents, mean_path_length)
        generator.zero_grad()
        (2 * args.g_reg_every * path_loss + 0 * fake_img[0, 0, 0, 0]).backward()
        g_optim.step()
        accumulate(g_ema, generator, 0.5)

    torch.save({"g": generator.state_dict(), "g_ema": g_ema.state_dict(), "args": vars(args)}, args.path)
    assert all(torch.isfinite(t).all() for t in torch.load(args.path)["g_ema"].values())
    print(f"done: d {d_loss.item():.6f} r1 {r1_loss.item():.6f} path {mean_path_length.item():.6f}")
