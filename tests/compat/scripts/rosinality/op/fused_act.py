from torch import nn

raise OSError("CUDA_HOME environment variable is not set")


class FusedLeakyReLU(nn.Module):
    def __init__(self, channel, bias=True, negative_slope=0.2, scale=2**0.5):
        super().__init__()


def fused_leaky_relu(input, bias=None, negative_slope=0.2, scale=2**0.5):
    pass
