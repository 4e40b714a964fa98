"""oracle.py: what the oracle tests share: arguments, skipping, running rstream, data sets, safetensors and metrics files.

A test is a program: exit code 0 passed, 1 failed, 77 skipped. It is skipped where PyTorch, Pillow or NumPy are missing, unless the
environment says RS_REQUIRE_ORACLES=1: then it fails. Only NumPy, Pillow and PyTorch are used, so that a finding against rstream never
rests on rstream's own code: data sets, weights and expectations are made here.
"""
import argparse
import contextlib
import importlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

SKIPPED = 77
SOURCE_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def require(*modules):
    """Imports modules by name; without one the test is skipped, or fails where oracles are required."""
    found = []
    for name in modules:
        try:
            found.append(importlib.import_module(name))
        except ImportError as error:
            if os.environ.get("RS_REQUIRE_ORACLES") == "1":
                print(f"FAILED: RS_REQUIRE_ORACLES=1, but {error}")
                sys.exit(1)
            skip(f"{error}; tools/install-deps --oracles installs it")
    return found


def shared_folder():
    """The folder of shared test data, or None."""
    for path in (os.environ.get("RSTREAM_SHARED"), os.path.join(os.path.dirname(SOURCE_ROOT), "shared")):
        if path and os.path.isdir(path):
            return path
    return None


def arguments(description, *programs):
    """--rstream and what else is named in programs: paths of binaries. --sanitizer: "", "address,undefined" or "thread"."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for program in programs:
        parser.add_argument("--" + program.replace("_", "-"), required=True, help=f"path of the program {program}")
    parser.add_argument("--device", default="", help="what to test in place of the devices that every machine has: cuda")
    parser.add_argument("--sanitizer", default="", help="how the programs were built; the slow cases shrink")
    return parser.parse_args()


class Checks:
    """Counts findings instead of stopping at the first, so that one run shows them all."""

    def __init__(self):
        self.failed = 0
        self.passed = 0

    def check(self, condition, what):
        if condition:
            self.passed += 1
            print(f"ok      {what}")
        else:
            self.failed += 1
            print(f"FAILED  {what}")
        sys.stdout.flush()
        return bool(condition)

    def finish(self):
        """Ends the program. A run that checked nothing has failed."""
        print(f"{self.passed} checks passed, {self.failed} failed")
        sys.exit(1 if self.failed or not self.passed else 0)


@contextlib.contextmanager
def scratch_folder():
    path = tempfile.mkdtemp(prefix="rstream-oracle-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def run(command, timeout=300, **more):
    """Runs a command to its end; returns the CompletedProcess with text output. A command that takes longer is killed: an exception."""
    return subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=timeout, **more)


def run_well(command, timeout=300, **more):
    """As run, but a failing command ends the test with the command's own words."""
    done = run(command, timeout, **more)
    if done.returncode != 0:
        print(f"FAILED: exit code {done.returncode} of {' '.join(str(part) for part in command)}")
        print(done.stdout[-4000:] + done.stderr[-4000:])
        sys.exit(1)
    return done


# ---- data sets ----

def write_cifar10(folder, labels, pixels, test_labels, test_pixels):
    """CIFAR-10's binary layout: five files of len(labels)/5 records (label byte, 3072 bytes CHW), test_batch.bin, names of the classes.

    pixels: uint8 N,3,32,32."""
    import numpy as np
    os.makedirs(folder)
    if len(labels) % 5:
        raise ValueError("the number of training samples must divide by five")

    def write(name, some_labels, some_pixels):
        records = np.concatenate([some_labels.reshape(-1, 1).astype(np.uint8), some_pixels.reshape(len(some_labels), 3072)], axis=1)
        records.tofile(os.path.join(folder, name))

    part = len(labels) // 5
    for i in range(5):
        write(f"data_batch_{i + 1}.bin", labels[i * part:(i + 1) * part], pixels[i * part:(i + 1) * part])
    write("test_batch.bin", test_labels, test_pixels)
    with open(os.path.join(folder, "batches.meta.txt"), "w") as names:
        names.write("".join(f"class{i}\n" for i in range(10)))


def pictures(count, seed):
    """count labels and 32x32 pictures whose colour and texture depend on the label: learnable, with noise. uint8 N,3,32,32."""
    import numpy as np
    rng = np.random.RandomState(seed)
    labels = rng.randint(0, 10, count)
    y, x = np.mgrid[0:32, 0:32] / 31.0
    out = np.empty((count, 3, 32, 32), np.uint8)
    for i, label in enumerate(labels):
        wave = np.sin(2 * np.pi * ((label % 5 + 1) * x + (label // 5) * 3 * y + rng.rand()))
        for c in range(3):
            level = 60 + 130 * ((label * 7 + c * 3) % 10) / 9.0
            out[i, c] = np.clip(level + 45 * wave + rng.normal(0, 18, (32, 32)), 0, 255)
    return labels.astype(np.int64), out


def data_tf(image, size=96):
    """The notebook's transform: Pillow's bilinear resize, then (x / 255 - 0.5) / 0.5 in float32, channels first."""
    import numpy as np
    array = np.array(image.resize((size, size), 2), dtype="float32") / 255
    return ((array - 0.5) / 0.5).transpose((2, 0, 1))


def tensors_of(pixels, size):
    """data_tf of each of N,3,32,32 uint8 pictures: float32 N,3,size,size."""
    import numpy as np
    from PIL import Image
    return np.stack([data_tf(Image.fromarray(picture.transpose(1, 2, 0)), size) for picture in pixels])


# ---- files of rstream ----

_TYPES = {"F32": "<f4", "F64": "<f8", "I64": "<i8"}


def write_safetensors(path, tensors, metadata=None):
    """tensors: name -> NumPy array of float32 or int64; metadata: text -> text. Format: header length (8 bytes), JSON header, data."""
    import numpy as np
    header, blobs, offset = {"__metadata__": metadata} if metadata else {}, [], 0
    for name, array in tensors.items():
        kind = {"float32": "F32", "int64": "I64"}[str(array.dtype)]
        blob = np.ascontiguousarray(array).astype(_TYPES[kind]).tobytes()
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def read_safetensors(path):
    """name -> NumPy array, and the metadata. The layout is checked: data that overlaps, leaves gaps or ends elsewhere is an exception."""
    import numpy as np
    with open(path, "rb") as file:
        whole = file.read()
    length, = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8:8 + length])
    metadata = header.pop("__metadata__", {})
    data, tensors, spans = whole[8 + length:], {}, []
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        spans.append((begin, end))
        tensors[name] = np.frombuffer(data[begin:end], _TYPES[entry["dtype"]]).reshape(entry["shape"])
    position = 0
    for begin, end in sorted(spans):
        if begin != position:
            raise ValueError(f"{path}: tensor data begins at {begin}, expected {position}")
        position = end
    if position != len(data):
        raise ValueError(f"{path}: {len(data)} bytes of data, the header describes {position}")
    return tensors, metadata


def same_tensors(a, b):
    """The name of the first tensor whose bytes differ between two files, or None when all are the same bits."""
    first, second = read_safetensors(a)[0], read_safetensors(b)[0]
    for name in sorted(set(first) | set(second)):
        if name not in first or name not in second or first[name].tobytes() != second[name].tobytes():
            return name
    return None


def metrics(run_dir, event):
    """The objects of metrics.jsonl with this event, in order."""
    with open(os.path.join(run_dir, "metrics.jsonl")) as file:
        return [line for line in map(json.loads, file) if line["event"] == event]


def cpu_has_bf16():
    """Whether this machine multiplies bf16 natively, so that the two frameworks' bf16 can be compared in reasonable time."""
    try:
        with open("/proc/cpuinfo") as file:
            return "avx512_bf16" in file.read()
    except OSError:
        return False
