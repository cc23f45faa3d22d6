"""What one call of the ADA pipeline does to each image."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Parameters:
    """One value for each of N images, float32, in the order in which the pipeline applies them.

    Attributes:
        flip: 1 mirrors left and right, 0 does not.
        quarter_turns: 0 to 3 turns by 90 degrees.
        shift: [N, 2], whole pixels to the right and down.
        scale: magnification of both sides.
        turn_before, turn_after: turns before and after `stretch`, in radians.
        stretch: magnification of the width, and its inverse that of the height.
        drift: [N, 2], pixels to the right and down.
        brightness: added to each channel.
        contrast: factor of each channel.
        luma_flip: 1 mirrors colours in the plane of no luma, 0 does not.
        hue: turn of colours about the grey axis, in radians.
        saturation: factor of the distance from the grey axis.
        bands: [N, 4], gain of each octave of spatial frequency, the lowest first.
        noise: standard deviation of the noise that is added.
        hole: [N, 2], centre of the square that is cut out, as shares of width and height.
        cut: 1 cuts it out, 0 does not.
    """

    flip: Tensor
    quarter_turns: Tensor
    shift: Tensor
    scale: Tensor
    turn_before: Tensor
    stretch: Tensor
    turn_after: Tensor
    drift: Tensor
    brightness: Tensor
    contrast: Tensor
    luma_flip: Tensor
    hue: Tensor
    saturation: Tensor
    bands: Tensor
    noise: Tensor
    hole: Tensor
    cut: Tensor
