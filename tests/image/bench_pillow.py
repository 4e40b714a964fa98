"""bench_pillow.py: bench_image's cases in Pillow and NumPy, one thread, in processor time.

Usage: bench_pillow.py [repeats]. Each line is the median of the repeats.
"""
import statistics
import sys
import time

import numpy
from PIL import Image

# name, width, height, new side, whether the notebook's normalization follows, images a repeat
CASES = [
    ("32x32 to 96x96", 32, 32, 96, False, 400),
    ("32x32 to 96x96 + normalize float32, as the notebook does", 32, 32, 96, True, 400),
    ("500x375 to 96x96", 500, 375, 96, False, 40),
    ("500x375 to 224x224", 500, 375, 224, False, 40),
    ("2000x1500 to 224x224", 2000, 1500, 224, False, 4),
    ("64x64 to 96x96", 64, 64, 96, False, 400),
]


def work(image, side, normalize):
    image = image.resize((side, side), Image.BILINEAR)
    if normalize:
        array = numpy.array(image, dtype="float32") / 255
        numpy.ascontiguousarray(((array - 0.5) / 0.5).transpose((2, 0, 1)))


for name, width, height, side, normalize, count in CASES:
    pixels = numpy.random.default_rng(0).integers(0, 256, (height, width, 3), numpy.uint8)
    picture = Image.fromarray(pixels)
    times = []
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 9):
        begin = time.thread_time()
        for _ in range(count):
            work(picture, side, normalize)
        times.append((time.thread_time() - begin) / count)
    median = statistics.median(times)
    print(f"{name:<58} Pillow {median * 1e6:10.2f} us {1 / median:10.0f} img/s")
