"""Inference as the BasicSR family writes it: a decoder of StyleGAN2's layers, from a file of weights."""

import sys

import torch
from basicsr.ops.fused_act import FusedLeakyReLU, fused_leaky_relu
from basicsr.ops.upfirdn2d import upfirdn2d
from torch import nn
from torch.nn import functional as F


class UpFirDnUpsample(nn.Module):
    def __init__(self, resample_kernel, factor=2):
        super().__init__()
        kernel = torch.tensor(resample_kernel, dtype=torch.float32)
        self.kernel = kernel.outer(kernel) / kernel.sum() ** 2 * factor**2  # not a buffer, as in the original
        self.factor = factor
        pad = self.kernel.shape[0] - factor
        self.pad = ((pad + 1) // 2 + factor - 1, pad // 2)

    def forward(self, x):
        return upfirdn2d(x, self.kernel.type_as(x), up=self.factor, down=1, pad=self.pad)


class EqualLinear(nn.Module):
    def __init__(self, in_channels, out_channels, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels))
        self.scale = in_channels**-0.5
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, x):
        return fused_leaky_relu(F.linear(x, self.weight * self.scale), self.bias)


class Decoder(nn.Module):
    def __init__(self, num_feat=8):
        super().__init__()
        self.style = EqualLinear(num_feat, num_feat, bias=False)
        self.conv = nn.Conv2d(3, num_feat, 3, padding=1)
        self.activate = FusedLeakyReLU(num_feat)
        self.upsample = UpFirDnUpsample((1, 3, 3, 1))
        self.to_rgb = nn.Conv2d(num_feat, 3, 1)

    def forward(self, x, latent):
        feat = self.activate(self.conv(x)) * self.style(latent)[:, :, None, None]
        return self.to_rgb(self.upsample(feat))


torch.manual_seed(0)
torch.save({"params_ema": Decoder().state_dict()}, sys.argv[1])
model = Decoder().eval()
model.load_state_dict(torch.load(sys.argv[1])["params_ema"], strict=True)
with torch.no_grad():
    output = model(torch.rand(1, 3, 8, 8), torch.randn(1, 8))
    half = model.half()(torch.rand(1, 3, 8, 8).half(), torch.randn(1, 8).half())
assert output.shape == half.shape == (1, 3, 16, 16)
assert half.dtype == torch.float16
print(f"done: {output.abs().mean().item():.6f}")
