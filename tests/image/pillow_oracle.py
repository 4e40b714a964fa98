"""pillow_oracle.py: what Pillow makes of random pictures, for golden_resize.

Usage: pillow_oracle.py CASES SEED. Writes to standard output, for each case: width, height, new width, new
height (little-endian uint32), the source's interleaved RGB bytes, the result's interleaved RGB bytes. Exits
with 77 where Pillow or NumPy are missing.
"""
import random
import sys

try:
    import numpy
    from PIL import Image
except ImportError as error:
    print(f"pillow_oracle: {error}", file=sys.stderr)
    sys.exit(77)

# Sizes that random ones would miss: the main job's, extremes, one side or none that changes, borders of
# vectors and groups.
FIXED = [
    (32, 32, 96, 96), (32, 32, 32, 32), (96, 96, 96, 96), (32, 32, 96, 32), (32, 32, 32, 96),
    (1, 1, 1, 1), (1, 1, 96, 96), (1, 1000, 96, 96), (1000, 1, 96, 96), (3000, 2, 1, 5), (2, 3000, 5, 1),
    (2, 3, 1, 1), (96, 96, 1, 1), (500, 375, 96, 96), (640, 480, 96, 96), (375, 500, 224, 224),
    (64, 64, 96, 96), (28, 28, 224, 224), (63, 65, 64, 64), (64, 64, 65, 63), (127, 129, 128, 128),
    (300, 200, 299, 201), (97, 95, 96, 96), (192, 192, 96, 96), (5000, 3, 16, 16), (3, 5000, 17, 15),
    (4000, 1, 7, 1), (1, 4000, 1, 7), (15, 15, 16, 16), (31, 33, 48, 47), (65535, 1, 3, 1), (1, 65535, 1, 3),
    (65535, 1, 65534, 1), (1, 65535, 1, 65534), (65535, 1, 1, 1), (2, 2, 1000, 3), (2, 2, 3, 1000),
    (111, 1, 224, 1), (1, 111, 1, 224), (90, 90, 100, 100),
]
LIMITS = [4, 20, 70, 200, 400]


def pixels(rng, kind, height, width):
    if kind == 0:  # the largest sums
        return numpy.full((height, width, 3), 255, numpy.uint8)
    if kind == 1:  # the steepest edges
        return (rng.integers(0, 2, (height, width, 3)) * 255).astype(numpy.uint8)
    return rng.integers(0, 256, (height, width, 3), numpy.uint8)


def main():
    cases, seed = int(sys.argv[1]), int(sys.argv[2])
    sizes, rng = random.Random(seed), numpy.random.default_rng(seed)
    for case in range(cases):
        if case < len(FIXED):
            size = FIXED[case]
        else:
            size = [sizes.randint(1, sizes.choice(LIMITS)) for _ in range(4)]
        width, height, new_width, new_height = size
        source = pixels(rng, case % 8 if case >= len(FIXED) else 2, height, width)
        result = Image.fromarray(source).resize((new_width, new_height), Image.BILINEAR)
        for array in (numpy.array(size, "<u4"), source, numpy.asarray(result)):
            sys.stdout.buffer.write(array.tobytes())


main()
