import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from stores import noise, picture

from gan_fast.data import BrokenImage, Protocol


def encoded(pixels: np.ndarray, kind="PNG", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "rgb", "grey"),
    [
        (picture((200, 0, 0)), (200, 0, 0), 60),
        (picture((200, 0, 0, 0), mode="RGBA"), (200, 0, 0), 60),
        (picture(120, mode="L"), (120, 120, 120), 120),
        (picture((120, 0), mode="LA"), (120, 120, 120), 120),
        (picture(1, mode="1"), (255, 255, 255), 255),
        (picture((0, 255, 255, 0), mode="CMYK", kind="TIFF"), (255, 0, 0), 76),
        (encoded(np.full((6, 9), 40000, dtype=np.uint16)), (156, 156, 156), 156),
        (encoded(np.full((6, 9), 40000, dtype=np.uint16), "TIFF"), (156, 156, 156), 156),
        (picture((0, 200, 0), kind="GIF"), (0, 200, 0), 117),
        (picture((0, 200, 0), kind="BMP"), (0, 200, 0), 117),
        (picture((0, 200, 0), kind="WEBP", lossless=True), (0, 200, 0), 117),
    ],
    ids=["RGB", "RGBA", "L", "LA", "1", "CMYK", "16-bit PNG", "16-bit TIFF", "GIF", "BMP", "WebP"],
)
def test_every_mode_becomes_rgb_or_grey(data, rgb, grey):
    assert (Protocol(4, 3)(data, "x") == np.array(rgb, dtype=np.uint8)[:, None, None]).all()
    assert (Protocol(4, 1)(data, "x") == grey).all()


def test_a_palette_keeps_its_colours():
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 120, 230])
    file = io.BytesIO()
    image.save(file, "PNG", transparency=b"\xff\x00")
    assert (Protocol(4, 3)(file.getvalue(), "x") == np.array([10, 120, 230], dtype=np.uint8)[:, None, None]).all()


def test_sixteen_bits_are_scaled():
    ramp = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    assert np.array_equal(Protocol(16, 1)(encoded(ramp), "x")[0], np.arange(256, dtype=np.uint8).reshape(16, 16))


@pytest.mark.parametrize("size", [(30, 17), (17, 30), (1, 5), (40, 3)])
@pytest.mark.parametrize("crop", ["center", "wide"])
def test_images_of_any_shape_are_taken(size, crop):
    y = Protocol(8, 1, crop)(picture((90, 90, 90), size), "x")[0]
    rows = slice(0, 8) if crop == "center" else slice(1, 7)
    assert (y[rows] == 90).all()
    assert y.sum() == 90 * y[rows].size


def test_the_centre_is_kept():
    pixels = np.zeros((8, 24, 3), dtype=np.uint8)
    pixels[:, 8:16] = 200
    assert (Protocol(8, 1)(encoded(pixels), "x") == 200).all()


def test_a_wide_crop_is_four_by_three_between_bars():
    pixels = np.zeros((24, 64, 3), dtype=np.uint8)
    pixels[:, 16:48] = 200
    y = Protocol(16, 3, "wide")(encoded(pixels), "x")
    assert y.shape == (3, 16, 16)
    assert not y[:, :2].any()
    assert not y[:, 14:].any()
    assert (y[:, 2:14] == 200).all()


def test_exif_turns_the_image_upright():
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    pixels[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    y = Protocol(8, 1)(encoded(pixels, exif=exif), "x")[0]
    assert (y[:, 4:] == 255).all()
    assert (y[:, :4] == 0).all()


def bomb() -> bytes:
    """A PNG that says it is 30000 by 30000."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cannot identify"),
        (b"no image at all", "cannot identify"),
        (noise()[:3000], "truncated"),
        (noise("JPEG")[:3000], "truncated"),
        (bomb(), "decompression bomb"),
        (encoded(np.ones((4, 4), dtype=np.float32), "TIFF"), "mode F"),
        (encoded(np.ones((4, 4), dtype=np.int32), "TIFF"), "mode I"),
        (picture((50, 0, 0), mode="LAB", kind="TIFF"), "mode LAB"),
    ],
    ids=["empty", "other bytes", "truncated PNG", "truncated JPEG", "bomb", "floats", "32-bit integers", "CIELAB"],
)
def test_broken_images_are_named(data, reason):
    with pytest.raises(BrokenImage, match=f"cannot read the image folder/7.png: .*{reason}"):
        Protocol(8)(data, "folder/7.png")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damage_of_any_kind_ends_in_an_image_or_in_an_error_that_names_it():
    generator = np.random.default_rng(0)
    files = [noise(), noise("JPEG"), noise("WEBP"), noise("TIFF"), noise("GIF"), noise("BMP")]
    broken = []
    for data in files * 20:
        damaged = np.frombuffer(data, dtype=np.uint8).copy()
        # Headers, which decide most, stand at the start, or of a TIFF at the end.
        places = generator.integers(0, min(600, len(data)), 8) * generator.choice([1, -1], 8)
        damaged[places] = generator.integers(0, 256, 8)
        try:
            assert Protocol(8)(damaged.tobytes(), "7.png").shape == (3, 8, 8)
        except BrokenImage as error:
            broken.append(str(error))
    assert 20 < len(broken) < 120
    assert all(message.startswith("cannot read the image 7.png: ") for message in broken)


@pytest.mark.parametrize(
    ("arguments", "named"), [((0,), "resolution"), ((8, 2), "channels"), ((8, 3, "left"), "crop: .*'left'")]
)
def test_bad_protocols_are_named(arguments, named):
    with pytest.raises(ValueError, match=named):
        Protocol(*arguments)
