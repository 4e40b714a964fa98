#!/usr/bin/python3
"""Decoded pixels against Pillow's: PngSuite, JPEG files of many kinds, real JPEG files.

usage: golden_decode.py DECODE_TOOL SHARED_DIR

Pillow's convert("RGB") is the oracle for images of 8 bits and less. For 16 bits a channel the rule is
round(v * 255 / 65535), computed here from a PNG reader of our own, which is itself checked against Pillow's raw
16-bit greys. Ends with 77 where Pillow or the data is missing, with 1 if RS_REQUIRE_ORACLES is set.
"""
import glob
import os
import struct
import subprocess
import sys
import tarfile
import tempfile
import zlib

MISSING = 1 if os.environ.get("RS_REQUIRE_ORACLES") else 77
try:
    import numpy as np
    from PIL import Image
except ImportError as missing:
    print(f"skipped: {missing}; install python3-pil and python3-numpy")
    sys.exit(MISSING)

BATCH = 400  # files a call of the tool
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}


def decode(tool, paths):
    """{path: array or (error name, message)} as our decoder gives them."""
    results = {}
    for start in range(0, len(paths), BATCH):
        part = paths[start:start + BATCH]
        out = subprocess.run([tool, *part], check=True, stdout=subprocess.PIPE).stdout
        at = 0
        for path in part:
            end = out.index(b"\n", at)
            kind, rest = out[at:end].decode().split(" ", 1)
            at = end + 1
            if kind == "error":
                results[path] = tuple(rest.split(" ", 1))
                continue
            width, height = map(int, rest.split())
            results[path] = np.frombuffer(out, np.uint8, width * height * 3, at).reshape(height, width, 3)
            at += width * height * 3
        assert at == len(out), "the tool wrote more than was asked for"
    return results


def unfilter(data, at, width, height, size):
    """Rows of one PNG pass with size bytes a pixel; returns them and where the next pass begins."""
    stride = width * size
    rows = np.zeros((height + 1, stride + size), np.uint8)
    for y in range(height):
        kind, line = data[at], np.frombuffer(data, np.uint8, stride, at + 1)
        at += 1 + stride
        row, above = rows[y + 1], rows[y]
        for x in range(stride):
            a, b, c = int(row[x]), int(above[x + size]), int(above[x])
            pa, pb, pc = abs(b - c), abs(a - c), abs(a + b - 2 * c)
            paeth = a if pa <= pb and pa <= pc else b if pb <= pc else c
            row[x + size] = (int(line[x]) + (0, a, b, (a + b) // 2, paeth)[kind]) & 255
    return rows[1:, size:], at


def read_png16(path):
    """Samples of a 16-bit PNG as (height, width, channels), uint16."""
    raw = open(path, "rb").read()
    at, packed = 8, b""
    while at < len(raw):
        length, kind = struct.unpack(">I4s", raw[at:at + 8])
        body = raw[at + 8:at + 8 + length]
        at += 12 + length
        if kind == b"IHDR":
            width, height, depth, color, _, _, interlace = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            packed += body
    assert depth == 16
    channels, data, at = CHANNELS[color], zlib.decompress(packed), 0
    out = np.zeros((height, width, channels), np.uint16)
    for x0, y0, dx, dy in ADAM7 if interlace else ((0, 0, 1, 1),):
        w, h = -(-(width - x0) // dx), -(-(height - y0) // dy)
        if w > 0 and h > 0:
            rows, at = unfilter(data, at, w, h, channels * 2)
            out[y0::dy, x0::dx] = np.ascontiguousarray(rows).view(">u2").reshape(h, w, channels)
    return out


def rgb_of_16(samples):
    rgb = samples[..., :1].repeat(3, -1) if samples.shape[-1] < 3 else samples[..., :3]
    return np.floor(rgb.astype(np.float64) * 255 / 65535 + 0.5).astype(np.uint8)


def oracle(path):
    if os.path.basename(path).endswith("16.png"):
        samples = read_png16(path)
        image = Image.open(path)
        if image.mode in ("I", "I;16", "I;16B"):
            assert np.array_equal(np.asarray(image), samples[..., 0]), f"{path}: our own reader is wrong"
        return rgb_of_16(samples)
    return np.asarray(Image.open(path).convert("RGB"))


def compare(tool, paths, what):
    wrong = 0
    for path, ours in decode(tool, paths).items():
        theirs = oracle(path)
        if isinstance(ours, tuple) or not np.array_equal(ours, theirs):
            wrong += 1
            print(f"{path}: {ours if isinstance(ours, tuple) else 'other pixels than Pillow'}")
    print(f"{what}: {len(paths) - wrong} of {len(paths)} files equal")
    return wrong


def refused(tool, paths):
    wrong = 0
    for path, ours in decode(tool, paths).items():
        good = isinstance(ours, tuple) and path in ours[1] and ours[0] in ("RS_E_CORRUPT", "RS_E_UNSUPPORTED")
        wrong += not good
        print(f"{os.path.basename(path)}: {ours[1] if isinstance(ours, tuple) else 'accepted'}")
    return wrong


def picture(rng, width, height, channels):
    """Smooth shapes under noise, so that every coefficient has work."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = [127 + 90 * np.sin(x / rng.uniform(1, 9) + y / rng.uniform(1, 9) + c) for c in range(channels)]
    image = np.stack(planes, -1) + rng.uniform(-30, 30, (height, width, channels))
    return np.clip(image, 0, 255).astype(np.uint8).squeeze()


def adobe(raw, transform):
    """The JPEG stream with JFIF's marker replaced by Adobe's, which tells how colours are stored."""
    marker = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])
    at = raw.find(b"Adobe")
    if at > 0:
        return raw[:at + 11] + bytes([transform]) + raw[at + 12:]
    length = struct.unpack(">H", raw[4:6])[0]
    assert raw[2:4] == b"\xff\xe0"
    return raw[:2] + marker + raw[4 + length:]


def make_jpegs(folder):
    rng, paths = np.random.RandomState(20261124), []
    sizes = ((1, 1), (7, 5), (8, 8), (16, 16), (17, 33), (32, 32), (64, 48), (255, 3), (2, 130))
    for mode, channels in (("L", 1), ("RGB", 3), ("CMYK", 4)):
        for width, height in sizes:
            pixels = picture(rng, width, height, channels).reshape((height, width) + (channels,) * (channels > 1))
            image = Image.fromarray(pixels, mode)
            for quality in (5, 75, 95, 100):
                for subsampling in (0, 1, 2) if mode != "L" else (0,):
                    for progressive in (False, True):
                        path = f"{folder}/{mode}-{width}x{height}-q{quality}-s{subsampling}-p{progressive:d}.jpg"
                        image.save(path, quality=quality, subsampling=subsampling, progressive=progressive,
                                   optimize=quality == 95)
                        paths.append(path)
                        if quality == 75 and mode != "L":
                            raw = open(path, "rb").read()
                            for transform in (0, 1, 2) if mode == "RGB" else (0, 2):
                                paths.append(f"{path[:-4]}-adobe{transform}.jpg")
                                open(paths[-1], "wb").write(adobe(raw, transform))
    junk = open(paths[0], "rb").read()
    for name, data in (("junk-behind.jpg", junk + b"junk behind the end" * 10), ("really-a-jpeg.png", junk)):
        paths.append(f"{folder}/{name}")
        open(paths[-1], "wb").write(data)
    return paths


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def small_png(path, width, color, *chunks, interlace=0):
    head = struct.pack(">IIBBBBB", width, 1, 8, color, 0, 0, interlace)
    open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunks) + chunk(b"IEND", b""))
    return path


def make_bombs(folder):
    """A pixel, and 256 MB of zeros behind it in the same stream."""
    zeros = chunk(b"IDAT", zlib.compress(bytes(1 << 28), 9))
    return [small_png(f"{folder}/surplus-{interlace}.png", 1, 2, zeros, interlace=interlace) for interlace in (0, 1)]


def make_pngs(folder):
    """What PngSuite lacks: odd sizes in every mode, a palette that is too short."""
    rng, paths = np.random.RandomState(7), []
    for mode, channels in (("1", 1), ("L", 1), ("LA", 2), ("P", 1), ("RGB", 3), ("RGBA", 4)):
        for width, height in ((1, 1), (3, 200), (33, 17), (130, 2)):
            pixels = picture(rng, width, height, channels).reshape((height, width) + (channels,) * (channels > 1))
            image = Image.fromarray(pixels, mode if mode not in ("1", "P") else "L")
            paths.append(f"{folder}/{mode}-{width}x{height}.png")
            (image.convert(mode) if mode in ("1", "P") else image).save(paths[-1])
    paths.append(small_png(f"{folder}/short-palette.png", 4, 3, chunk(b"PLTE", b"\x10\x20\x30\x40\x50\x60"),
                           chunk(b"IDAT", zlib.compress(b"\x00\x00\x01\x02\xff"))))
    paths.append(small_png(f"{folder}/some-surplus.png", 2, 0, chunk(b"IDAT", zlib.compress(b"\x00\x05\x06" + bytes(999)))))
    plain, text = open(paths[0], "rb").read(), chunk(b"tEXt", b"a\0" + b"b" * 300000)
    for name, at in (("text-before", 33), ("text-behind", len(plain) - 12)):
        paths.append(f"{folder}/{name}.png")
        open(paths[-1], "wb").write(plain[:at] + text + plain[at:])
    return paths


def real_jpegs(shared, folder, count):
    """The first files of the archive; it is read no further than needed."""
    paths = []
    with subprocess.Popen(["zstd", "-dc", f"{shared}/data/cifar10-jpeg.tar.zst"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as unpack:
        with tarfile.open(fileobj=unpack.stdout, mode="r|") as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(".jpg"):
                    paths.append(f"{folder}/real-{len(paths):04}.jpg")
                    open(paths[-1], "wb").write(archive.extractfile(member).read())
                    if len(paths) == count:
                        break
        unpack.kill()
    return paths


def main():
    tool, shared = sys.argv[1:3]
    suite = sorted(glob.glob(f"{shared}/data/pngsuite/png/*.png"))
    if not suite or not os.path.exists(f"{shared}/data/cifar10-jpeg.tar.zst"):
        print(f"skipped: no data/pngsuite or data/cifar10-jpeg.tar.zst in {shared}; name the folder with RSTREAM_SHARED")
        return MISSING
    valid = [p for p in suite if not os.path.basename(p).startswith("x")]
    wrong = compare(tool, valid, "PngSuite")
    wrong += refused(tool, [p for p in suite if p not in valid])
    with tempfile.TemporaryDirectory() as folder:
        wrong += refused(tool, make_bombs(folder))
        wrong += compare(tool, make_pngs(folder), "Pillow's PNG files")
        wrong += compare(tool, make_jpegs(folder), "Pillow's JPEG files")
        wrong += compare(tool, real_jpegs(shared, folder, 300), "real JPEG files")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
