"""fault_scenarios.py: the commands whose calls fail, what each leaves behind, and how it is run once more without a fault.

A scenario works in a folder of its own (its calls are named "run/...") and reads data and weights that all share ("data/...").
"""
import json
import os
import re
import shutil
import struct
import zlib

SIZE = 75  # the least that the network takes


def crc_of(path, skip=0):
    total = 0
    with open(path, "rb") as file:
        file.seek(skip)
        while True:
            block = file.read(1 << 22)
            if not block:
                return total
            total = zlib.crc32(block, total)


def tensor_header(path):
    """The header of a safetensors file as a dict and where the data begins; an exception when the file is not whole."""
    with open(path, "rb") as file:
        length, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    end = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    if 8 + length + end != os.path.getsize(path):
        raise ValueError(f"{path}: {os.path.getsize(path)} bytes, the header describes {8 + length + end}")
    return header, 8 + length


def tree(folder):
    """Paths of all files below the folder, relative to it, sorted."""
    return sorted(os.path.relpath(os.path.join(where, name), folder) for where, _, names in os.walk(folder) for name in names)


def check_whole(folder, torn_line=False):
    """What is not whole of a folder's files, as a list of sentences. torn_line: the last line of metrics.jsonl may be cut off."""
    wrong = []
    for name in tree(folder):
        path = os.path.join(folder, name)
        if name.endswith((".partial", ".tmp")) or ".partial" in name:
            wrong.append(f"{name} is left over")
            continue
        try:
            if name.endswith(".safetensors"):
                tensor_header(path)
            elif name.endswith(".json"):
                with open(path) as file:
                    json.load(file)
            elif name.endswith(".jsonl"):
                check_lines(path, torn_line)
            elif name.endswith(".png"):
                with open(path, "rb") as file:
                    if not file.read().endswith(b"IEND\xaeB`\x82"):
                        raise ValueError("no end of a PNG file")
            elif name.endswith(".npy"):
                check_npy(path)
        except (ValueError, struct.error) as error:
            wrong.append(f"{name} is not whole: {error}")
    return wrong


def check_lines(path, torn_line):
    with open(path) as file:
        lines = file.read().split("\n")
    if torn_line or lines[-1] == "":
        lines.pop()
    for line in lines:
        json.loads(line)


def check_npy(path):
    with open(path, "rb") as file:
        head = file.read(10)
        text = file.read(struct.unpack("<H", head[8:])[0]).decode()
    count = 4
    for size in re.search(r"\(([\d, ]+)\)", text).group(1).split(","):
        count *= int(size)
    if os.path.getsize(path) != 10 + len(text) + count:
        raise ValueError(f"{os.path.getsize(path)} bytes for {text.strip()}")


class Scenario:
    """One command. folder: of one run, made anew each time; shared: data, images and weights."""
    name = ""
    only = None  # functions whose calls fail; None: all

    def __init__(self, shared):
        self.shared = shared

    def data(self, name="data"):
        return os.path.join(self.shared, name)

    def prepare(self, folder):
        """What is there before the command."""

    def command(self, folder):
        raise NotImplementedError

    def again(self, folder):
        """The command that goes on after a failure, or begins again."""
        return self.command(folder)

    def results(self, folder, done):
        """What a run without a fault leaves, to be compared: a dict."""
        return {name: crc_of(os.path.join(folder, name)) for name in tree(folder)}

    def spoils_metrics(self, point):
        return False


class Train(Scenario):
    name = "train"
    source = "data"
    epochs = 1

    def options(self):
        return ["--device", "cuda", "--batch-size", 16, "--eval-batch-size", 16, "--epochs", self.epochs, "--image-size", SIZE,
                "--seed", 5]

    def run_dir(self, folder):
        return os.path.join(folder, "run")

    def command(self, folder):
        return ["train", "--data", self.data(self.source), "--out", self.run_dir(folder),
                "--trace", os.path.join(folder, "trace.json"), *self.options()]

    def resume(self, folder):
        return ["train", "--resume", self.run_dir(folder), "--data", self.data(self.source),
                "--trace", os.path.join(folder, "trace.json"), "--device", "cuda"]

    def again(self, folder):
        if os.path.exists(os.path.join(self.run_dir(folder), "resume.safetensors")):
            return self.resume(folder)
        return self.command(folder)

    def spoils_metrics(self, point):
        return point.subject.startswith("run/metrics.jsonl")

    def results(self, folder, done):
        run = self.run_dir(folder)
        out = {}
        for name in ("best", "last", "resume"):
            path = os.path.join(run, name + ".safetensors")
            out[name] = crc_of(path, tensor_header(path)[1])
        with open(os.path.join(run, "metrics.jsonl")) as file:
            lines = [json.loads(line) for line in file]
        out["metrics"] = [(line["event"], line["step"], line.get("loss"), line.get("valid_loss")) for line in lines]
        return out


class TrainFolder(Train):
    name = "train_folder"
    source = "pngs"


class Resume(Train):
    """Goes on after the first of two epochs, in the middle of the second one."""
    name = "resume"
    epochs = 2

    def __init__(self, shared, make):
        super().__init__(shared)
        self.start = os.path.join(shared, "start", "run")
        if not os.path.isdir(self.start):
            make(["train", "--data", self.data(), "--out", self.start, *self.options(), "--max-steps", 4])

    def prepare(self, folder):
        run = self.run_dir(folder)
        os.makedirs(run)
        for name in os.listdir(self.start):
            place = os.link if name.endswith(".safetensors") else shutil.copy  # these are replaced, never written into
            place(os.path.join(self.start, name), os.path.join(run, name))

    def command(self, folder):
        return [*self.resume(folder), "--max-steps", 6]

    def again(self, folder):
        return self.command(folder)


class Printed(Scenario):
    """A command that prints what it finds."""

    def results(self, folder, done):
        return {"out": re.sub(r" in [\d.]+ s \(\d+ img/s\)", "", done.out)}


class Eval(Printed):
    name = "eval"

    def command(self, folder):
        return ["eval", "--data", self.data(), "--weights", self.data("weights.safetensors"), "--device", "cuda", "--image-size", SIZE]


class EvalCpu(Eval):
    """The real backend, for its threads and its generated code; its files are the other scenario's."""
    name = "eval_cpu"
    only = ("pthread_create", "mmap")

    def command(self, folder):
        return ["eval", "--data", self.data(), "--weights", self.data("weights.safetensors"), "--device", "cpu", "--threads", 2,
                "--image-size", SIZE]


class Predict(Printed):
    name = "predict"

    def command(self, folder):
        images = [self.data(name) for name in ("one.png", "two.png")]
        return ["predict", "--weights", self.data("weights.safetensors"), "--device", "cuda", "--image-size", SIZE, *images]


class Preview(Scenario):
    name = "preview"

    def command(self, folder):
        return ["preview", "--data", self.data("pngs"), "--png", os.path.join(folder, "sheet.png"),
                "--npy", os.path.join(folder, "sheet.npy"), "--count", 8, "--image-size", SIZE]


class Synth(Scenario):
    name = "synth"
    kind = "cifar10"

    def command(self, folder):
        return ["synth", os.path.join(folder, "made"), "--format", self.kind, "--train", 10, "--test", 10]

    def again(self, folder):
        """What was published before the fault is in the way, and the command says so; the user empties the folder."""
        shutil.rmtree(os.path.join(folder, "made"), ignore_errors=True)
        return self.command(folder)


class SynthPng(Synth):
    name = "synth_png"
    kind = "png"


def make_all(shared, make):
    """Makes the shared data with make(command), and every scenario."""
    os.makedirs(shared)
    make(["synth", os.path.join(shared, "data"), "--train", 40, "--test", 20])
    make(["synth", os.path.join(shared, "pngs"), "--format", "png", "--train", 12, "--test", 10])
    made = os.path.join(shared, "pngs", "train")
    pictures = [os.path.join(made, name) for name in tree(made)]
    shutil.copy(pictures[0], os.path.join(shared, "one.png"))
    shutil.copy(pictures[1], os.path.join(shared, "two.png"))
    resume = Resume(shared, make)
    shutil.copy(os.path.join(resume.start, "last.safetensors"), os.path.join(shared, "weights.safetensors"))
    return [Train(shared), TrainFolder(shared), resume, Eval(shared), EvalCpu(shared), Predict(shared), Preview(shared),
            Synth(shared), SynthPng(shared)]
