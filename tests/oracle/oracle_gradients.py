#!/usr/bin/python3
"""oracle_gradients: the gradient of every parameter at step 1, from the same weights on the same batch, beside PyTorch.

The measure is a tensor's relative distance |g - g64| / |g64| to PyTorch's float64, and a backend may be no further away than three
times PyTorch in the same precision (float32; bf16 autocast).

A ReLU's input or a max pool's two candidates may lie within rounding of each other; then either way is right, and one such flip moves
gradients by 1e-3 where rounding alone moves them by 1e-6. At batch 64 and 96 pixels, ten million activations, both sides have flips, and
the measure is taken as it is. Small batches have a flip or none, by luck; they are there for their odd sizes. There each tensor counts with
the nearest of several batches, on both sides: wrong arithmetic is far away in all of them.
"""
import os

import oracle

args = oracle.arguments(__doc__, "step_tool")
np, torch = oracle.require("numpy", "torch")
import notebook_model  # noqa: E402 - needs torch

# Relative distance that is always allowed: where PyTorch's own is smaller, three times it would ask for luck. float32's unit in the last
# place is 1.2e-7, and a gradient went through up to 18 rounded layers; bf16's is 7.8e-3.
FLOOR = {"fp32": 2e-6, "bf16": 1.6e-2}


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


def distances(seen, exact):
    """By name; endless for a tensor that is missing or misshapen, or holds something that is no number."""
    return {name: np.nan_to_num(distance(seen[name], true), nan=np.inf) if name in seen and seen[name].shape == true.shape else np.inf
            for name, true in exact.items()}


def nearest(several):
    return {name: min(one[name] for one in several) for name in several[0]}


def compare(checks, what, ours, theirs, precision):
    """Distances by name of both sides; every tensor must be near enough, the one that is relatively furthest is named."""
    ratio, name = max((ours[name] / max(3 * theirs[name], FLOOR[precision]), name) for name in theirs)
    checks.check(ratio <= 1, f"{what}: {len(theirs)} gradients; the furthest, {name}: {ours[name]:.1e} from float64, "
                             f"PyTorch's own {theirs[name]:.1e}")


def make_case(name, batch, size, seed):
    labels, pixels = oracle.pictures(batch, seed)
    case = {"name": name, "labels": labels, "tensor": oracle.tensors_of(pixels, size),
            "weights": notebook_model.as_arrays(notebook_model.build(seed))}
    given = (case["weights"], case["tensor"], labels)
    case["exact"] = gradients(*given, torch.float64)
    case["fp32"] = distances(gradients(*given, torch.float32), case["exact"])
    if oracle.cpu_has_bf16():
        case["bf16"] = distances(gradients(*given, torch.float32, autocast=True), case["exact"])
    return case


def compare_cases(checks, scratch, what, cases, variants):
    """variants: (device, precision, threads)."""
    for device, precision, threads in variants:
        if precision not in cases[0]:
            print("left out: bf16 beside autocast (this machine has no native bf16)")
            continue
        ours = nearest([distances(step_tool(scratch, case, device, precision, threads), case["exact"]) for case in cases])
        compare(checks, f"{device} {precision}, {threads} threads, {what}", ours, nearest([case[precision] for case in cases]), precision)


def main():
    torch.set_num_threads(os.cpu_count() if args.device else min(2, os.cpu_count()))
    checks = oracle.Checks()
    cpu = [("cpu", "fp32", 1), ("cpu", "fp32", 2), ("cpu", "bf16", 2)]
    with oracle.scratch_folder() as scratch:
        if args.device:
            variants = [(args.device, precision, 1) for precision in ("fp32", "bf16")]
            compare_cases(checks, scratch, "batch 64 at 96", [make_case("large", 64, 96, 20)], variants)
            compare_cases(checks, scratch, "batch 5 at 81", [make_case(f"odd{i}", 5, 81, 20 + i) for i in range(5)], variants)
        elif args.sanitizer:
            cases = [make_case(f"small{i}", 3, 75, 30 + i) for i in range(2)]
            compare_cases(checks, scratch, "batch 3 at 75", cases, cpu if args.sanitizer == "thread" else cpu + [("ref", "fp32", 1)])
        else:
            compare_cases(checks, scratch, "batch 64 at 96", [make_case("large", 64, 96, 20)], cpu)
            # 81 gives odd widths everywhere (38, 18, 9, 5, 3), 75 is the smallest; 5 and 3 samples fill no vector.
            compare_cases(checks, scratch, "batch 5 at 81", [make_case(f"odd{i}", 5, 81, 20 + i) for i in range(5)], cpu)
            compare_cases(checks, scratch, "batch 3 at 75", [make_case(f"small{i}", 3, 75, 30 + i) for i in range(5)],
                          cpu + [("ref", "fp32", 2)])
    checks.finish()


main()
