"""A few steps as the nvlabs family's training loop takes them: R1, path length, adaptive augmentation, a snapshot."""

import argparse
import copy
import pickle

import dnnlib
import numpy as np
import torch
from pkg_resources import parse_version

from torch_utils import custom_ops, misc, training_stats
from torch_utils.ops import conv2d_gradfix, grid_sample_gradfix

assert parse_version(torch.__version__) >= parse_version("1.7.0")


class Images(torch.utils.data.Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, i):
        return np.random.RandomState(i).randint(0, 256, [3, 8, 8]).astype(np.uint8)


class SequentialSampler(torch.utils.data.Sampler):
    def __init__(self, dataset):
        super().__init__(dataset)
        self.dataset = dataset

    def __iter__(self):
        return iter(range(len(self.dataset)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--outdir", required=True)
    parser.add_argument("--kimg", type=int, default=1)
    opts = dnnlib.EasyDict(vars(parser.parse_args()))

    torch.manual_seed(0)
    conv2d_gradfix.enabled = True
    grid_sample_gradfix.enabled = True
    custom_ops.verbosity = "none"
    device = torch.device("cpu")
    G_kwargs = dnnlib.EasyDict(class_name="training.networks.Generator", z_dim=8, w_dim=8, img_channels=3)
    G = dnnlib.util.construct_class_by_name(**G_kwargs, img_resolution=8).train().requires_grad_(False).to(device)
    D_kwargs = dnnlib.EasyDict(class_name="training.networks.Discriminator", img_channels=3)
    D = dnnlib.util.construct_class_by_name(**D_kwargs, img_resolution=8).train().requires_grad_(False).to(device)
    augment_pipe = dnnlib.util.construct_class_by_name(class_name="training.augment.AugmentPipe").to(device)
    G_ema = copy.deepcopy(G).eval()
    misc.print_module_summary(G, [torch.zeros([2, 8], device=device)])

    dataset = Images()
    for sampler in (SequentialSampler(dataset), misc.InfiniteSampler(dataset, seed=1)):
        loader = torch.utils.data.DataLoader(dataset, sampler=sampler, batch_size=4)
    reals = iter(loader)
    G_opt = torch.optim.Adam(G.parameters(), lr=0.0025, betas=[0, 0.99], eps=1e-8)
    D_opt = torch.optim.Adam(D.parameters(), lr=0.0025, betas=[0, 0.99], eps=1e-8)
    collector = training_stats.Collector(regex=".*")
    pl_mean = torch.zeros([], device=device)

    for step in range(2 * opts.kimg):
        real_img = next(reals).to(torch.float32) / 127.5 - 1

        G.requires_grad_(True)
        ws = G.mapping(torch.randn([4, G.z_dim]))
        loss_G = torch.nn.functional.softplus(-D(augment_pipe(G.synthesis(ws)))).mean()
        training_stats.report("Loss/G/loss", loss_G)
        loss_G.backward()
        ws = G.mapping(torch.randn([2, G.z_dim]))
        gen_img = G.synthesis(ws)
        pl_noise = torch.randn_like(gen_img) / np.sqrt(gen_img.shape[2] * gen_img.shape[3])
        with torch.autograd.profiler.record_function("pl_grads"), conv2d_gradfix.no_weight_gradients():
            pl_grads = torch.autograd.grad([(gen_img * pl_noise).sum()], [ws], create_graph=True, only_inputs=True)[0]
        pl_lengths = pl_grads.square().sum(2).mean(1).sqrt()
        pl_mean.copy_(pl_mean.lerp(pl_lengths.mean(), 0.01).detach())
        (gen_img[:, 0, 0, 0] * 0 + (pl_lengths - pl_mean).square() * 2).mean().backward()
        G.requires_grad_(False)
        for param in G.parameters():
            if param.grad is not None:
                misc.nan_to_num(param.grad, nan=0, posinf=1e5, neginf=-1e5, out=param.grad)
        G_opt.step()
        G_opt.zero_grad(set_to_none=True)

        D.requires_grad_(True)
        torch.nn.functional.softplus(D(augment_pipe(G(torch.randn([4, G.z_dim]))))).mean().backward()
        real_img_tmp = real_img.detach().requires_grad_(True)
        real_logits = D(augment_pipe(real_img_tmp))
        training_stats.report("Loss/signs/real", real_logits.sign())
        with conv2d_gradfix.no_weight_gradients():
            r1_grads = torch.autograd.grad([real_logits.sum()], [real_img_tmp], create_graph=True, only_inputs=True)[0]
        r1_penalty = r1_grads.square().sum([1, 2, 3])
        training_stats.report("Loss/r1_penalty", r1_penalty)
        (torch.nn.functional.softplus(-real_logits) + r1_penalty.unsqueeze(1) * 5).mean().backward()
        D.requires_grad_(False)
        D_opt.step()
        D_opt.zero_grad(set_to_none=True)

        for p_ema, p in zip(G_ema.parameters(), G.parameters()):
            p_ema.copy_(p.lerp(p_ema, 0.5))
        collector.update()
        adjust = np.sign(collector["Loss/signs/real"] - 0.6) * 0.01
        augment_pipe.p.copy_((augment_pipe.p + adjust).max(misc.constant(0, device=device)))

    stats = collector.as_dict()
    assert stats["Loss/r1_penalty"].num == 4 and np.isfinite(stats["Loss/G/loss"].mean)
    with open(f"{opts.outdir}/network-snapshot.pkl", "wb") as f:
        pickle.dump(dict(G=G, D=D, G_ema=G_ema, augment_pipe=augment_pipe), f)
    with dnnlib.util.open_url(f"{opts.outdir}/network-snapshot.pkl") as f:
        again = pickle.load(f)["G_ema"]
    z = torch.randn([2, 8])
    assert torch.equal(again(z, noise_mode="const"), G_ema(z, noise_mode="const"))
    assert again.init_kwargs.img_resolution == 8
    print(f"done in {dnnlib.util.format_time(61)}: image {float(again(z, noise_mode='const').abs().mean()):.6f}")


if __name__ == "__main__":
    main()
