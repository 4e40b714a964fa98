"""image_files: PNG and JPEG files of every kind that rstream reads, written by Pillow, and torchvision's order of a folder of them."""
import os

import numpy as np
from PIL import Image

import oracle

JPEG_KINDS = [("RGB", {"quality": 75}), ("RGB", {"quality": 95, "subsampling": 0}), ("RGB", {"quality": 40, "progressive": True}),
              ("RGB", {"quality": 85, "subsampling": 1, "optimize": True}), ("L", {"quality": 80}), ("CMYK", {"quality": 80})]
PNG_KINDS = ["RGB", "RGBA", "L", "LA", "P", "1"]


def in_torchvision_order(root):
    """ImageFolder's order: classes by name, then the folders below by path, then files by name."""
    return [os.path.join(folder, name) for label in sorted(os.listdir(root))
            for folder, _, names in sorted(os.walk(os.path.join(root, label))) for name in sorted(names)]


def tensors_of_files(paths, size):
    """What the notebook makes of files: Pillow's decode, convert("RGB") and data_tf. float32 N,3,size,size."""
    tensors = []
    for path in paths:
        with Image.open(path) as image:
            tensors.append(oracle.data_tf(image.convert("RGB"), size))
    return np.stack(tensors)


def scene(rng, width, height):
    """A picture with edges, gradients and noise, so that a wrong filter or a wrong chroma sample shows."""
    y, x = np.mgrid[0:height, 0:width]
    layers = [(x * a + y * b + rng.randint(256)) % 256 for a, b in rng.randint(1, 9, (3, 2))]
    return np.clip(np.stack(layers, -1) + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)


def save_png(image, mode, path):
    if mode in ("RGBA", "LA"):
        image = image.convert(mode)
        image.putalpha(image.convert("L").rotate(90, expand=False).resize(image.size))
    else:
        image = image.convert(mode)
    image.save(path)


def save_jpeg(image, kind, path):
    mode, options = kind
    image.convert(mode).save(path, **options)
