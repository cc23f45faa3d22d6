"""A StyleGAN2 of two resolutions and a layer of StyleGAN3, as the nvlabs family writes them."""

import numpy as np
import torch

from torch_utils import misc, persistence
from torch_utils.ops import bias_act, conv2d_resample, filtered_lrelu, fma, upfirdn2d


@misc.profiled_function
def normalize_2nd_moment(x, dim=1, eps=1e-8):
    return x * (x.square().mean(dim=dim, keepdim=True) + eps).rsqrt()


@misc.profiled_function
def modulated_conv2d(
    x, weight, styles, noise=None, up=1, down=1, padding=0, resample_filter=None, demodulate=True, flip_weight=True,
    fused_modconv=True,
):  # fmt: skip
    n, (_, channels, kh, kw) = x.shape[0], weight.shape
    misc.assert_shape(styles, [n, channels])
    w = weight.unsqueeze(0) * styles.reshape(n, 1, -1, 1, 1)
    dcoefs = (w.square().sum(dim=[2, 3, 4]) + 1e-8).rsqrt() if demodulate else None
    options = {"f": resample_filter, "up": up, "down": down, "padding": padding, "flip_weight": flip_weight}
    if not fused_modconv:
        x = x * styles.to(x.dtype).reshape(n, -1, 1, 1)
        x = conv2d_resample.conv2d_resample(x=x, w=weight.to(x.dtype), **options)
        if demodulate and noise is not None:
            return fma.fma(x, dcoefs.to(x.dtype).reshape(n, -1, 1, 1), noise.to(x.dtype))
        x = x * dcoefs.reshape(n, -1, 1, 1) if demodulate else x
        return x if noise is None else x + noise
    if demodulate:
        w = w * dcoefs.reshape(n, -1, 1, 1, 1)
    x = x.reshape(1, -1, *x.shape[2:])
    x = conv2d_resample.conv2d_resample(x=x, w=w.reshape(-1, channels, kh, kw).to(x.dtype), groups=n, **options)
    x = x.reshape(n, -1, *x.shape[2:])
    return x if noise is None else x.add_(noise)


@persistence.persistent_class
class FullyConnectedLayer(torch.nn.Module):
    def __init__(self, in_features, out_features, bias=True, activation="linear", lr_multiplier=1, bias_init=0):
        super().__init__()
        self.activation = activation
        self.weight = torch.nn.Parameter(torch.randn([out_features, in_features]) / lr_multiplier)
        self.bias = torch.nn.Parameter(torch.full([out_features], np.float32(bias_init))) if bias else None
        self.weight_gain = lr_multiplier / np.sqrt(in_features)
        self.bias_gain = lr_multiplier

    def forward(self, x):
        w = self.weight.to(x.dtype) * self.weight_gain
        b = None if self.bias is None else self.bias.to(x.dtype) * self.bias_gain
        if self.activation == "linear" and b is not None:
            return torch.addmm(b.unsqueeze(0), x, w.t())
        return bias_act.bias_act(x.matmul(w.t()), b, act=self.activation)


@persistence.persistent_class
class Conv2dLayer(torch.nn.Module):
    def __init__(
        self, in_channels, out_channels, kernel_size, bias=True, activation="linear", up=1, down=1,
        resample_filter=[1, 3, 3, 1], conv_clamp=None,
    ):  # fmt: skip
        super().__init__()
        self.activation = activation
        self.up = up
        self.down = down
        self.conv_clamp = conv_clamp
        self.register_buffer("resample_filter", upfirdn2d.setup_filter(resample_filter))
        self.padding = kernel_size // 2
        self.weight_gain = 1 / np.sqrt(in_channels * (kernel_size**2))
        self.act_gain = bias_act.activation_funcs[activation].def_gain
        self.weight = torch.nn.Parameter(torch.randn([out_channels, in_channels, kernel_size, kernel_size]))
        self.bias = torch.nn.Parameter(torch.zeros([out_channels])) if bias else None

    def forward(self, x, gain=1):
        w = self.weight * self.weight_gain
        b = self.bias.to(x.dtype) if self.bias is not None else None
        x = conv2d_resample.conv2d_resample(
            x=x, w=w.to(x.dtype), f=self.resample_filter, up=self.up, down=self.down, padding=self.padding,
            flip_weight=(self.up == 1),
        )  # fmt: skip
        clamp = self.conv_clamp * gain if self.conv_clamp is not None else None
        return bias_act.bias_act(x, b, act=self.activation, gain=self.act_gain * gain, clamp=clamp)


@persistence.persistent_class
class SynthesisLayer(torch.nn.Module):
    def __init__(
        self, in_channels, out_channels, w_dim, resolution, kernel_size=3, up=1, use_noise=True, activation="lrelu",
        resample_filter=[1, 3, 3, 1], conv_clamp=None,
    ):  # fmt: skip
        super().__init__()
        self.resolution = resolution
        self.up = up
        self.use_noise = use_noise
        self.activation = activation
        self.conv_clamp = conv_clamp
        self.register_buffer("resample_filter", upfirdn2d.setup_filter(resample_filter))
        self.padding = kernel_size // 2
        self.act_gain = bias_act.activation_funcs[activation].def_gain
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1)
        self.weight = torch.nn.Parameter(torch.randn([out_channels, in_channels, kernel_size, kernel_size]))
        if use_noise:
            self.register_buffer("noise_const", torch.randn([resolution, resolution]))
            self.noise_strength = torch.nn.Parameter(torch.zeros([]))
        self.bias = torch.nn.Parameter(torch.zeros([out_channels]))

    def forward(self, x, w, noise_mode="random", fused_modconv=True, gain=1):
        assert noise_mode in ["random", "const", "none"]
        misc.assert_shape(x, [None, self.weight.shape[1], self.resolution // self.up, self.resolution // self.up])
        styles = self.affine(w)
        noise = None
        if self.use_noise and noise_mode == "random":
            noise = torch.randn([x.shape[0], 1, self.resolution, self.resolution], device=x.device)
            noise = noise * self.noise_strength
        if self.use_noise and noise_mode == "const":
            noise = self.noise_const * self.noise_strength
        x = modulated_conv2d(
            x=x, weight=self.weight, styles=styles, noise=noise, up=self.up, padding=self.padding,
            resample_filter=self.resample_filter, flip_weight=(self.up == 1), fused_modconv=fused_modconv,
        )  # fmt: skip
        clamp = self.conv_clamp * gain if self.conv_clamp is not None else None
        return bias_act.bias_act(x, self.bias.to(x.dtype), act=self.activation, gain=self.act_gain * gain, clamp=clamp)


@persistence.persistent_class
class ToRGBLayer(torch.nn.Module):
    def __init__(self, in_channels, out_channels, w_dim, kernel_size=1, conv_clamp=None):
        super().__init__()
        self.conv_clamp = conv_clamp
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1)
        self.weight = torch.nn.Parameter(torch.randn([out_channels, in_channels, kernel_size, kernel_size]))
        self.bias = torch.nn.Parameter(torch.zeros([out_channels]))
        self.weight_gain = 1 / np.sqrt(in_channels * (kernel_size**2))

    def forward(self, x, w, fused_modconv=True):
        styles = self.affine(w) * self.weight_gain
        x = modulated_conv2d(x=x, weight=self.weight, styles=styles, demodulate=False, fused_modconv=fused_modconv)
        return bias_act.bias_act(x, self.bias.to(x.dtype), clamp=self.conv_clamp)


@persistence.persistent_class
class Generator(torch.nn.Module):
    def __init__(self, z_dim, w_dim, img_resolution, img_channels, channels=8):
        super().__init__()
        self.z_dim = z_dim
        self.img_resolution = img_resolution
        self.num_ws = 4
        self.fc0 = FullyConnectedLayer(z_dim, w_dim, activation="lrelu", lr_multiplier=0.01)
        self.const = torch.nn.Parameter(torch.randn([channels, img_resolution // 2, img_resolution // 2]))
        self.conv1 = SynthesisLayer(channels, channels, w_dim, img_resolution // 2)
        self.torgb0 = ToRGBLayer(channels, img_channels, w_dim, conv_clamp=256)
        self.conv2 = SynthesisLayer(channels, channels, w_dim, img_resolution, up=2, conv_clamp=256)
        self.conv3 = SynthesisLayer(channels, channels, w_dim, img_resolution, use_noise=False)
        self.torgb1 = ToRGBLayer(channels, img_channels, w_dim)
        self.register_buffer("resample_filter", upfirdn2d.setup_filter([1, 3, 3, 1]))

    def mapping(self, z):
        return self.fc0(normalize_2nd_moment(z)).unsqueeze(1).repeat([1, self.num_ws, 1])

    def synthesis(self, ws, noise_mode="random"):
        w0, w1, w2, w3 = ws.unbind(dim=1)
        fused = not self.training
        x = self.const.unsqueeze(0).repeat([ws.shape[0], 1, 1, 1])
        x = self.conv1(x, w0, noise_mode=noise_mode, fused_modconv=fused)
        img = upfirdn2d.upsample2d(self.torgb0(x, w1, fused_modconv=fused), self.resample_filter)
        x = self.conv2(x, w1, noise_mode=noise_mode, fused_modconv=fused)
        x = self.conv3(x, w2, noise_mode=noise_mode, fused_modconv=fused, gain=np.sqrt(0.5))
        return img.add_(self.torgb1(x, w3, fused_modconv=fused))

    def forward(self, z, noise_mode="random"):
        return self.synthesis(self.mapping(z), noise_mode=noise_mode)


@persistence.persistent_class
class MinibatchStdLayer(torch.nn.Module):
    def __init__(self, group_size, num_channels=1):
        super().__init__()
        self.group_size = group_size
        self.num_channels = num_channels

    def forward(self, x):
        n, c, h, w = x.shape
        g = min(self.group_size, n) if self.group_size is not None else n
        f = self.num_channels
        y = x.reshape(g, -1, f, c // f, h, w)
        y = ((y - y.mean(dim=0)).square().mean(dim=0) + 1e-8).sqrt().mean(dim=[2, 3, 4])
        return torch.cat([x, y.reshape(-1, f, 1, 1).repeat(g, 1, h, w)], dim=1)


@persistence.persistent_class
class Discriminator(torch.nn.Module):
    def __init__(self, img_resolution, img_channels, channels=8):
        super().__init__()
        self.fromrgb = Conv2dLayer(img_channels, channels, 1, activation="lrelu", conv_clamp=256)
        self.conv0 = Conv2dLayer(channels, channels, 3, activation="lrelu")
        self.conv1 = Conv2dLayer(channels, channels, 3, activation="lrelu", down=2, conv_clamp=256)
        self.skip = Conv2dLayer(channels, channels, 1, bias=False, down=2)
        self.mbstd = MinibatchStdLayer(group_size=4)
        self.conv = Conv2dLayer(channels + 1, channels, 3, activation="lrelu")
        self.fc = FullyConnectedLayer(channels * (img_resolution // 2) ** 2, channels, activation="lrelu")
        self.out = FullyConnectedLayer(channels, 1)

    def forward(self, img):
        x = self.fromrgb(img)
        y = self.skip(x, gain=np.sqrt(0.5))
        x = y.add_(self.conv1(self.conv0(x), gain=np.sqrt(0.5)))
        return self.out(self.fc(self.conv(self.mbstd(x)).flatten(1)))


def alias_free_modulated_conv2d(x, w, s, demodulate=True, padding=0, input_gain=None):
    n, (out, channels, kh, kw) = int(x.shape[0]), w.shape
    if demodulate:
        w = w * w.square().mean([1, 2, 3], keepdim=True).rsqrt()
        s = s * s.square().mean().rsqrt()
    w = w.unsqueeze(0) * s.unsqueeze(1).unsqueeze(3).unsqueeze(4)
    if demodulate:
        w = w * (w.square().sum(dim=[2, 3, 4]) + 1e-8).rsqrt().unsqueeze(2).unsqueeze(3).unsqueeze(4)
    if input_gain is not None:
        w = w * input_gain.expand(n, channels).unsqueeze(1).unsqueeze(3).unsqueeze(4)
    x = x.reshape(1, n * channels, *x.shape[2:])
    x = torch.nn.functional.conv2d(x, w.reshape(n * out, channels, kh, kw).to(x.dtype), padding=padding, groups=n)
    return x.reshape(n, out, *x.shape[2:])


def alias_free_layer(w_dim, is_torgb, in_channels, out_channels, size):
    """StyleGAN3's SynthesisLayer, which shares its name with StyleGAN2's."""
    taps = None if is_torgb else torch.hann_window(14, periodic=False)[1:-1]

    class SynthesisLayer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.is_torgb = is_torgb
            self.use_fp16 = True
            self.conv_kernel = 1 if is_torgb else 3
            self.conv_clamp = 256
            self.magnitude_ema_beta = 0.9
            self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1)
            self.weight = torch.nn.Parameter(torch.randn([out_channels, in_channels, *[self.conv_kernel] * 2]))
            self.bias = torch.nn.Parameter(torch.zeros([out_channels]))
            self.register_buffer("magnitude_ema", torch.ones([]))
            self.up_factor = self.down_factor = 1 if is_torgb else 2
            self.register_buffer("up_filter", taps if taps is None else taps / taps.sum())
            self.register_buffer("down_filter", taps if taps is None else taps.outer(taps) / taps.sum() ** 2)
            total = (size - 1) * self.down_factor + 1 - (size + self.conv_kernel - 1) * self.up_factor
            total += 0 if is_torgb else 2 * 12 - 2
            low = (total + self.up_factor) // 2
            self.padding = [low, total - low, low, total - low]

        def forward(self, x, w, noise_mode="random", force_fp32=False, update_emas=False):
            if update_emas:
                cur = x.detach().to(torch.float32).square().mean()
                self.magnitude_ema.copy_(cur.lerp(self.magnitude_ema, self.magnitude_ema_beta))
            input_gain = self.magnitude_ema.rsqrt()
            styles = self.affine(w)
            if self.is_torgb:
                styles = styles * (1 / np.sqrt(in_channels * self.conv_kernel**2))
            dtype = torch.float16 if self.use_fp16 and not force_fp32 and x.device.type == "cuda" else torch.float32
            x = alias_free_modulated_conv2d(
                x=x.to(dtype), w=self.weight, s=styles, padding=self.conv_kernel - 1, demodulate=(not self.is_torgb),
                input_gain=input_gain,
            )  # fmt: skip
            gain = 1 if self.is_torgb else np.sqrt(2)
            slope = 1 if self.is_torgb else 0.2
            return filtered_lrelu.filtered_lrelu(
                x=x, fu=self.up_filter, fd=self.down_filter, b=self.bias.to(x.dtype), up=self.up_factor,
                down=self.down_factor, padding=self.padding, gain=gain, slope=slope, clamp=self.conv_clamp,
            )  # fmt: skip

    return SynthesisLayer()
