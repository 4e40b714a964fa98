#!/usr/bin/python3
"""oracle_gradients: the gradient of every parameter at step 1, from the same weights on the same batch, beside PyTorch.

The measure is a tensor's relative distance |g - g64| / |g64| to PyTorch's float64. A backend may be no further away than three times
PyTorch in the same precision (float32; bf16 autocast). Where PyTorch's own distance is very small, three times it would ask for luck: the
floor is what a sum of as many float32 products loses at least, a few units in the last place.
"""
import os

import oracle

args = oracle.arguments(__doc__, "step_tool")
np, torch = oracle.require("numpy", "torch")
import notebook_model  # noqa: E402 - needs torch

# Relative distance that is always allowed. float32's unit in the last place is 1.2e-7; a gradient that went through 18 rounded layers is
# a few of them away however it is computed. bf16's is 7.8e-3.
FLOOR = {"fp32": 5e-7, "bf16": 1.6e-2}


def gradients(weights, tensor, labels, dtype, autocast=False):
    """PyTorch's gradients by name, as float64."""
    model = notebook_model.load_arrays(notebook_model.build(), weights).to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    for _ in notebook_model.train(model, [(tensor, labels)], optimizer, autocast):
        pass
    return {name: value.grad.double().numpy() for name, value in model.named_parameters()}


def distance(one, exact):
    return float(np.linalg.norm(one.astype(np.float64) - exact) / np.linalg.norm(exact))


def step_tool(folder, case, device, precision, threads):
    """The gradients of step 1 by the program step_tool."""
    paths = {name: os.path.join(folder, f"{name}-{case['name']}") for name in ("init", "tensor", "labels", "gradients", "out")}
    oracle.write_safetensors(paths["init"], case["weights"])
    case["tensor"].astype("<f4").tofile(paths["tensor"])
    case["labels"].astype("<i4").tofile(paths["labels"])
    oracle.run_well([args.step_tool, "--device", device, "--threads", threads, "--precision", precision, "--init", paths["init"],
                     "--tensor", paths["tensor"], "--labels", paths["labels"], "--batch", len(case["labels"]),
                     "--image-size", case["tensor"].shape[-1], "--classes", 10, "--steps", 1, "--lr", "1e-4", "--optimizer", "adam",
                     "--gradients", paths["gradients"], "--out", paths["out"]], timeout=560)
    return oracle.read_safetensors(paths["gradients"])[0]


def compare(checks, what, seen, own, exact, precision):
    """Every parameter of PyTorch's must be there and near enough; the worst one is named."""
    worst = (0, None, 0, 0)
    for name, true in exact.items():
        if not (name in seen and seen[name].shape == true.shape):
            checks.check(False, f"{what}: the gradient of {name} with shape {true.shape}")
            return
        ours, theirs = distance(seen[name], true), distance(own[name], true)
        ratio = np.nan_to_num(ours / max(3 * theirs, FLOOR[precision]), nan=np.inf)
        if ratio >= worst[0]:
            worst = (ratio, name, ours, theirs)
    checks.check(worst[0] <= 1, f"{what}: {len(exact)} gradients; the furthest, {worst[1]}: {worst[2]:.1e} from float64, "
                                f"PyTorch's own {worst[3]:.1e}")


def make_case(name, batch, size, seed):
    labels, pixels = oracle.pictures(batch, seed)
    case = {"name": name, "labels": labels, "tensor": oracle.tensors_of(pixels, size),
            "weights": notebook_model.as_arrays(notebook_model.build(seed))}
    given = (case["weights"], case["tensor"], labels)
    case["exact"] = gradients(*given, torch.float64)
    case["fp32"] = gradients(*given, torch.float32)
    if oracle.cpu_has_bf16():
        case["bf16"] = gradients(*given, torch.float32, autocast=True)
    return case


def main():
    torch.set_num_threads(min(2, os.cpu_count()))
    checks = oracle.Checks()
    # 96 is the default; 81 gives odd widths everywhere (38, 18, 9, 5, 3), 75 the smallest; a batch of 5 fills no vector.
    small = make_case("c", 3, 75, 23)
    cases = [small] if args.sanitizer else [make_case("a", 16, 96, 21), make_case("b", 5, 81, 22), small]
    with oracle.scratch_folder() as scratch:
        for case in cases:
            what = f"batch {len(case['labels'])} at {case['tensor'].shape[-1]}"
            for threads in (1, 2):
                seen = step_tool(scratch, case, "cpu", "fp32", threads)
                compare(checks, f"cpu fp32, {what}, {threads} threads", seen, case["fp32"], case["exact"], "fp32")
            if "bf16" in case:
                seen = step_tool(scratch, case, "cpu", "bf16", 2)
                compare(checks, f"cpu bf16, {what}", seen, case["bf16"], case["exact"], "bf16")
        if args.sanitizer != "thread":
            seen = step_tool(scratch, small, "ref", "fp32", 1)
            compare(checks, "ref, batch 3 at 75", seen, small["fp32"], small["exact"], "fp32")
    if "bf16" not in small:
        print("left out: bf16 beside autocast (this machine has no native bf16)")
    checks.finish()


main()
