"""An adaptive augmentation in small, as the nvlabs family writes it: rotate and scale, smooth by random amounts."""

import numpy as np
import torch

from torch_utils import misc, persistence
from torch_utils.ops import conv2d_gradfix, grid_sample_gradfix, upfirdn2d

sym2 = [-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025]


@persistence.persistent_class
class AugmentPipe(torch.nn.Module):
    def __init__(self, rotate=1, imgfilter=1):
        super().__init__()
        self.register_buffer("p", torch.ones([]))
        self.rotate = float(rotate)
        self.imgfilter = float(imgfilter)
        self.register_buffer("Hz_geom", upfirdn2d.setup_filter(sym2))

    def forward(self, images):
        n, c, h, w = images.shape
        device = images.device
        theta = (torch.rand([n], device=device) * 2 - 1) * np.pi * self.rotate
        theta = torch.where(torch.rand([n], device=device) < self.p, theta, torch.zeros_like(theta))
        zero = misc.constant(0, shape=[n], device=device)
        rows = [torch.stack([theta.cos(), -theta.sin(), zero], 1), torch.stack([theta.sin(), theta.cos(), zero], 1)]
        Hz_pad = self.Hz_geom.shape[0] // 4
        images = torch.nn.functional.pad(images, [1, 1, 1, 1], mode="reflect")
        images = upfirdn2d.upsample2d(x=images, f=self.Hz_geom, up=2)
        shape = [n, c, (h + Hz_pad * 2) * 2, (w + Hz_pad * 2) * 2]
        grid = torch.nn.functional.affine_grid(theta=torch.stack(rows, 1), size=shape, align_corners=False)
        images = grid_sample_gradfix.grid_sample(images, grid)
        images = upfirdn2d.downsample2d(x=images, f=self.Hz_geom, down=2, padding=-Hz_pad * 2, flip_filter=True)
        taps = torch.softmax(torch.randn([n, 3], device=device) * self.imgfilter, 1)
        taps = taps.unsqueeze(1).repeat([1, c, 1]).reshape([n * c, 1, -1])
        images = torch.nn.functional.pad(images.reshape([1, n * c, *images.shape[2:]]), [1, 1, 1, 1], mode="reflect")
        images = conv2d_gradfix.conv2d(input=images, weight=taps.unsqueeze(2), groups=n * c)
        images = conv2d_gradfix.conv2d(input=images, weight=taps.unsqueeze(3), groups=n * c)
        return images.reshape([n, c, *images.shape[2:]])
