#!/usr/bin/python3
"""oracle_preview: what the network sees equals what the notebook feeds its own: Pillow's decode, convert("RGB"), resize and data_tf,
bit for bit, in torchvision's order; for CIFAR files, folders of JPEG files and of PNG files, generated here, and for real JPEG files
where the shared data lies beside the checkout.
"""
import os
import subprocess
import tarfile

import oracle

args = oracle.arguments(__doc__, "rstream")
np, Image = oracle.require("numpy", "PIL.Image")
from image_files import (JPEG_KINDS, PNG_KINDS, in_torchvision_order, save_jpeg, save_png, scene,  # noqa: E402 - needs Pillow
                         tensors_of_files)


def preview(folder, data, count, size):
    """rstream's tensor of the first count samples of data."""
    path = os.path.join(folder, "preview.npy")
    oracle.run_well([args.rstream, "preview", "--data", data, "--count", count, "--image-size", size, "--npy", path])
    return np.load(path)


def compare(checks, what, seen, expected):
    if not checks.check(seen.dtype == np.float32 and seen.shape == expected.shape,
                        f"{what}: float32 {expected.shape}, is {seen.dtype} {seen.shape}"):
        return
    wrong = [i for i in range(len(expected)) if seen[i].tobytes() != expected[i].tobytes()]
    checks.check(not wrong, f"{what}: {len(expected)} samples, the same bits" + (f"; not {wrong[:8]}" if wrong else ""))


def write_folder(root, rng, save, kinds, extension):
    """Two classes of kinds x sizes files; some lie deeper, and names sort by bytes, not as numbers or without case."""
    sizes = [(32, 32), (1, 1), (96, 96), (97, 41), (200, 131), (7, 300)]
    for label in ("b-second", "First"):
        number = 0
        for kind in kinds:
            for width, height in sizes:
                below = ("", "deeper", "Deeper/yet")[number % 3]
                folder = os.path.join(root, label, below)
                os.makedirs(folder, exist_ok=True)
                save(Image.fromarray(scene(rng, width, height)), kind, os.path.join(folder, f"{'xX'[number % 2]}{number}.{extension}"))
                number += 1
    return 2 * len(kinds) * len(sizes)


def real_jpeg_folder(root, count):
    """The first count files of each of two classes of the shared CIFAR-10, or False where they or zstd are missing."""
    shared = oracle.shared_folder()
    archive = shared and os.path.join(shared, "data", "cifar10-jpeg.tar.zst")
    if not archive or not os.path.exists(archive):
        return False
    try:
        unpack = subprocess.Popen(["zstd", "-dcq", archive], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        return False
    wanted = {}
    with tarfile.open(fileobj=unpack.stdout, mode="r|") as tar:
        for member in tar:
            if not member.isfile() or "/train/" not in "/" + member.name:
                continue
            label, name = member.name.split("/")[-2:]
            if wanted.setdefault(label, 0) < count and (len(wanted) <= 2):
                os.makedirs(os.path.join(root, label), exist_ok=True)
                with open(os.path.join(root, label, name), "wb") as out:
                    out.write(tar.extractfile(member).read())
                wanted[label] += 1
            if len(wanted) > 2 or (len(wanted) == 2 and min(wanted.values()) == count):
                break
    unpack.stdout.close()
    unpack.kill()
    unpack.wait()
    return True


def main():
    checks = oracle.Checks()
    with oracle.scratch_folder() as scratch:
        labels, pixels = oracle.pictures(100, seed=1)
        cifar = os.path.join(scratch, "cifar")
        oracle.write_cifar10(cifar, labels, pixels, labels[:10], pixels[:10])
        for size in (96, 131):
            compare(checks, f"CIFAR files at {size}", preview(scratch, cifar, 70, size), oracle.tensors_of(pixels[:70], size))

        rng = np.random.RandomState(2)
        for what, save, kinds, extension in (("JPEG", save_jpeg, JPEG_KINDS, "jpg"), ("PNG", save_png, PNG_KINDS, "png")):
            root = os.path.join(scratch, what)
            count = write_folder(root, rng, save, kinds, extension)
            compare(checks, f"{what} folder", preview(scratch, root, count, 96), tensors_of_files(in_torchvision_order(root)[:count], 96))

        real = os.path.join(scratch, "real")
        if real_jpeg_folder(real, 40):
            compare(checks, "real CIFAR-10 as JPEG", preview(scratch, real, 80, 96), tensors_of_files(in_torchvision_order(real)[:80], 96))
        else:
            print("left out: real CIFAR-10 as JPEG (no shared data here, or no zstd)")
    checks.finish()


main()
