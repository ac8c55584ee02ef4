"""Every kind of picture becomes uint8 RGB, or a sentence."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from headstart.data.images import read_image
from headstart.errors import BadImage

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_png_is_exact_and_jpeg_is_near(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    assert torch.equal(read_image(str(tmp_path / "a.png")), torch.tensor(RGB).permute(2, 0, 1))
    smooth = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    ours = read_image(str(tmp_path / "a.jpg")).permute(1, 2, 0).numpy().astype(int)
    assert np.abs(ours - np.asarray(Image.open(tmp_path / "a.jpg")).astype(int)).max() <= 2


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    deep = np.array([[0, 257, 65535], [32896, 514, 255 * 257]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "a.png")
    expected = torch.tensor([[0, 1, 255], [128, 2, 255]], dtype=torch.uint8).expand(3, 2, 3)
    assert torch.equal(read_image(str(tmp_path / "a.png")), expected)
    assert torch.equal(read_image(deep), expected)


def test_cmyk_and_grey_and_one_pixel_and_gif(tmp_path):
    Image.new("CMYK", (8, 6), (0, 255, 255, 0)).save(tmp_path / "c.jpg")
    red = read_image(str(tmp_path / "c.jpg"))
    assert red.shape == (3, 6, 8)
    assert red[0].float().mean() > 150 > red[1].float().mean()
    Image.fromarray(RGB[..., 0]).save(tmp_path / "g.png")
    grey = read_image(str(tmp_path / "g.png"))
    assert torch.equal(grey[0], grey[2])
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "d.png")
    assert read_image(str(tmp_path / "d.png")).flatten().tolist() == [1, 2, 3]
    Image.new("P", (5, 5), 0).save(tmp_path / "p.gif", save_all=True, append_images=[Image.new("P", (5, 5), 1)])
    assert read_image(str(tmp_path / "p.gif")).shape == (3, 5, 5)


def test_transparency_lies_over_white(tmp_path):
    Image.new("RGBA", (4, 4), (10, 20, 30, 0)).save(tmp_path / "t.png")
    assert (read_image(str(tmp_path / "t.png")) == 255).all()


def test_pictures_are_turned_upright(tmp_path):
    picture = Image.fromarray(RGB)
    exif = picture.getexif()
    exif[0x0112] = 6  # rotate by 90 degrees to see it upright
    picture.save(tmp_path / "r.jpg", exif=exif, quality=95)
    assert read_image(str(tmp_path / "r.jpg")).shape == (3, 30, 20)


def test_arrays_and_pil_pictures():
    expected = torch.tensor(RGB).permute(2, 0, 1)
    for item in (
        RGB,
        Image.fromarray(RGB),
        RGB / 255.0,
        RGB.astype(int),
        np.dstack([RGB, np.full((20, 30), 255, np.uint8)]),
    ):
        assert torch.equal(read_image(item), expected)
    assert read_image(RGB[..., 0]).shape == (3, 20, 30)
    assert read_image(RGB[..., :1]).shape == (3, 20, 30)


def test_members_of_zip_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as z:
        data = io.BytesIO()
        Image.fromarray(RGB).save(data, "PNG")
        z.writestr("猫/1.png", data.getvalue())
    assert torch.equal(read_image(f"{tmp_path}/z.zip!/猫/1.png"), torch.tensor(RGB).permute(2, 0, 1))


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("nowhere.png", "No such file"),
        (np.zeros((2, 2, 5)), "an image is"),
        (np.full((2, 2), 7.0), "float images hold values from 0 to 1"),
        (np.full((2, 2), 700), "integer images hold values from 0 to 255"),
        (np.array([["a"]]), "an image holds numbers"),
    ],
)
def test_what_is_no_image_says_why(item, words):
    with pytest.raises(BadImage, match=words):
        read_image(item)


def test_broken_files_say_why(tmp_path):
    Image.fromarray(RNG.integers(0, 256, (200, 200, 3), dtype=np.uint8)).save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(BadImage, match="cut short"):
        read_image(str(tmp_path / "a.jpg"))
    (tmp_path / "b.png").write_bytes(b"hello")
    with pytest.raises(BadImage, match="not an image that can be decoded"):
        read_image(str(tmp_path / "b.png"))
    (tmp_path / "c.png").write_bytes(b"")
    with pytest.raises(BadImage, match="the file is empty"):
        read_image(str(tmp_path / "c.png"))
