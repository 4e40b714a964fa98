#!/usr/bin/python3
"""oracle_train: `rstream train` beside PyTorch: same initial weights, same pictures, same order, so the same losses.

Both are measured by their distance to PyTorch in float64. Adam's first steps divide each gradient by its own size, so noise in the last
bit of a gradient moves a weight by a whole learning rate, and PyTorch's own float32 strays from float64 in few steps. Hence two limits
a window of steps, the larger one counts: the project's (1e-5 at step 1, 2e-3 at steps 2 to 6, 3e-2 up to step 20, relative), and three
times PyTorch's own largest distance there. SGD does not amplify: there the comparison stays sharp.
"""
import os

import oracle

args = oracle.arguments(__doc__, "rstream")
np, torch, _ = oracle.require("numpy", "torch", "PIL.Image")
import notebook_model  # noqa: E402 - needs torch
from training_case import ADAM, SGD, Case, compare_losses  # noqa: E402

SIZE = 80  # three pixels reach the average pool, as at 96
BATCH, STEPS, REF_BATCH, REF_STEPS = (8, 2, 2, 1) if args.sanitizer else (8, 20, 4, 2)


def check_one_step(checks, what, case, out, own, exact):
    """The weights file after one step: loads strictly into the notebook's model; its running statistics are PyTorch's."""
    tensors, _ = oracle.read_safetensors(os.path.join(out, "last.safetensors"))
    notebook_model.load_arrays(notebook_model.build(), tensors)
    checks.check(set(tensors) == set(case.weights),
                 f"{what}: last.safetensors has the notebook's {len(case.weights)} names and loads strictly")
    checks.check(all(int(value) == 1 for name, value in tensors.items() if name.endswith("num_batches_tracked")),
                 f"{what}: num_batches_tracked is 1")
    for kind in ("running_mean", "running_var"):
        worst, ours, theirs = 0, 0, 0
        for name in (n for n in case.weights if n.endswith(kind)):
            scale = np.linalg.norm(exact[name])
            distance = np.linalg.norm(tensors[name].astype(np.float64) - exact[name]) / scale
            pytorch = np.linalg.norm(own[name].astype(np.float64) - exact[name]) / scale
            # The floor is 2 ulp of a float: 0.1 x + 0.9 y rounds twice, and PyTorch may be lucky in a small tensor.
            ratio = np.nan_to_num(distance / max(3 * pytorch, 2.4e-7), nan=np.inf)
            if ratio >= worst:
                worst, ours, theirs = ratio, distance, pytorch
        checks.check(worst <= 1, f"{what}: {kind} after a step: {ours:.1e} from float64, PyTorch's own {theirs:.1e}")


def check_validation(checks, what, case, out):
    """The epoch's validation figures against PyTorch's evaluation of the very weights that were saved."""
    model = notebook_model.load_arrays(notebook_model.build(), oracle.read_safetensors(os.path.join(out, "last.safetensors"))[0])
    model.double().eval()
    with torch.no_grad():
        logits = model(torch.from_numpy(case.test_tensor).double())
        loss = float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(case.test_labels)))
        accuracy = float((logits.argmax(1).numpy() == case.test_labels).mean())
    line = oracle.metrics(out, "epoch")[-1]
    checks.check(abs(line["valid_loss"] / loss - 1) < 1e-4, f"{what}: valid_loss {line['valid_loss']:.6f}, PyTorch's {loss:.6f}")
    checks.check(abs(line["valid_accuracy"] - accuracy) < 1e-6,
                 f"{what}: valid_accuracy {line['valid_accuracy']:.4f}, PyTorch's {accuracy:.4f}")
    steps = [step["loss"] for step in oracle.metrics(out, "step")]
    checks.check(abs(line["train_loss"] / np.mean(steps) - 1) < 1e-6, f"{what}: train_loss is the mean over samples")


def compare_cpu(checks, case):
    """Returns PyTorch's losses in float64, for other comparisons on the same case."""
    exact, exact_state = case.pytorch(torch.float64, "Adam", ADAM)
    own, own_state = case.pytorch(torch.float32, "Adam", ADAM)
    adam = ("--optimizer", "adam", "--lr", "1e-4")
    seen, out = case.rstream("adam", "--device", "cpu", *adam)
    compare_losses(checks, "cpu, Adam", seen, own, exact)
    checks.check(abs(seen[0] / own[0] - 1) < 1e-5, f"cpu: step 1 within 1e-5 of PyTorch's float32, {abs(seen[0] / own[0] - 1):.1e}")
    check_validation(checks, "cpu, Adam", case, out)

    _, out = case.rstream("one", "--device", "cpu", *adam, steps=1)
    check_one_step(checks, "cpu", case, out, own_state, exact_state)

    # SGD to the project's limit of step 1, grown tenfold for what five steps add up; PyTorch's own distance counts where it is larger.
    sgd_exact, _ = case.pytorch(torch.float64, "SGD", SGD, steps=5)
    own, _ = case.pytorch(torch.float32, "SGD", SGD, steps=5)
    seen, _ = case.rstream("sgd", "--device", "cpu", "--optimizer", "sgd", "--lr", "1e-4", "--momentum", "0.9",
                           "--weight-decay", "1e-3", steps=min(5, case.steps))
    compare_losses(checks, "cpu, SGD", seen, own, sgd_exact, ((0, 1, 1e-5), (1, 5, 1e-4)))
    return exact


def compare_bf16(checks, case, exact):
    own, _ = case.pytorch(torch.float32, "Adam", ADAM, steps=6, autocast=True)
    seen, _ = case.rstream("bf16", "--device", "cpu", "--precision", "bf16", "--optimizer", "adam", "--lr", "1e-4",
                           steps=min(6, case.steps))
    # A bf16 number has 8 bits: 4e-3. The floor keeps a lucky hit of autocast from setting the limit.
    compare_losses(checks, "cpu, bf16 (PyTorch: autocast)", seen, own, exact[:6], ((0, 1, 8e-3), (1, 6, 2e-2)))


def compare_ref(checks, case):
    exact, exact_state = case.pytorch(torch.float64, "Adam", ADAM)
    own, own_state = case.pytorch(torch.float32, "Adam", ADAM)
    seen, out = case.rstream("ref", "--device", "ref", "--optimizer", "adam", "--lr", "1e-4")
    compare_losses(checks, "ref, Adam", seen, own, exact)
    if case.steps > 1:
        _, out = case.rstream("ref-one", "--device", "ref", "--optimizer", "adam", "--lr", "1e-4", steps=1)
    check_one_step(checks, "ref", case, out, own_state, exact_state)


def main():
    torch.set_num_threads(min(2, os.cpu_count()))
    checks = oracle.Checks()
    with oracle.scratch_folder() as scratch:
        case = Case(args.rstream, os.path.join(scratch, "cpu"), BATCH, STEPS, 11, SIZE)
        exact = compare_cpu(checks, case)
        if oracle.cpu_has_bf16() and not args.sanitizer:
            compare_bf16(checks, case, exact)
        else:
            print("left out: bf16 beside autocast (no native bf16 on this machine, or a sanitized build)")
        if args.sanitizer == "thread":
            print("left out: the ref backend (its loops under ThreadSanitizer take minutes)")
        else:
            compare_ref(checks, Case(args.rstream, os.path.join(scratch, "ref"), REF_BATCH, REF_STEPS, 12, SIZE))
    checks.finish()


main()
