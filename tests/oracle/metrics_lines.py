"""metrics_lines: the lines of metrics.jsonl and of the console, as far as they must agree with each other and with the schedule.

A Plan says how many images each batch of each epoch has. The checks here need nothing but it and the lines: their number and order,
counts, means of the steps' numbers, times and stages. What the losses should be is the caller's to know.
"""
import json
import os
import re

LIMITS = ("train", "unknown", "read", "decode", "resize", "normalize")
VERDICT_STEPS, VERDICT_WAIT = 10, 0.03  # fewer steps: no bottleneck is named; waited less: it is the step
STEP_KEYS = ["event", "epoch", "step", "loss", "accuracy", "lr", "images", "seconds", "data_wait_seconds"]
TRAIN_KEYS = ["train_loss", "train_accuracy", "train_loss_batch_mean", "train_accuracy_batch_mean", "train_images"]
VALID_KEYS = [key.replace("train", "valid") for key in TRAIN_KEYS]
TIME_KEYS = ["seconds", "train_seconds", "data_wait_seconds", "images_per_second", "limit", "stages"]
STAGES = ["read", "decode", "resize", "normalize", "upload", "train", "metrics"]
EXACT_STAGES = ("upload", "train", "metrics")
STAGE_KEYS = ["batches", "samples", "threads", "busy_seconds", "wait_input_seconds", "wait_slot_seconds"]
ROUNDING = 0.51e-6  # of a time that is printed with six digits


def sizes_of(count, batch):
    """The images of each batch."""
    return [min(batch, count - first) for first in range(0, count, batch)]


class Plan:
    def __init__(self, train, batch, valid, eval_batch, steps):
        """train, valid: images; steps: of the whole run."""
        whole = sizes_of(train, batch)
        self.train = [whole[:steps - first] for first in range(0, steps, len(whole))]  # of each epoch, the images of its batches
        self.valid = sizes_of(valid, eval_batch)
        self.steps = steps

    def batches(self, epoch):
        return len(self.train[epoch]) + len(self.valid)

    def samples(self, epoch):
        return sum(self.train[epoch]) + sum(self.valid)


def read_lines(run_dir):
    with open(os.path.join(run_dir, "metrics.jsonl")) as file:
        return [json.loads(line) for line in file]


def steps_of(lines, epoch):
    return [line for line in lines if line["event"] == "step" and line["epoch"] == epoch]


def epochs_of(lines):
    return [line for line in lines if line["event"] == "epoch"]


def close(a, b):
    """Equal but for the nine digits that are printed."""
    return abs(a - b) <= 4e-9 * max(1, abs(a), abs(b))


# ---- one function per kind of finding; each returns None or what is wrong ----

def fault_of_order(lines, plan):
    """Every step has its line, then every epoch; nothing else, nothing twice; the fields in their order."""
    expected, step = [], 0
    for epoch, sizes in enumerate(plan.train):
        for images in sizes:
            step += 1
            expected.append(("step", epoch, step, images))
        expected.append(("epoch", epoch, step, None))
    seen = [(line["event"], line["epoch"], line["step"], line.get("images")) for line in lines]
    if seen != expected:
        return f"{seen}, expected {expected}"
    epoch_keys = ["event", "epoch", "step"] + TRAIN_KEYS + (VALID_KEYS if plan.valid else []) + TIME_KEYS
    for line in lines:
        if list(line) != (STEP_KEYS if line["event"] == "step" else epoch_keys):
            return f"fields {list(line)}"
    return None


def fault_of_means(lines, plan):
    """An epoch's training numbers are means of its steps': over images, and over batches."""
    for epoch, line in enumerate(epochs_of(lines)):
        steps, sizes = steps_of(lines, epoch), plan.train[epoch]
        for key in ("loss", "accuracy"):
            values = [step[key] for step in steps]
            over_images = sum(value * size for value, size in zip(values, sizes)) / sum(sizes)
            if not close(line[f"train_{key}"], over_images):
                return f"epoch {epoch}: train_{key} {line[f'train_{key}']}, of its steps {over_images}"
            if not close(line[f"train_{key}_batch_mean"], sum(values) / len(values)):
                return f"epoch {epoch}: train_{key}_batch_mean {line[f'train_{key}_batch_mean']}, of its steps {sum(values) / len(values)}"
        for step, size in zip(steps, sizes):
            if not close(step["accuracy"] * size, round(step["accuracy"] * size)):
                return f"step {step['step']}: accuracy {step['accuracy']} of {size} images"
        counts = line["train_images"], line.get("valid_images", 0)
        if counts != (sum(sizes), sum(plan.valid)):
            return f"epoch {epoch}: train_images and valid_images {counts}"
    return None


def fault_of_times(lines, plan, wall):
    """Times of steps add up to the epoch's, all of them to no more than the process took. The first wait of a run is the filling of the
    pipeline: its step's line has it, the epoch's sum leaves it out."""
    total = 0
    for epoch, line in enumerate(epochs_of(lines)):
        steps = steps_of(lines, epoch)
        slack = (len(steps) + 1) * ROUNDING
        seconds, waits = sum(step["seconds"] for step in steps), [step["data_wait_seconds"] for step in steps]
        if any(not 0 <= step["data_wait_seconds"] <= step["seconds"] + 2 * ROUNDING for step in steps):
            return f"epoch {epoch}: a step waited longer than it took: {steps}"
        if abs(seconds - line["train_seconds"]) > slack:
            return f"epoch {epoch}: train_seconds {line['train_seconds']}, of its steps {seconds}"
        if abs(sum(waits[1:] if epoch == 0 else waits) - line["data_wait_seconds"]) > slack:
            return f"epoch {epoch}: data_wait_seconds {line['data_wait_seconds']}, of its steps {waits}"
        valid = line["seconds"] - line["train_seconds"]
        if (valid <= 0) if plan.valid else abs(valid) > 2 * ROUNDING:
            return f"epoch {epoch}: {valid} seconds of validation"
        rate = line["train_images"] / line["train_seconds"]
        if abs(line["images_per_second"] - rate) > 0.51e-3 + rate * ROUNDING / line["train_seconds"]:
            return f"epoch {epoch}: images_per_second {line['images_per_second']}, expected {rate}"
        total += line["seconds"]
    return None if 0 < total <= wall else f"{total} s in {wall} s of wall time"


def fault_of_limit(lines):
    for epoch, line in enumerate(epochs_of(lines)):
        steps, share = len(steps_of(lines, epoch)), line["data_wait_seconds"] / line["train_seconds"]
        if line["limit"] not in LIMITS or (line["limit"] == "unknown") != (steps < VERDICT_STEPS):
            return f"epoch {epoch}: {line['limit']} after {steps} steps"
        if steps >= VERDICT_STEPS and abs(share - VERDICT_WAIT) > 1e-3 and (line["limit"] == "train") != (share < VERDICT_WAIT):
            return f"epoch {epoch}: {line['limit']}, while steps waited {share:.4f} of the time"
    return None


def fault_of_counts(lines, plan, epochs):
    """What stages did in epochs, which one process ran.

    The step's stages and metrics count exactly an epoch's batches. The input reads ahead across an epoch's end, so by then it has done at
    least so many batches, and at the process's end all of them."""
    done = {stage: [0, 0] for stage in STAGES}
    whole = [sum(plan.batches(epoch) for epoch in epochs), sum(plan.samples(epoch) for epoch in epochs)]
    due = [0, 0]
    for epoch in epochs:
        stages = epochs_of(lines)[epoch]["stages"]
        if list(stages) != STAGES or any(list(figures) != STAGE_KEYS for figures in stages.values()):
            return f"epoch {epoch}: stages {stages}"
        own = [plan.batches(epoch), plan.samples(epoch)]
        due = [a + b for a, b in zip(due, own)]
        for stage, figures in stages.items():
            counts = [figures["batches"], figures["samples"]]
            done[stage] = [a + b for a, b in zip(done[stage], counts)]
            if stage in EXACT_STAGES and counts != own:
                return f"epoch {epoch}: {stage} counted {counts}, expected {own}"
            if any(not low <= seen <= high for low, seen, high in zip(due, done[stage], whole)):
                return f"epoch {epoch}: {stage} has counted {done[stage]}, due are {due} of {whole}"
    wrong = {stage: counts for stage, counts in done.items() if counts != whole}
    return f"at the end {wrong}, expected {whole}" if wrong else None


def fault_of_stage_times(lines, wall, threads, separate):
    """threads: of each stage's; separate: a pool of threads per stage. Bounds hold for sums over the epochs: an input stage may have done
    an epoch's work before the epoch began."""
    sums = {stage: {key: 0 for key in STAGE_KEYS} for stage in STAGES}
    for line in epochs_of(lines):
        for stage, figures in line["stages"].items():
            if figures["threads"] != threads.get(stage, 1):
                return f"{stage}: {figures['threads']} threads"
            for key in STAGE_KEYS:
                sums[stage][key] += figures[key]
                if figures[key] < 0:
                    return f"{stage}: {key} {figures[key]}"
        train = line["stages"]["train"]
        waited = sum(step["data_wait_seconds"] for step in steps_of(lines, line["epoch"]))
        slack = (len(steps_of(lines, line["epoch"])) + 4) * ROUNDING
        if train["busy_seconds"] + train["wait_input_seconds"] > line["seconds"] + slack:
            return f"train was busy or waited longer than epoch {line['epoch']} took: {train}, {line['seconds']}"
        longest = line["seconds"] - line["train_seconds"]  # what validation may have waited
        if not waited - slack <= train["wait_input_seconds"] <= waited + longest + slack:
            return f"train waited {train['wait_input_seconds']}, its steps {waited}, validation took {longest}"
    for stage, total in sums.items():
        limit = wall * threads.get(stage, 1)
        waits_for_input = stage in ("read", "decode", "train") or (separate and stage in ("resize", "normalize"))
        if total["busy_seconds"] > limit or (total["busy_seconds"] <= 0 and stage != "upload"):  # in host memory nothing is uploaded
            return f"{stage} was busy {total['busy_seconds']} of {limit}"
        if total["wait_input_seconds"] + (total["busy_seconds"] if stage != "read" else 0) > limit:
            return f"{stage} was busy {total['busy_seconds']} and waited {total['wait_input_seconds']} of {limit}"
        if (total["wait_input_seconds"] and not waits_for_input) or (total["wait_slot_seconds"] and stage != "read"):
            return f"{stage} waited: {total}"
        if total["wait_slot_seconds"] > limit:
            return f"{stage} waited for slots {total['wait_slot_seconds']} of {limit}"
    return None


# ---- the console ----

def fault_of_console(text, lines):
    """Two lines an epoch, with the numbers of metrics.jsonl, after the lines that introduce the run."""
    seen = text.split("\n")
    seen = seen[next((i for i, line in enumerate(seen) if line.startswith("Epoch ")), len(seen)):]
    epochs = epochs_of(lines)
    if len(seen) != 2 * len(epochs) + 1 or seen[-1]:
        return f"{len(seen)} lines for {len(epochs)} epochs: {seen}"
    for line, first, second in zip(epochs, seen[0::2], seen[1::2]):
        fault = fault_of_epoch_line(first, line) or fault_of_bottleneck_line(second, line, len(steps_of(lines, line["epoch"])))
        if fault:
            return fault
    return None


def fault_of_epoch_line(text, line):
    valid = "valid_loss" in line
    found = re.fullmatch(r"Epoch (\d+)\. Train Loss: (\S+), Train Acc: (\S+), " +
                         (r"Valid Loss: (\S+), Valid Acc: (\S+), " if valid else "") + r"Time (\d\d):(\d\d):(\d\d)", text)
    if not found:
        return text
    keys = ["train_loss", "train_accuracy"] + (["valid_loss", "valid_accuracy"] if valid else [])
    numbers, clock = found.groups()[1:-3], [int(part) for part in found.groups()[-3:]]
    for key, printed in zip(keys, numbers):
        if not re.fullmatch(r"\d+\.\d{6}", printed) or abs(float(printed) - line[key]) > 0.51e-6:
            return f"{key} {printed}, in metrics.jsonl {line[key]}"
    shown = clock[0] * 3600 + clock[1] * 60 + clock[2]
    right = int(found[1]) == line["epoch"] and abs(shown - line["seconds"]) <= 0.5 + ROUNDING
    return None if right else f"{text}, in metrics.jsonl epoch {line['epoch']}, {line['seconds']} s"


def fault_of_bottleneck_line(text, line, steps):
    found = re.fullmatch(r"  (\d+\.\d) img/s; the step waited (\d+\.\d)% of the time for data; limit: (\w+)(?:; (.+))?", text)
    if not found:
        return text
    share = line["data_wait_seconds"] / line["train_seconds"]
    if abs(float(found[1]) - line["images_per_second"]) > 0.0506 or abs(float(found[2]) / 100 - share) > 0.00051:
        return f"{text}, in metrics.jsonl {line['images_per_second']} and {share:.4f}"
    if found[3] != line["limit"] or (found[4] is None) != (found[3] == "train"):
        return f"{text}, in metrics.jsonl {line['limit']}"
    if found[3] == "unknown" and found[4] != f"{steps} steps are too few to tell":
        return text
    return None
