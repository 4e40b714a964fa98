#!/usr/bin/python3
"""golden_checkpoint: PyTorch reads our files and we read PyTorch's.

Initial weights feed load_state_dict(strict=True) of the notebook's model and have its distributions; a file written from PyTorch, its
tensors in any order, comes back with the same bits; another network's file is refused with the tensor's name.
"""
import argparse
import os
import random
import sys

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--oracle", required=True, help="folder of oracle.py")
parser.add_argument("--tool", required=True, help="checkpoint_tool")
args = parser.parse_args()
sys.dont_write_bytecode = True
sys.path.insert(0, args.oracle)
import oracle  # noqa: E402

np, torch = oracle.require("numpy", "torch")
import notebook_model  # noqa: E402


def check_initial(checks, path):
    oracle.run_well([args.tool, "init", 96, 10, 5, path])
    ours, metadata = oracle.read_safetensors(path)
    model = notebook_model.build(0)
    theirs = notebook_model.as_arrays(model)
    checks.check(not metadata and set(ours) == set(theirs), "the names are the state_dict's")
    notebook_model.load_arrays(notebook_model.build(1), ours)
    checks.check(True, "load_state_dict(strict=True) takes initial weights")
    wrong = []
    for name, value in theirs.items():
        mine = ours[name]
        if mine.dtype != value.dtype or mine.shape != value.shape:
            wrong.append(name)
        elif value.size < 2 or value.std() == 0:  # constants: batch norm, running statistics, counters
            wrong += [name] * (mine.tobytes() != value.tobytes())
        else:
            # one uniform distribution: no value beyond its bound, and in tensors of some size its spread and both ends
            bound = 1 / np.sqrt(theirs[name.replace("bias", "weight")][0].size)
            far = np.abs(mine).max() > bound * (1 + 1e-6)
            if value.size >= 1000:
                near = 1 - 20 / value.size
                far |= abs(mine.std() / value.std() - 1) > 5 / np.sqrt(value.size)
                far |= mine.max() < near * value.max() or mine.min() > near * value.min()
            if far:
                wrong.append(f"{name} {mine.std():.5g} {value.std():.5g} {mine.min():.5g} {mine.max():.5g}")
    checks.check(not wrong, f"{len(theirs)} initial tensors are distributed as PyTorch's {wrong}")


def check_from_pytorch(checks, path, copied):
    """After a step in PyTorch, so that no buffer is trivial; in shuffled order."""
    model = notebook_model.build(3)
    list(notebook_model.train(model, [(np.random.RandomState(0).randn(2, 3, 75, 75).astype("f4"), np.array([1, 2]))],
                              torch.optim.SGD(model.parameters(), 0.1)))
    tensors = list(notebook_model.as_arrays(model).items())
    random.Random(1).shuffle(tensors)
    oracle.write_safetensors(path, dict(tensors))
    oracle.run_well([args.tool, "copy", 96, 10, path, copied])
    ours, metadata = oracle.read_safetensors(copied)
    different = [name for name, value in tensors if ours[name].tobytes() != value.tobytes()]
    checks.check(not different, f"{len(tensors)} tensors of PyTorch come back with the same bits {different}")
    extra = set(ours) - {name for name, _ in tensors}
    moments = {f"optimizer.moment{i}.{name}" for i in (1, 2) for name, _ in model.named_parameters()}
    checks.check(extra == moments | {"optimizer.steps"}, "a resume file has the moments and steps besides")
    checks.check(metadata == {"made by": "checkpoint_tool"}, "metadata is read by Python")
    done = oracle.run_well([args.tool, "copy", 96, 10, copied, path, "made by"])
    checks.check(done.stdout == "checkpoint_tool\n", "and by us")


def check_refusals(checks, path, copied):
    oracle.write_safetensors(path, notebook_model.as_arrays(notebook_model.build(0, 7)))
    done = oracle.run([args.tool, "copy", 96, 10, path, copied])
    words = ("classifier.weight", "[7, 512]", "[10, 512]", path)
    checks.check(done.returncode == 1 and all(word in done.stderr for word in words), f"another number of classes: {done.stderr.strip()}")
    tensors = notebook_model.as_arrays(notebook_model.build(0))
    del tensors["block3.0.conv3.bias"]
    oracle.write_safetensors(path, tensors)
    done = oracle.run([args.tool, "copy", 96, 10, path, copied])
    checks.check(done.returncode == 1 and "block3.0.conv3.bias" in done.stderr, f"a tensor less: {done.stderr.strip()}")


def main():
    checks = oracle.Checks()
    with oracle.scratch_folder() as scratch:
        path, copied = os.path.join(scratch, "a.safetensors"), os.path.join(scratch, "b.safetensors")
        check_initial(checks, path)
        check_from_pytorch(checks, path, copied)
        check_refusals(checks, path, copied)
    checks.finish()


main()
