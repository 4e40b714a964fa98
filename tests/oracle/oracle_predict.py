#!/usr/bin/python3
"""oracle_predict: every line, class and probability that `rstream predict` prints, compared with PyTorch's float64.

For PNG and JPEG files of all kinds and many sizes in one command: one line per file, in the order of the command line; the classes by
falling probability, the first class where they are equal; as many as --top says, or all of them; names from --data, else from the
weights, else numbers.
"""
import os
import re

import oracle

args = oracle.arguments(__doc__, "rstream")
np, torch, Image = oracle.require("numpy", "torch", "PIL.Image")
import image_files  # noqa: E402 - needs Pillow
import results_case  # noqa: E402 - needs torch

SIZE, STORED_SIZE = 75, 77
CLASSES = 10
NAMES = ["cat", "a name of words", "dog", "Zebra", "0", "0.5", "ébène", "x" * 60, "a-b_c", "last"]
# The ref backend takes minutes when sanitized; its own tests run it so.
DEVICES = (args.device,) if args.device else ("cpu",) if args.sanitizer else ("cpu", "ref")


def write_files(folder):
    """Files of every kind; their names sort otherwise than they are listed."""
    rng = np.random.RandomState(5)
    sizes = [(32, 32), (1, 1), (97, 41), (75, 75), (200, 131), (7, 300), (64, 48), (33, 90), (120, 120), (16, 9), (50, 51), (81, 80)]
    kinds = [(image_files.save_png, kind, "png") for kind in image_files.PNG_KINDS]
    kinds += [(image_files.save_jpeg, kind, "jpeg") for kind in image_files.JPEG_KINDS]
    paths = []
    for number, ((save, kind, extension), (width, height)) in enumerate(zip(kinds, sizes)):
        paths.append(os.path.join(folder, f"picture {number * 7 % 12}: a, b 0.5.{extension}"))
        save(Image.fromarray(image_files.scene(rng, width, height)), kind, paths[-1])
    return paths


def predict(weights, paths, *options, code=0):
    """The lines of standard output as (path, [(name, probability as text)]), and standard error."""
    done = oracle.run([args.rstream, "predict", "--weights", weights, "--threads", 1, *options, *paths])
    if done.returncode != code:
        raise SystemExit(f"FAILED: exit code {done.returncode}, expected {code}: {done.stderr}")
    lines = []
    for line in done.stdout.splitlines():
        path = next((path for path in paths if line.startswith(path + ": ")), None)
        if path is None:
            raise SystemExit(f"FAILED: a line of no file: {line}")
        fields = re.findall(r"(.+?) (\d\.\d{4})(?:, |$)", line[len(path) + 2:])
        if ", ".join(" ".join(field) for field in fields) != line[len(path) + 2:]:
            raise SystemExit(f"FAILED: not names and probabilities: {line}")
        lines.append((path, fields))
    return lines, done.stderr


def fault_of_line(fields, names, top, expected, i):
    """What is wrong with the classes of picture i, or None."""
    if len(fields) != min(top, len(names)):
        return f"{len(fields)} classes"
    if any(name not in names for name, _ in fields):
        return "an unknown name"
    order = [names.index(name) for name, _ in fields]
    logits, probabilities = expected.logits[i], expected.probabilities[i]
    for place, (k, (_, printed)) in enumerate(zip(order, fields)):
        if abs(float(printed) - probabilities[k]) > expected.probability_allowed + 0.5001e-4:  # printed with four digits
            return f"{names[k]} {printed}, PyTorch's {probabilities[k]:.6f}"
        for later in [*order[place + 1:], *(c for c in range(len(names)) if c not in order)]:
            if logits[later] > logits[k] + 2 * expected.allowed or (logits[later] == logits[k] and later <= k):
                return f"{names[k]} before {names[later]}"
    return None


def check_lines(checks, what, lines, paths, names, top, expected):
    checks.check([path for path, _ in lines] == paths, f"{what}: {len(paths)} lines in the order of the files")
    faults = [f"{os.path.basename(path)}: {fault}" for i, (path, fields) in enumerate(lines)
              for fault in [fault_of_line(fields, names, top, expected, i)] if fault]
    checks.check(not faults, f"{what}: classes, their order and their probabilities" + (f"; {faults[:3]}" if faults else ""))
    if top >= len(names):
        sums = [sum(float(printed) for _, printed in fields) for _, fields in lines]
        checks.check(max(abs(s - 1) for s in sums) <= len(names) * 0.5001e-4, f"{what}: all classes' probabilities add up to 1")


class Case:
    """Files, a network, and the files' features at one size."""

    def __init__(self, paths, size):
        tensors = image_files.tensors_of_files(paths, size)
        self.bf16 = not args.device and oracle.cpu_has_bf16() and not args.sanitizer
        self.trunk = results_case.Trunk(23, tensors)
        self.features = self.trunk.features(tensors, self.bf16)
        self.wanted = np.array([3, 9, 0, 0, 7, 2, 5, 1, 8, 4, 3, 6])
        self.classifier = results_case.fit_classifier(self.features, self.wanted, CLASSES, 7)


def check_devices_and_top(checks, scratch, case, paths):
    numbers = [str(i) for i in range(CLASSES)]
    weights = results_case.write_weights(os.path.join(scratch, "plain.safetensors"), case.trunk, case.classifier)
    for device in DEVICES:
        for top in (1, 3, 7, CLASSES, CLASSES + 1, 1000):
            options = ("--device", device, "--image-size", SIZE, *(() if top == 3 else ("--top", top)))  # 3 is the default
            which = slice(None) if top in (3, CLASSES) else slice(4)
            part = results_case.Expected(case.features.of(np.arange(len(paths))[which]), case.classifier)
            lines, _ = predict(weights, paths[which], *options)
            check_lines(checks, f"{device}, {top} of {CLASSES} classes", lines, paths[which], numbers, top, part)
    if case.bf16:
        rounded = results_case.Expected(case.features, case.classifier, bf16=True)
        lines, _ = predict(weights, paths, "--device", "cpu", "--image-size", SIZE, "--precision", "bf16", "--top", CLASSES)
        check_lines(checks, "cpu bf16", lines, paths, numbers, CLASSES, rounded)


def check_ties(checks, scratch, case, paths):
    numbers = [str(i) for i in range(CLASSES)]
    weight, bias = (part.copy() for part in case.classifier)
    for later, first in ((3, 0), (9, 8)):
        weight[later], bias[later] = weight[first], bias[first]
    cases = (("pairs of equal classes", (weight, bias)), ("all classes equal", (np.zeros_like(weight), np.zeros_like(bias))))
    for what, classifier in cases:
        path = results_case.write_weights(os.path.join(scratch, "ties.safetensors"), case.trunk, classifier)
        for device in DEVICES:
            lines, _ = predict(path, paths, "--device", device, "--image-size", SIZE, "--top", CLASSES)
            check_lines(checks, f"{device}, {what}", lines, paths, numbers, CLASSES, results_case.Expected(case.features, classifier))


def check_names(checks, scratch, case, paths):
    """Names of --data come first, then the weights' own, then numbers; the order is that of the classes' indices."""
    expected = results_case.Expected(case.features, case.classifier)
    weights = results_case.write_weights(os.path.join(scratch, "named.safetensors"), case.trunk, case.classifier,
                                         {"classes": "\n".join(NAMES), "image_size": str(SIZE)})
    data, folder_names = os.path.join(scratch, "data"), [f"class {chr(ord('A') + i)}" for i in range(CLASSES)]
    for name in reversed(folder_names):
        os.makedirs(os.path.join(data, "train", name))
        Image.new("RGB", (8, 8)).save(os.path.join(data, "train", name, "1.png"))
    for what, names, options in (("the weights' names and size", NAMES, ()), ("the folder's names", folder_names, ("--data", data))):
        lines, _ = predict(weights, paths, "--device", DEVICES[0], "--top", CLASSES, *options)
        check_lines(checks, what, lines, paths, names, CLASSES, expected)


def check_stored_size(checks, scratch, paths):
    """Weights of another size than the default: it is taken from them. The same file may be named twice."""
    some = [paths[4], paths[8], paths[2], paths[4]]
    case = Case(paths, STORED_SIZE)
    weights = results_case.write_weights(os.path.join(scratch, "stored.safetensors"), case.trunk, case.classifier,
                                         {"image_size": str(STORED_SIZE)})
    lines, _ = predict(weights, some, "--device", DEVICES[0])
    check_lines(checks, f"the stored size {STORED_SIZE}", lines, some, [str(i) for i in range(CLASSES)], 3,
                results_case.Expected(case.features.of([4, 8, 2, 4]), case.classifier))


def check_bad_file(checks, scratch, case, paths):
    """A file that can't be read is named on standard error; the others have their lines; the command fails at the end."""
    weights = os.path.join(scratch, "plain.safetensors")
    missing = os.path.join(scratch, "missing.png")
    some = [paths[0], missing, paths[5]]
    lines, said = predict(weights, some, "--device", DEVICES[0], "--image-size", SIZE, code=1)
    check_lines(checks, "a missing file between two", lines, [paths[0], paths[5]], [str(i) for i in range(CLASSES)], 3,
                results_case.Expected(case.features.of([0, 5]), case.classifier))
    checks.check(missing in said and "1 of 3 images failed" in said, "a missing file between two: it is named, and counted")


def main():
    torch.set_num_threads(min(2, os.cpu_count()))
    checks = oracle.Checks()
    with oracle.scratch_folder() as scratch:
        paths = write_files(scratch)
        case = Case(paths, SIZE)
        check_devices_and_top(checks, scratch, case, paths)
        check_ties(checks, scratch, case, paths)
        check_names(checks, scratch, case, paths)
        check_stored_size(checks, scratch, paths)
        check_bad_file(checks, scratch, case, paths)
    checks.finish()


main()
