"""training_case: a data set and a set of initial weights, trained by `rstream train` and by PyTorch, and their losses compared."""
import os

import numpy as np
import torch

import notebook_model
import oracle

ADAM = {"lr": 1e-4}
SGD = {"lr": 1e-4, "momentum": 0.9, "weight_decay": 1e-3}
WINDOWS = ((0, 1, 1e-5), (1, 6, 2e-3), (6, 20, 3e-2))  # first step, end, limit


class Case:
    """One data set and one set of initial weights, and what PyTorch makes of them; each of its runs is done once."""

    def __init__(self, rstream, folder, batch, steps, seed, size):
        """rstream: path of the program; size: side of the pictures that the network sees."""
        self.program, self.folder, self.batch, self.steps, self.size = rstream, folder, batch, steps, size
        count = -(-batch * steps // 5) * 5
        labels, pixels = oracle.pictures(count, seed)
        # Labels that have nothing to do with the pictures keep the loss near log 10. A network that learns brings it to 0.01 in 20 steps,
        # and a relative distance to a number that small says nothing.
        labels = np.random.RandomState(seed).permutation(labels)
        self.test_labels, test_pixels = oracle.pictures(25, seed + 1)
        os.makedirs(folder)
        self.data = os.path.join(folder, "data")
        oracle.write_cifar10(self.data, labels, pixels, self.test_labels, test_pixels)
        tensor = oracle.tensors_of(pixels[:batch * steps], size)
        self.test_tensor = oracle.tensors_of(test_pixels, size)
        self.batches = [(tensor[i * batch:(i + 1) * batch], labels[i * batch:(i + 1) * batch]) for i in range(steps)]
        self.weights = notebook_model.as_arrays(notebook_model.build(seed))
        self.init = os.path.join(folder, "init.safetensors")
        oracle.write_safetensors(self.init, self.weights)

    def pytorch(self, dtype, optimizer, options, steps=None, autocast=False):
        """Losses of the steps, and the state after the first."""
        model = notebook_model.load_arrays(notebook_model.build(), self.weights).to(dtype)
        optimizer = getattr(torch.optim, optimizer)(model.parameters(), **options)
        losses, state = [], None
        for loss in notebook_model.train(model, self.batches[:steps], optimizer, autocast):
            losses.append(loss)
            state = state or {name: value.numpy().copy() for name, value in model.state_dict().items()}
        return np.array(losses), state

    def rstream(self, name, *options, steps=None):
        """The same through the program: losses, and its run folder."""
        out = os.path.join(self.folder, name)
        oracle.run_well([self.program, "train", "--data", self.data, "--out", out, "--init", self.init, "--no-shuffle",
                         "--batch-size", self.batch, "--eval-batch-size", 25, "--image-size", self.size, "--epochs", 1,
                         "--max-steps", steps or self.steps, "--threads", 2, "--quiet", *options], timeout=560)
        return np.array([line["loss"] for line in oracle.metrics(out, "step")]), out


def compare_losses(checks, what, seen, own, exact, windows=WINDOWS, own_factor=3):
    """seen: rstream's losses, own: PyTorch's in the same precision, exact: PyTorch's float64. own_factor 0: the limits alone count."""
    if not checks.check(len(seen) == len(exact), f"{what}: {len(exact)} steps in metrics.jsonl, found {len(seen)}"):
        return
    for first, end, limit in windows:
        if first >= len(exact):
            break
        distance = np.abs(seen[first:end] / exact[first:end] - 1).max()
        pytorch = np.abs(own[first:end] / exact[first:end] - 1).max()
        allowed = max(limit, own_factor * pytorch)
        checks.check(distance <= allowed, f"{what}, steps {first + 1} to {min(end, len(exact))}: loss {distance:.1e} from float64, "
                                          f"PyTorch's own {pytorch:.1e}, allowed {allowed:.1e}")
