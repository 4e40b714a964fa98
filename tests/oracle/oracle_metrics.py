#!/usr/bin/python3
"""oracle_metrics: every field of every line that `rstream train` writes to metrics.jsonl and to the console.

Losses and accuracies are compared with PyTorch's float64, step by step, and with its evaluation of the weights that each epoch saved.
Counts, means, times and stages are checked in metrics_lines.py. The runs have short last batches of both splits, an epoch that --max-steps
cuts short, several epochs in one process and in one process each, no validation, and shuffled images.
"""
import os
import shutil
import time

import oracle

args = oracle.arguments(__doc__, "rstream")
np, torch, _ = oracle.require("numpy", "torch", "PIL.Image")
import metrics_lines  # noqa: E402
import notebook_model  # noqa: E402 - needs torch
import results_case  # noqa: E402 - needs torch

SIZE = 75
TRAIN, BATCH, VALID, EVAL_BATCH, STEPS = 10, 4, 8, 3, 7
PLAN = metrics_lines.Plan(TRAIN, BATCH, VALID, EVAL_BATCH, STEPS)
# So small that float32 and float64 take the same way: it is the lines that are tested here, not the optimizer.
LR, MOMENTUM = 1.23e-6, 0.9
FAVORITE = 3  # the class that the weights of check_ties always predict
DEVICE = args.device or "cpu"


# ---- PyTorch's run ----

class Trajectory:
    """PyTorch's training in one precision: the logits of each step."""

    def __init__(self, case, dtype):
        model = notebook_model.load_arrays(notebook_model.build(), case.weights).to(dtype)
        optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)
        self.steps = [self._step(model.train(), optimizer, case, i, dtype) for sizes in PLAN.train for i in range(len(sizes))]

    @staticmethod
    def _step(model, optimizer, case, i, dtype):
        part = slice(i * BATCH, (i + 1) * BATCH)
        logits = model(torch.from_numpy(case.tensor[part]).to(dtype))
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(case.labels[part]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return logits.detach().numpy()


def logits_of(model, tensor, dtype):
    """As an evaluation: running statistics."""
    with torch.no_grad():
        return model.to(dtype).eval()(torch.from_numpy(tensor).to(dtype)).numpy()


class Case:
    """A data set, initial weights, and what PyTorch makes of both."""

    def __init__(self, scratch):
        rng = np.random.RandomState(4)
        self.scratch = scratch
        _, pixels = oracle.pictures(TRAIN + VALID, 61)
        labels = rng.choice(10, TRAIN + VALID)
        labels[TRAIN:TRAIN + 4] = FAVORITE
        wanted = np.where(rng.rand(len(labels)) < 0.6, labels, (labels + 1) % 10)
        tensor = oracle.tensors_of(pixels, SIZE)
        self.labels, self.valid_labels = labels[:TRAIN], labels[TRAIN:]
        self.tensor, self.valid_tensor = tensor[:TRAIN], tensor[TRAIN:]
        self.data = os.path.join(scratch, "data")
        oracle.write_cifar10(self.data, self.labels, pixels[:TRAIN], self.valid_labels, pixels[TRAIN:])
        self.trunk = results_case.Trunk(29, tensor)
        self.classifier = results_case.fit_classifier(self.trunk.features(tensor), wanted, 10, 30)
        self.init = results_case.write_weights(os.path.join(scratch, "init.safetensors"), self.trunk, self.classifier)
        self.weights = oracle.read_safetensors(self.init)[0]

    def train(self, name, *options, data=None, resume=False):
        """One process; returns what it printed, its wall time and its run folder."""
        out = os.path.join(self.scratch, name)
        where = ("--resume", out) if resume else ("--out", out, "--init", self.init, "--batch-size", BATCH, "--image-size", SIZE,
                                                  "--eval-batch-size", EVAL_BATCH, "--device", DEVICE, "--threads", 1)
        began = time.monotonic()
        done = oracle.run_well([args.rstream, "train", "--data", data or self.data, *where, *options])
        return done.stdout, time.monotonic() - began, out


# ---- comparing ----

def check(checks, what, fault):
    checks.check(fault is None, what if fault is None else f"{what}: {fault}")


def check_structure(checks, what, lines, plan):
    """Whether the lines are the expected ones; if not, nothing else is worth a look."""
    fault = metrics_lines.fault_of_order(lines, plan)
    check(checks, f"{what}: a line for each of {plan.steps} steps and {len(plan.train)} epochs, in order", fault)
    if not fault:
        check(checks, f"{what}: the epochs' training numbers are their steps' means", metrics_lines.fault_of_means(lines, plan))
    return not fault


def fault_of_losses(lines, exact, own, labels):
    """Losses of steps against float64: within 1e-5, or three times PyTorch's own distance."""
    for i, line in enumerate(line for line in lines if line["event"] == "step"):
        part = labels[i % len(PLAN.train[0]) * BATCH:][:BATCH]
        logits = results_case.Logits(exact.steps[i], own.steps[i])
        loss, allowed = logits.loss(part)
        if abs(line["loss"] - loss) > max(allowed, 1e-5 * loss):
            return f"step {i + 1}: loss {line['loss']}, PyTorch's {loss}"
        if not logits.certain():
            return f"step {i + 1}: rounding may change a prediction; choose other pictures"
        if not metrics_lines.close(line["accuracy"], (logits.predicted == part).mean()):
            return f"step {i + 1}: accuracy {line['accuracy']}, PyTorch's {(logits.predicted == part).mean()}"
        if abs(line["lr"] / LR - 1) > 1e-6:
            return f"step {i + 1}: lr {line['lr']}"
    return None


def fault_of_valid(line, logits, labels):
    """An epoch's validation against logits of the same weights."""
    sizes = np.cumsum([0] + PLAN.valid)
    losses, distance = logits.losses(labels)
    hits = (logits.predicted == labels).astype(float)
    parts = [slice(first, end) for first, end in zip(sizes, sizes[1:])]
    allowed = max(3 * distance.max(), 1e-6 * losses.mean())
    expected = {"valid_loss": (losses.mean(), allowed), "valid_loss_batch_mean": (np.mean([losses[p].mean() for p in parts]), allowed),
                "valid_accuracy": (hits.mean(), 1e-8), "valid_accuracy_batch_mean": (np.mean([hits[p].mean() for p in parts]), 1e-8)}
    if not logits.certain():
        return "rounding may change a prediction; choose other pictures"
    for key, (value, limit) in expected.items():
        if abs(line[key] - value) > limit:
            return f"{key} {line[key]}, PyTorch's {value}, allowed {limit:.1e}"
    return None


def saved_logits(case, path):
    model = notebook_model.load_arrays(notebook_model.build(), oracle.read_safetensors(path)[0])
    own = logits_of(model, case.valid_tensor, torch.float32)
    return results_case.Logits(logits_of(model, case.valid_tensor, torch.float64), own)


def without_times(lines):
    """What doesn't depend on the machine's speed."""
    return [{key: value for key, value in line.items() if key not in metrics_lines.TIME_KEYS} for line in lines]


# ---- the cases ----

def check_one_process(checks, case):
    """All epochs in one process; returns its lines."""
    exact, own = Trajectory(case, torch.float64), Trajectory(case, torch.float32)
    said, wall, out = case.train("whole", "--no-shuffle", "--optimizer", "sgd", "--lr", LR, "--momentum", MOMENTUM, "--epochs", 5,
                                 "--max-steps", STEPS, "--workers", 2)
    lines = metrics_lines.read_lines(out)
    if not check_structure(checks, "one process", lines, PLAN):
        return lines
    check(checks, "one process: loss, accuracy and lr of each step", fault_of_losses(lines, exact, own, case.labels))
    check_work(checks, "one process", lines, PLAN, wall, {"decode": 2, "resize": 2, "normalize": 2}, said)
    checks.check(f"{TRAIN} images to train on, {VALID} to validate on, 10 classes (cifar10)" in said, "one process: it says its data")
    return lines


def check_work(checks, what, lines, plan, wall, threads, said, separate=False):
    """Times, stages and the console of a run in one process."""
    check(checks, f"{what}: times", metrics_lines.fault_of_times(lines, plan, wall))
    check(checks, f"{what}: limit", metrics_lines.fault_of_limit(lines))
    check(checks, f"{what}: batches and samples of each stage", metrics_lines.fault_of_counts(lines, plan, range(len(plan.train))))
    check(checks, f"{what}: threads and times of each stage", metrics_lines.fault_of_stage_times(lines, wall, threads, separate))
    check(checks, f"{what}: the console's lines", metrics_lines.fault_of_console(said, lines))


def check_process_per_epoch(checks, case, whole):
    """The same run, resumed for each epoch: the same numbers, validation of the very weights that were saved, the best one kept."""
    kept, resume = [], False
    for epoch, steps in enumerate(np.cumsum([len(sizes) for sizes in PLAN.train])):
        options = ("--no-shuffle", "--optimizer", "sgd", "--lr", LR, "--momentum", MOMENTUM, "--workers", 1, "--prefetch", 3)
        said, _, out = case.train("resumed", *(() if resume else options), "--epochs", epoch + 1, "--max-steps", steps, resume=resume)
        resume = True
        lines = metrics_lines.read_lines(out)
        kept.append(os.path.join(case.scratch, f"last-{epoch}.safetensors"))
        shutil.copy(os.path.join(out, "last.safetensors"), kept[-1])
        own = [line for line in lines if line["epoch"] == epoch]
        check(checks, f"a process for epoch {epoch}: batches and samples of each stage",
              metrics_lines.fault_of_counts(lines, PLAN, range(epoch, epoch + 1)))
        check(checks, f"a process for epoch {epoch}: the console's lines", metrics_lines.fault_of_console(said, own))
        check(checks, f"a process for epoch {epoch}: validation of the weights that it saved",
              fault_of_valid(own[-1], saved_logits(case, kept[-1]), case.valid_labels))
    check_structure(checks, "a process per epoch", lines, PLAN)
    checks.check(without_times(lines) == without_times(whole), "a process per epoch: the same numbers as in one process")
    best = np.argmax([line["valid_accuracy"] for line in metrics_lines.epochs_of(lines)])
    checks.check(oracle.same_tensors(os.path.join(out, "best.safetensors"), kept[best]) is None,
                 f"a process per epoch: best.safetensors has the weights of epoch {best}")


def check_ties(checks, case):
    """Two epochs of equal accuracy: the first one's weights stay the best."""
    weight, bias = (part.copy() for part in case.classifier)
    bias[FAVORITE] += 50
    case.init = results_case.write_weights(os.path.join(case.scratch, "favorite.safetensors"), case.trunk, (weight, bias))
    _, _, out = case.train("ties", "--optimizer", "sgd", "--lr", 1e-6, "--epochs", 1)
    first = os.path.join(case.scratch, "first.safetensors")
    shutil.copy(os.path.join(out, "last.safetensors"), first)
    case.train("ties", "--epochs", 2, resume=True)
    accuracies = [line["valid_accuracy"] for line in metrics_lines.epochs_of(metrics_lines.read_lines(out))]
    share = (case.valid_labels == FAVORITE).mean()
    checks.check(len(accuracies) == 2 and all(metrics_lines.close(accuracy, share) for accuracy in accuracies),
                 f"equal accuracies: {accuracies}, expected {share:.4f} twice")
    checks.check(oracle.same_tensors(os.path.join(out, "last.safetensors"), first) is not None, "equal accuracies: the weights changed")
    checks.check(oracle.same_tensors(os.path.join(out, "best.safetensors"), first) is None, "equal accuracies: the first is the best")


def check_shuffled(checks, case):
    """One image per step, a learning rate of 0, so that a step's loss depends on its image alone: each epoch has each image's loss once,
    in an order of its own. No validation, a pool of threads per stage, and one slot, so that every step waits for its data."""
    data = os.path.join(case.scratch, "train-only")
    shutil.copytree(case.data, data)
    os.remove(os.path.join(data, "test_batch.bin"))
    case.init = os.path.join(case.scratch, "init.safetensors")
    plan = metrics_lines.Plan(TRAIN, 1, 0, EVAL_BATCH, 2 * TRAIN)
    said, wall, out = case.train("shuffled", "--optimizer", "sgd", "--lr", 0, "--batch-size", 1, "--epochs", 2, "--workers", 2,
                                 "--prefetch", 1, "--fuse", "none", data=data)
    lines = metrics_lines.read_lines(out)
    if not check_structure(checks, "shuffled, no validation", lines, plan):
        return
    check_work(checks, "shuffled, no validation", lines, plan, wall, {}, said, separate=True)
    checks.check(f"{TRAIN} images to train on, 0 to validate on" in said, "shuffled, no validation: it says so")
    checks.check(all(line["lr"] == 0 for line in lines if line["event"] == "step"), "shuffled: lr is 0")

    def alone(dtype):
        model = notebook_model.load_arrays(notebook_model.build(), case.weights).to(dtype).train()
        with torch.no_grad():
            return np.concatenate([model(torch.from_numpy(case.tensor[i:i + 1]).to(dtype)).numpy() for i in range(TRAIN)])

    logits = results_case.Logits(alone(torch.float64), alone(torch.float32))
    losses, distance = logits.losses(case.labels)
    allowed = max(3 * distance.max(), 1e-5 * losses.max())
    checks.check(np.diff(np.sort(losses)).min() > 2 * allowed, f"shuffled: a loss tells which image it is, within {allowed:.1e}")
    orders = []
    for epoch in range(2):
        seen = np.array([line["loss"] for line in metrics_lines.steps_of(lines, epoch)])
        orders.append(np.abs(seen[:, None] - losses).argmin(1))
        checks.check(sorted(orders[-1]) == list(range(TRAIN)) and np.abs(seen - losses[orders[-1]]).max() <= allowed,
                     f"shuffled: epoch {epoch} has each image once, with its loss")
        hits = [line["accuracy"] for line in metrics_lines.steps_of(lines, epoch)]
        checks.check(logits.certain() and hits == list((logits.predicted == case.labels)[orders[-1]]),
                     f"shuffled: accuracy of each step of epoch {epoch}")
    ordered = list(range(TRAIN))
    checks.check(not np.array_equal(*orders) and list(orders[0]) != ordered, "shuffled: each epoch has an order of its own")


def main():
    torch.set_num_threads(min(2, os.cpu_count()))
    checks = oracle.Checks()
    with oracle.scratch_folder() as scratch:
        case = Case(scratch)
        whole = check_one_process(checks, case)
        check_process_per_epoch(checks, case, whole)
        check_ties(checks, case)
        check_shuffled(checks, case)
    checks.finish()


main()
