"""2-D convolution with up- or downsampling and a FIR filter, composed of torch's convolution and upfirdn2d."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from gan_fast.ops.upfirdn2d import pair, quad, size, upfirdn2d


def conv2d_resample(
    x: Tensor,
    w: Tensor,
    f=None,
    up=1,
    down=1,
    padding=0,
    groups=1,
    flip_weight=True,
    flip_filter=False,
    *,
    backend=None,
):
    kw, kh = w.shape[3], w.shape[2]
    fw, fh = size(f)
    x0, x1, y0, y1 = quad(padding)
    if up > 1:
        x0, x1, y0, y1 = x0 + (fw + up - 1) // 2, x1 + (fw - up) // 2, y0 + (fh + up - 1) // 2, y1 + (fh - up) // 2
    if down > 1:
        x0, x1, y0, y1 = (
            x0 + (fw - down + 1) // 2,
            x1 + (fw - down) // 2,
            y0 + (fh - down + 1) // 2,
            y1 + (fh - down) // 2,
        )
    w = w if flip_weight else w.flip([2, 3])
    if up > 1 or down > 1:
        x = upfirdn2d(x, f, up=up, padding=(x0, x1, y0, y1), gain=up**2, flip_filter=flip_filter, backend=backend)
    else:
        x = F.pad(x, (x0, x1, y0, y1))
    return F.conv2d(x, w, stride=down, groups=groups)
