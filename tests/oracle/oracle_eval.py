#!/usr/bin/python3
"""oracle_eval: every number that `rstream eval` prints, compared with PyTorch's float64 on the same weights.

Loss, accuracy, images and accuracy of each class, the class it is most often taken for, and each cell of the confusion matrix: on CIFAR
files and image folders, with short last batches, batches larger than the set, classes without an image, equal logits, both device
kinds, bf16, and several placements of the pipeline. The splits differ in size, labels and pictures, so that the wrong one shows.
"""
import os
import re

import oracle

args = oracle.arguments(__doc__, "rstream")
np, torch, Image = oracle.require("numpy", "torch", "PIL.Image")
import results_case  # noqa: E402 - needs torch

SIZE = 75
TRAIN, TEST = 30, 37
# The ref backend takes minutes when sanitized; its own tests run it so.
DEVICES = (args.device,) if args.device else ("cpu",) if args.sanitizer else ("cpu", "ref")
NAME_WIDTH, COLUMN_WIDTH = 16, 8


# ---- what eval prints ----

class Seen:
    """The output of eval as numbers. An output of another form is an exception."""

    def __init__(self, text):
        lines = text.split("\n")
        first = re.fullmatch(r"Loss: (-?\d+\.\d{6}), Acc: (\d\.\d{6}), (\d+) images of (\d+) x (\d+) in \d+\.\d s \(\d+ img/s\)",
                             lines[0])
        self.loss, self.accuracy, self.images = float(first[1]), float(first[2]), int(first[3])
        self.size = (int(first[4]), int(first[5]))
        if lines[1] or not re.fullmatch(r"class +images +accuracy +most often taken for", lines[2]):
            raise ValueError(f"no table of classes: {lines[1:3]}")
        end = lines.index("", 3)
        self.classes = [self._class(line) for line in lines[3:end]]
        self.note = lines[end + 1]
        rest = lines[end + 2:-1]
        self.columns, self.rows = None, []
        if self.note.startswith("Confusion matrix:"):
            self.columns = self._fields(rest[0])[1]
            self.rows = [self._fields(line) for line in rest[1:]]
        elif rest:
            raise ValueError(f"lines without a matrix: {rest}")

    @staticmethod
    def _class(line):
        found = re.fullmatch(r" +(\d+) +(-|\d\.\d{4})(?:  (.*) \((\d+)\))?", line[NAME_WIDTH:])
        return (line[:NAME_WIDTH].rstrip(), int(found[1]), found[2], (found[3], int(found[4])) if found[3] is not None else None)

    @staticmethod
    def _fields(line):
        """The name in front and the columns of COLUMN_WIDTH behind a blank each."""
        step = COLUMN_WIDTH + 1
        return line[:NAME_WIDTH].rstrip(), [line[at:at + step].strip() for at in range(NAME_WIDTH, len(line), step)]

    def matrix(self):
        return np.array([[int(cell) for cell in cells] for _, cells in self.rows])


def shown(name, width):
    """A name in a column: as it is, or cut with an ellipsis."""
    return name if len(name) <= width else name[:width - 1] + "…"


def without_times(text):
    return re.sub(r" in .*", "", text.split("\n")[0]) + "\n" + text.split("\n", 1)[1]


# ---- comparing ----

def expected_class(names, matrix, label):
    """A line of the table: name, images, accuracy as printed, the class it is most often taken for (the first of equals) or None."""
    row = matrix[label].copy()
    images, hits = row.sum(), row[label]
    row[label] = 0
    worst = (names[row.argmax()], row.max()) if row.max() else None
    return shown(names[label], NAME_WIDTH), images, f"{hits / images:.4f}" if images else "-", worst


def check_tables(checks, what, seen, names, matrix):
    classes = [expected_class(names, matrix, label) for label in range(len(names))]
    wrong = [(ours, theirs) for ours, theirs in zip(seen.classes, classes) if ours != theirs]
    checks.check(len(seen.classes) == len(classes) and not wrong,
                 f"{what}: images, accuracy and first confusion of {len(classes)} classes" + (f"; not {wrong[:3]}" if wrong else ""))
    if len(names) > 20:
        checks.check(seen.columns is None and "20 classes" in seen.note, f"{what}: no matrix for {len(names)} classes: {seen.note}")
        return
    checks.check(seen.columns == [shown(name, COLUMN_WIDTH) for name in names] and
                 [name for name, _ in seen.rows] == [shown(name, NAME_WIDTH) for name in names], f"{what}: the matrix's rows and columns")
    same = np.array_equal(seen.matrix(), matrix)
    checks.check(same, f"{what}: {matrix.size} cells" + ("" if same else f"; seen\n{seen.matrix()}\nexpected\n{matrix}"))


def check_eval(checks, what, seen, names, labels, expected):
    """seen: a Seen; expected: a results_case.Expected of the pictures whose labels are given."""
    matrix = expected.confusion(labels)
    checks.check(expected.certain(),
                 f"{what}: no rounding changes a prediction: margin {expected.margin():.2g}, logits within {expected.allowed:.1e}")
    loss, allowed = expected.loss(labels)
    allowed += 0.5e-6  # printed with 6 digits
    checks.check(abs(seen.loss - loss) <= allowed, f"{what}: loss {seen.loss:.6f}, PyTorch's {loss:.6f}, allowed {allowed:.1e}")
    accuracy = np.trace(matrix) / len(labels)
    checks.check(abs(seen.accuracy - accuracy) <= 1e-6, f"{what}: accuracy {seen.accuracy:.6f}, PyTorch's {accuracy:.6f}")
    checks.check(seen.images == len(labels) and seen.size == (SIZE, SIZE),
                 f"{what}: {len(labels)} images of {SIZE} x {SIZE}, seen {seen.images} of {seen.size}")
    check_tables(checks, what, seen, names, matrix)


def evaluate(data, weights, *options):
    done = oracle.run_well([args.rstream, "eval", "--data", data, "--weights", weights, "--threads", 2, *options])
    return done.stdout


# ---- the cases ----

class Pictures:
    """Pictures with labels, a chosen prediction each, and their features. The first TRAIN are the training split."""

    def __init__(self):
        rng = np.random.RandomState(8)
        _, self.pixels = oracle.pictures(TRAIN + TEST, 41)
        self.bf16 = not args.device and oracle.cpu_has_bf16() and not args.sanitizer
        tensors = oracle.tensors_of(self.pixels, SIZE)
        self.trunk = results_case.Trunk(17, tensors)
        self.features = self.trunk.features(tensors, self.bf16)
        # Classes 4 and 7 have no test picture, class 9 no training picture. Labels are unbalanced, and so are errors.
        self.labels = np.concatenate([rng.choice(9, TRAIN), rng.choice(10, TEST, p=(.3, .1, .1, .1, 0, .05, .05, 0, .2, .1))])
        wrong = (self.labels + rng.choice((1, 1, 1, 3, 5), len(self.labels))) % 10
        self.wanted = np.where(rng.rand(len(self.labels)) < 0.55, self.labels, wrong)
        self.train, self.test = np.arange(TRAIN), np.arange(TRAIN, TRAIN + TEST)

    def write_cifar10(self, folder):
        oracle.write_cifar10(folder, self.labels[self.train], self.pixels[self.train], self.labels[self.test], self.pixels[self.test])
        return folder

    def save(self, path, index):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Image.fromarray(self.pixels[index].transpose(1, 2, 0)).save(path)


def check_batches(checks, scratch, pictures):
    """One set of weights on the test split: batch sizes, placements, devices, precisions."""
    data = pictures.write_cifar10(os.path.join(scratch, "cifar10"))
    names = [f"class{i}" for i in range(10)]
    labels, features = pictures.labels[pictures.test], pictures.features.of(pictures.test)
    classifier = results_case.fit_classifier(pictures.features, pictures.wanted, 10, 1)
    expected = results_case.Expected(features, classifier)
    matrix = expected.confusion(labels)
    checks.check(np.array_equal(expected.predicted, pictures.wanted[pictures.test]) and not np.array_equal(matrix, matrix.T) and
                 not matrix[4].any() and not matrix[7].any(), "the weights predict what was chosen; the matrix isn't its transpose")

    # The names of the classes are the folder's, not those that the weights were trained on; the size is the weights'.
    weights = results_case.write_weights(os.path.join(scratch, "weights.safetensors"), pictures.trunk, classifier,
                                         {"image_size": str(SIZE), "classes": "\n".join(f"other{i}" for i in range(10))})
    cases = [("cpu", ("--eval-batch-size", 8)), ("cpu", ("--eval-batch-size", TEST)), ("cpu", ("--eval-batch-size", 64)),
             ("cpu", ("--eval-batch-size", TEST - 1, "--threads", 1)),
             ("cpu", ("--eval-batch-size", 1, "--workers", 1, "--prefetch", 1, "--fuse", "none")),
             ("cpu", ("--eval-batch-size", 7, "--workers", 2, "--prefetch", 2, "--fuse", "none")),
             ("cpu", ("--eval-batch-size", 9, "--workers", 2, "--prefetch", 5)), ("ref", ("--eval-batch-size", 8))]
    for device, options in cases[:3] if args.sanitizer else cases:
        device = args.device or device
        seen = Seen(evaluate(data, weights, "--device", device, *options))
        check_eval(checks, f"{device} {' '.join(map(str, options))}", seen, names, labels, expected)
    if pictures.bf16:
        rounded = results_case.Expected(features, classifier, bf16=True)
        for batch in (8, 64):
            seen = Seen(evaluate(data, weights, "--device", "cpu", "--precision", "bf16", "--eval-batch-size", batch))
            check_eval(checks, f"cpu bf16 --eval-batch-size {batch}", seen, names, labels, rounded)
    else:
        print("left out: bf16 (no native bf16 on this machine, another device, or a sanitized build)")

    other = results_case.write_weights(os.path.join(scratch, "other-size.safetensors"), pictures.trunk, classifier, {"image_size": "96"})
    given = evaluate(data, other, "--device", DEVICES[0], "--image-size", SIZE)
    checks.check(without_times(given) == without_times(evaluate(data, weights, "--device", DEVICES[0])),
                 "--image-size comes before the size stored with the weights")


def check_ties(checks, scratch, pictures):
    """Equal logits: the first class wins, in the accuracy and in the matrix."""
    data, names = os.path.join(scratch, "cifar10"), [f"class{i}" for i in range(10)]
    labels, features = pictures.labels[pictures.test], pictures.features.of(pictures.test)
    pairs = {3: 1, 9: 0}
    wanted = np.array([pairs.get(wish, wish) for wish in pictures.wanted])
    weight, bias = results_case.fit_classifier(pictures.features, wanted, 10, 2)
    for later, first in pairs.items():
        weight[later], bias[later] = weight[first], bias[first]
    cases = (("pairs of equal classes", (weight, bias)),
             ("all classes equal", (np.zeros_like(weight), np.zeros_like(bias))))
    for what, classifier in cases:
        path = results_case.write_weights(os.path.join(scratch, "ties.safetensors"), pictures.trunk, classifier)
        runs = [(device, "fp32") for device in DEVICES] + ([("cpu", "bf16")] if pictures.bf16 else [])
        for device, precision in runs:
            expected = results_case.Expected(features, classifier, precision == "bf16")
            predicted = set(expected.predicted)
            checks.check(predicted & set(pairs.values()) and not predicted & set(pairs), f"{what}: some pictures are tied")
            seen = Seen(evaluate(data, path, "--device", device, "--precision", precision, "--image-size", SIZE, "--eval-batch-size", 20))
            check_eval(checks, f"{device} {precision}, {what}", seen, names, labels, expected)


def check_training_files(checks, scratch, pictures):
    """CIFAR files without a test file: eval measures the training files."""
    folder = pictures.write_cifar10(os.path.join(scratch, "train-only"))
    os.remove(os.path.join(folder, "test_batch.bin"))
    os.remove(os.path.join(folder, "batches.meta.txt"))
    classifier = results_case.fit_classifier(pictures.features, pictures.wanted, 10, 3)
    path = results_case.write_weights(os.path.join(scratch, "train-only.safetensors"), pictures.trunk, classifier)
    seen = Seen(evaluate(folder, path, "--device", DEVICES[0], "--image-size", SIZE, "--eval-batch-size", 4))
    check_eval(checks, "CIFAR files without test_batch.bin or names", seen, [str(i) for i in range(10)], pictures.labels[pictures.train],
               results_case.Expected(pictures.features.of(pictures.train), classifier))


def check_hundred_classes(checks, scratch, pictures):
    """CIFAR-100's files: the label is the record's second byte; too many classes for a matrix."""
    folder = os.path.join(scratch, "cifar100")
    os.makedirs(folder)
    rng = np.random.RandomState(9)
    labels = rng.choice((0, 20, 57, 98, 99), TRAIN + TEST)
    wanted = np.where(rng.rand(len(labels)) < 0.4, labels, rng.choice(100, len(labels)))
    for name, part in (("train.bin", pictures.train), ("test.bin", pictures.test)):
        records = np.concatenate([labels[part, None] // 5, labels[part, None], pictures.pixels[part].reshape(-1, 3072)], axis=1)
        records.astype(np.uint8).tofile(os.path.join(folder, name))
    names = [f"fine-{i}" for i in range(100)]
    with open(os.path.join(folder, "fine_label_names.txt"), "w") as file:
        file.write("\n".join(names) + "\n")
    classifier = results_case.fit_classifier(pictures.features, wanted, 100, 4)
    path = results_case.write_weights(os.path.join(scratch, "hundred.safetensors"), pictures.trunk, classifier)
    seen = Seen(evaluate(folder, path, "--device", DEVICES[0], "--image-size", SIZE, "--eval-batch-size", 16))
    check_eval(checks, "CIFAR-100", seen, names, labels[pictures.test],
               results_case.Expected(pictures.features.of(pictures.test), classifier))


def check_twenty_classes(checks, scratch, pictures):
    """As many classes as a matrix is printed for, one picture each; classes are in the order of their names' bytes."""
    names = sorted([f"c{i}" for i in range(17)] + ["Zebra", "a name that is too long for its column", "ébène"],
                   key=lambda name: name.encode())
    root = os.path.join(scratch, "twenty")
    for label, name in enumerate(names):
        pictures.save(os.path.join(root, name, "picture.png"), label)
    wanted = np.where(np.arange(20) % 3, np.arange(20), (np.arange(20) * 7 + 3) % 20)
    features = pictures.features.of(np.arange(20))
    classifier = results_case.fit_classifier(features, wanted, 20, 5)
    path = results_case.write_weights(os.path.join(scratch, "twenty.safetensors"), pictures.trunk, classifier)
    seen = Seen(evaluate(root, path, "--device", DEVICES[0], "--image-size", SIZE, "--eval-batch-size", 6))
    check_eval(checks, "a folder of 20 classes", seen, names, np.arange(20), results_case.Expected(features, classifier))


def check_folder_splits(checks, scratch, pictures):
    """Which folder is measured: val/, valid/, validation/ or test/, in this order, else train/, else the folder itself."""
    rng = np.random.RandomState(10)
    names = ["Beta", "alpha", "gamma"]
    root = os.path.join(scratch, "splits")
    labels = rng.choice(3, TRAIN + TEST, p=(.6, .25, .15))
    labels[[0, 1, 2, 20, 21, 22, 30, 31, 32, 45, 46, 47]] = [0, 1, 2] * 4  # every class in every split
    splits = {"train": np.arange(20), "valid": np.arange(20, 30), "test": np.arange(30, 45), "val": np.arange(45, TRAIN + TEST)}
    for split, indices in splits.items():
        for i in indices:
            # Deeper folders, and names that sort otherwise than they were made.
            pictures.save(os.path.join(root, split, names[labels[i]], ("", "deeper", "Deeper")[i % 3], f"{i * 37 % 67}.png"), i)
    wanted = np.where(rng.rand(len(labels)) < 0.6, labels, (labels + 1) % 3)
    classifier = results_case.fit_classifier(pictures.features, wanted, 3, 6)
    path = results_case.write_weights(os.path.join(scratch, "splits.safetensors"), pictures.trunk, classifier)

    def measured(what, folder, split):
        seen = Seen(evaluate(folder, path, "--device", DEVICES[0], "--image-size", SIZE, "--eval-batch-size", 6))
        check_eval(checks, what, seen, names, labels[splits[split]],
                   results_case.Expected(pictures.features.of(splits[split]), classifier))

    measured("a folder of train, val, valid and test", root, "val")
    measured("its test folder itself", os.path.join(root, "test"), "test")
    measured("its train folder itself", os.path.join(root, "train"), "train")
    os.rename(os.path.join(root, "val"), os.path.join(scratch, "val"))
    measured("a folder of train, valid and test", root, "valid")
    os.rename(os.path.join(root, "valid"), os.path.join(scratch, "valid"))
    measured("a folder of train and test", root, "test")
    os.rename(os.path.join(root, "test"), os.path.join(scratch, "test"))
    measured("a folder of train alone", root, "train")


def main():
    torch.set_num_threads(min(2, os.cpu_count()))
    checks = oracle.Checks()
    with oracle.scratch_folder() as scratch:
        pictures = Pictures()
        check_batches(checks, scratch, pictures)
        check_ties(checks, scratch, pictures)
        check_training_files(checks, scratch, pictures)
        check_hundred_classes(checks, scratch, pictures)
        check_twenty_classes(checks, scratch, pictures)
        check_folder_splits(checks, scratch, pictures)
    checks.finish()


main()
