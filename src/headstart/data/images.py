"""Read one image, whatever it is: a path, a member of a zip file, an array, a PIL picture."""

from __future__ import annotations

import io
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from headstart.data.dataset import Reference
from headstart.errors import BadImage

ENDINGS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".pnm"}
)
INSIDE = "!/"
"""Between an archive and its member: ``photos.zip!/cat/1.jpg``."""

Image.MAX_IMAGE_PIXELS = 400_000_000
_local = threading.local()


def is_image(name: str) -> bool:
    """Whether a file name has an image's ending."""
    return Path(name).suffix.lower() in ENDINGS


def archive(path: str) -> zipfile.ZipFile:
    """An open zip file, one a thread (its reading position is not to be shared), the last four kept open."""
    kept: dict[str, zipfile.ZipFile] = _local.__dict__.setdefault("archives", {})
    if path not in kept:
        while len(kept) >= 4:
            kept.pop(next(iter(kept))).close()
        kept[path] = zipfile.ZipFile(path)
    return kept[path]


def read_bytes(reference: str) -> bytes:
    """The bytes of a file or of a member of a zip file.

    Raises:
        BadImage: it is missing or cannot be read.
    """
    try:
        if INSIDE in reference:
            path, member = reference.split(INSIDE, 1)
            return archive(path).read(member)
        return Path(reference).read_bytes()
    except (OSError, KeyError, zipfile.BadZipFile, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadImage(reference, reason) from None


def read_image(reference: Reference) -> torch.Tensor:
    """Decode to uint8 (3, H, W), upright (EXIF), RGB.

    Grey is repeated, 16-bit is scaled to 8, CMYK is converted, transparency is laid over white, of an animation the
    first frame is taken. Float arrays are in 0..1.

    Raises:
        BadImage: it cannot be decoded; with the reason.
    """
    if isinstance(reference, str):
        return _decode(read_bytes(reference), reference)
    if isinstance(reference, Image.Image):
        return _tensor(_rgb(reference))
    return _array(np.asarray(reference))


def _decode(data: bytes, name: str) -> torch.Tensor:
    if data[:3] == b"\xff\xd8\xff":
        from torchvision.io import ImageReadMode, decode_jpeg

        try:  # twice as fast as PIL; what it cannot do (CMYK, broken files) PIL does, or says why not
            raw = torch.frombuffer(bytearray(data), dtype=torch.uint8)
            image = decode_jpeg(raw, mode=ImageReadMode.UNCHANGED, apply_exif_orientation=True)
            if image.shape[0] == 3:
                return image
            if image.shape[0] == 1:
                return image.repeat(3, 1, 1)
        except RuntimeError:
            pass
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return _tensor(_rgb(picture))
    except Exception as error:
        raise BadImage(name, _reason(error, data)) from None


def _reason(error: Exception, data: bytes) -> str:
    if not data:
        return "the file is empty"
    text = str(error)
    if "truncated" in text or "Truncated" in text:
        return "the file is cut short"
    if "cannot identify" in text:
        return "not an image that can be decoded"
    return text.splitlines()[0] if text else type(error).__name__


def _rgb(picture: Image.Image) -> Image.Image:
    """Any PIL mode -> upright RGB."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode == "RGB":
        return picture
    if picture.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        values = np.asarray(picture).astype(np.float64)
        top = 1.0 if picture.mode == "F" and values.max() <= 1 else 255.0 if values.max() <= 255 else 65535.0
        return Image.fromarray((values.clip(0, top) * (255 / top)).round().astype(np.uint8)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        over = picture.convert("RGBA")
        white = Image.new("RGBA", over.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, over).convert("RGB")
    return picture.convert("RGB")


def _tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture, dtype=np.uint8)).permute(2, 0, 1).contiguous()


def _array(values: np.ndarray[Any, Any]) -> torch.Tensor:
    name = f"array of shape {values.shape} and type {values.dtype}"
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (3, 4)) or 0 in values.shape:
        raise BadImage(name, "an image is (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)")
    if values.dtype == np.uint16:
        values = (values / 257).round().astype(np.uint8)
    elif values.dtype == bool:
        values = values.astype(np.uint8) * 255
    elif values.dtype.kind == "f":
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise BadImage(name, "float images hold values from 0 to 1")
        values = (values * 255).round().astype(np.uint8)
    elif values.dtype.kind in "iu" and values.dtype != np.uint8:
        if values.min() < 0 or values.max() > 255:
            raise BadImage(name, "integer images hold values from 0 to 255")
        values = values.astype(np.uint8)
    elif values.dtype != np.uint8:
        raise BadImage(name, "an image holds numbers")
    return _tensor(_rgb(Image.fromarray(np.ascontiguousarray(values))))
