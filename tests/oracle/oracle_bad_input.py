#!/usr/bin/python3
"""oracle_bad_input: whatever is wrong with the input, rstream says which file, what is wrong with it and what would help, ends with exit
code 1 or 2, and loses nothing that was there before.

Files are made here: by Pillow, or byte by byte. As root, the cases about permissions run as nobody; the full disk is a small tmpfs in a
mount namespace of its own, and is left out where the system allows none.
"""
import os
import shutil
import struct
import subprocess
import zlib

import oracle

args = oracle.arguments(__doc__, "rstream")
np, Image = oracle.require("numpy", "PIL.Image")

SANITIZER_WORDS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:")
QUICK = ("--image-size", 80, "--batch-size", 4, "--eval-batch-size", 4, "--max-steps", 1, "--device", "cpu", "--threads", 1)
ROOT = os.geteuid() == 0


class Cases:
    """Runs rstream on something bad and looks at how it ends."""

    def __init__(self, checks, folder):
        self.checks, self.folder = checks, folder

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def refused(self, what, command, words, prefix=(), code=(1, 2)):
        """words: each must stand in what rstream says, in any case of letters; of a tuple, one of them."""
        done = oracle.run([*prefix, args.rstream, *command], timeout=120, cwd=self.folder)
        said = done.stdout + done.stderr
        lacking = [word for word in words
                   if not any(one.lower() in said.lower() for one in ((word,) if isinstance(word, str) else word))]
        problems = [f"it lacks {word!r}" for word in lacking]
        problems += [f"it has {word!r}" for word in SANITIZER_WORDS if word in said]
        if done.returncode not in code:
            problems.append(f"exit code {done.returncode}")
        self.checks.check(not problems, what + "".join(f"; {problem}" for problem in problems) +
                          (f"; it said: {said[-1500:]}" if problems else ""))
        return said

    def train_refused(self, what, data, words, *options, prefix=()):
        return self.refused(what, ["train", "--data", data, *QUICK, *options], words, prefix)


def png_of(width, height, rows, filler=b""):
    """A PNG file whose header may lie: width x height by its word, rows as its compressed data."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + filler +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def good_folder(root, extension="png", count=4):
    rng = np.random.RandomState(3)
    for label in ("cat", "dog"):
        os.makedirs(os.path.join(root, label))
        for i in range(count):
            Image.fromarray(rng.randint(0, 256, (40, 40, 3)).astype(np.uint8)).save(os.path.join(root, label, f"{i}.{extension}"))
    return root


def folders(cases):
    cases.train_refused("no such folder", cases.path("nowhere"), [cases.path("nowhere")])
    empty = cases.path("empty")
    os.makedirs(empty)
    cases.train_refused("an empty folder", empty, [empty])
    texts = cases.path("texts")
    for label in ("a", "b"):
        os.makedirs(os.path.join(texts, label))
        with open(os.path.join(texts, label, "notes.txt"), "w") as file:
            file.write("no picture")
    cases.train_refused("a folder without pictures", texts, [texts, ("png", "image")])
    single = good_folder(cases.path("single"))
    shutil.rmtree(os.path.join(single, "dog"))
    cases.train_refused("one class only", single, [single, "class"])
    plain = cases.path("plain-file")
    with open(plain, "w") as file:
        file.write("x")
    cases.train_refused("a file for a folder", plain, [plain])


def cifar_files(cases):
    labels, pixels = oracle.pictures(20, seed=41)

    def data(name, break_file):
        folder = cases.path(name)
        oracle.write_cifar10(folder, labels, pixels, labels, pixels)
        path = os.path.join(folder, "data_batch_2.bin")
        break_file(path)
        return folder, path

    folder, path = data("cut", lambda path: os.truncate(path, 3073 * 3 + 100))
    cases.train_refused("a CIFAR file of no whole records", folder, [path, "3073"])

    def write_label(path):
        with open(path, "r+b") as file:
            file.seek(3073 * 2)
            file.write(b"\xc8")
    folder, path = data("label", write_label)
    cases.train_refused("a CIFAR label out of range", folder, [path, "6146", "200"], "--epochs", 1, "--max-steps", 5)
    folder, path = data("emptied", lambda path: os.truncate(path, 0))
    cases.train_refused("an empty CIFAR file", folder, [path])


def pictures(cases):
    def spoiled(name, extension, spoil):
        folder = good_folder(cases.path(name), extension)
        path = os.path.join(folder, "dog", f"2.{extension}")
        with open(path, "rb") as file:
            whole = file.read()
        with open(path, "wb") as file:
            file.write(spoil(whole))
        return folder, path

    rows = b"".join(b"\0" + bytes(40 * 3) for _ in range(40))
    for what, extension, spoil, words in (
            ("a truncated PNG", "png", lambda whole: whole[:len(whole) // 2], []),
            ("a PNG with a wrong checksum", "png", lambda whole: whole[:60] + bytes([whole[60] ^ 255]) + whole[61:], []),
            ("a PNG that promises more rows than it has", "png", lambda whole: png_of(40, 4000, rows), []),
            ("a PNG of no size", "png", lambda whole: png_of(0, 40, rows), []),
            ("an empty PNG", "png", lambda whole: b"", []),
            ("a text called PNG", "png", lambda whole: b"this is no picture, whatever its name says", []),
            ("a decompression bomb", "png", lambda whole: png_of(60000, 60000, bytes(1000)), ["--max-pixels"]),
            ("a truncated JPEG", "jpg", lambda whole: whole[:len(whole) // 2], []),
            ("a JPEG of headers only", "jpg", lambda whole: whole[:30], []),
            ("a text called JPEG", "jpg", lambda whole: b"this is no picture, whatever its name says", [])):
        folder, path = spoiled(what.replace(" ", "-"), extension, spoil)
        cases.train_refused(what, folder, [path, *words], "--epochs", 1, "--max-steps", 2)
    large = good_folder(cases.path("large"))
    cases.train_refused("pictures over --max-pixels", large, [large, "--max-pixels"], "--max-pixels", 1000)
    weights = cases.path("weights.safetensors")
    cases.refused("predict on a text", ["predict", "--weights", weights, cases.path("texts", "a", "notes.txt")],
                  [cases.path("texts", "a", "notes.txt")])
    cases.refused("predict on nothing", ["predict", "--weights", weights, cases.path("no.png")], [cases.path("no.png")])


def permissions(cases):
    as_nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups") if ROOT else ()
    if ROOT and not shutil.which("setpriv"):
        print("left out: permissions (root, and no setpriv)")
        return
    secret = good_folder(cases.path("secret"))
    path = os.path.join(secret, "cat", "1.png")
    os.chmod(path, 0)
    anyones = cases.path("anyones")
    os.makedirs(anyones)
    os.chmod(anyones, 0o777)
    cases.train_refused("a file without read permission", secret, [path, "permission"], "--max-steps", 2,
                        "--out", os.path.join(anyones, "run"), prefix=as_nobody)
    os.chmod(path, 0o644)
    closed = cases.path("closed")
    os.makedirs(closed)
    os.chmod(closed, 0o555)
    out = os.path.join(closed, "run")
    said = cases.train_refused("an output folder that can't be made", secret, [out, "permission"], "--out", out, prefix=as_nobody)
    cases.checks.check("Epoch 0" not in said, "an output folder that can't be made: found before the first step")
    existing = cases.path("closed-run")
    os.makedirs(existing)
    os.chmod(existing, 0o555)
    cases.train_refused("an output folder that can't be written", secret, [existing, "permission"], "--out", existing,
                        prefix=as_nobody)


def output(cases, data):
    out = cases.path("plain-file", "run")
    cases.train_refused("an output folder below a file", data, [out], "--out", out)
    cases.train_refused("going on with nothing", data, [cases.path("empty")], "--resume", cases.path("empty"))


def full_disk(cases, data):
    """A tmpfs too small for a run's files; and one that is full when a run is gone on with: what it had before is still there, whole."""
    disk, kept = cases.path("disk"), cases.path("kept")
    os.makedirs(disk)
    os.makedirs(kept)
    namespace = ["unshare", "--mount"] if ROOT else ["unshare", "--map-root-user", "--mount"]

    def mount(size):
        return f"mount -t tmpfs -o size={size}m tmpfs {disk}"

    if not shutil.which("unshare") or subprocess.run([*namespace, "sh", "-c", mount(1)], stderr=subprocess.DEVNULL).returncode:
        print("left out: a full disk (no mount namespace may be made here)")
        return
    run = os.path.join(disk, "run")
    train = ["train", "--data", data, *QUICK]
    cases.refused("a disk too small for a run", [*train, "--out", run], [run, "space"],
                  prefix=[*namespace, "sh", "-c", f'{mount(70)} && "$@"', "sh"])
    # The namespace goes with its last process; what lies on the disk is copied out before.
    first = " ".join(map(str, [args.rstream, *train, "--out", run]))
    script = (f'{mount(600)} && {first} >&2 && cp {run}/last.safetensors {kept}/before && '
              f'{{ head -c 1G /dev/zero >{disk}/filler 2>/dev/null; "$@"; code=$?; '
              f'cp {run}/last.safetensors {kept}/last && cp {run}/resume.safetensors {kept}/resume && exit $code; }}')
    cases.refused("a full disk", ["train", "--data", data, "--resume", run, "--epochs", 2, "--max-steps", 4], [run, "space"],
                  prefix=[*namespace, "sh", "-c", script, "sh"])
    try:
        oracle.read_safetensors(os.path.join(kept, "resume"))
        whole = oracle.same_tensors(os.path.join(kept, "before"), os.path.join(kept, "last")) is None
    except (OSError, ValueError, KeyError, struct.error) as error:
        print(error)
        whole = False
    cases.checks.check(whole, "a full disk: the weights and the checkpoint of the run before are still there, whole")


def weights(cases, data):
    """Weights files of every wrong kind, through --init and eval."""
    path = cases.path("weights.safetensors")
    out = cases.path("good-run")
    oracle.run_well([args.rstream, "train", "--data", data, *QUICK, "--out", out])
    shutil.copy(os.path.join(out, "last.safetensors"), path)
    tensors = dict(oracle.read_safetensors(path)[0])

    def spoiled(name, spoil):
        some = dict(tensors)
        spoil(some)
        file = cases.path(name + ".safetensors")
        oracle.write_safetensors(file, some)
        return file

    name = "block3.0.conv3.weight"
    file = spoiled("shape", lambda some: some.update({name: np.zeros((7, 64, 1, 1), np.float32)}))
    cases.train_refused("weights of another shape", data, [file, name], "--init", file)
    cases.refused("eval with weights of another shape", ["eval", "--data", data, "--weights", file], [file, name])
    file = spoiled("lacking", lambda some: some.pop(name))
    cases.train_refused("weights that lack a tensor", data, [file, name], "--init", file)
    file = spoiled("unknown", lambda some: some.update({"block9.weight": np.zeros(3, np.float32)}))
    cases.train_refused("weights with an unknown tensor", data, [file, "block9.weight"], "--init", file)
    file = spoiled("classes", lambda some: some.update({"classifier.weight": np.zeros((7, 512), np.float32),
                                                        "classifier.bias": np.zeros(7, np.float32)}))
    cases.train_refused("weights of another number of classes", data, [file, "classifier"], "--init", file)
    with open(path, "rb") as whole:
        content = whole.read()
    for what, spoil in (("cut weights", content[:len(content) // 2]), ("weights of 5 bytes", content[:5]), ("empty weights", b""),
                        ("weights with a header of 2^62 bytes", struct.pack("<Q", 2**62) + content[8:]),
                        ("weights with a header that is no JSON", content[:8] + b"x" * 64 + content[72:])):
        file = cases.path(what.replace(" ", "-") + ".safetensors")
        with open(file, "wb") as broken:
            broken.write(spoil)
        cases.train_refused(what, data, [file], "--init", file)
    cases.train_refused("weights that aren't there", data, [cases.path("none.safetensors")], "--init", cases.path("none.safetensors"))

    # The run that is there keeps what it has when a later one into the same folder is refused.
    before = content
    cases.refused("a run gone on with, without its data", ["train", "--data", cases.path("nowhere"), "--resume", out],
                  [cases.path("nowhere")])
    with open(os.path.join(out, "last.safetensors"), "rb") as after:
        cases.checks.check(after.read() == before, "a refused run leaves the weights of the one before")


def options(cases, data):
    cases.refused("an unknown option", ["train", "--data", data, "--bach-size", 4], ["--bach-size", "--batch-size"], code=(2,))
    cases.refused("an unknown command", ["trian"], ["trian", "train"], code=(2,))
    cases.refused("no data", ["train"], ["--data"], code=(2,))
    cases.refused("a number out of range", ["train", "--data", data, "--prefetch", 65], ["--prefetch", "64"], code=(2,))
    cases.refused("a number that is none", ["train", "--data", data, "--epochs", "many"], ["--epochs", "many"], code=(2,))
    cases.refused("a contradiction", ["train", "--data", data, "--optimizer", "adam", "--momentum", "0.9"], ["momentum", "sgd"], code=(2,))
    cases.refused("pictures too small for the network", ["train", "--data", data, "--image-size", 40], ["75"])
    # Logits beyond a float's range: the loss of step 1 is no number.
    tensors = dict(oracle.read_safetensors(cases.path("weights.safetensors"))[0])
    tensors["classifier.weight"] = np.full_like(tensors["classifier.weight"], 3e38)
    file = cases.path("huge.safetensors")
    oracle.write_safetensors(file, tensors)
    cases.train_refused("a loss that is not finite", data, ["finite", "step", ("learning rate", "lr")], "--init", file)


def main():
    checks = oracle.Checks()
    with oracle.scratch_folder() as scratch:
        os.chmod(scratch, 0o755)  # nobody must get in
        cases = Cases(checks, scratch)
        data = good_folder(os.path.join(scratch, "good"))
        folders(cases)
        weights(cases, data)
        cifar_files(cases)
        pictures(cases)
        permissions(cases)
        output(cases, data)
        full_disk(cases, data)
        options(cases, data)
    checks.finish()


main()
