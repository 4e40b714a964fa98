#!/usr/bin/python3
"""golden_ref: the reference backend against PyTorch.

In double, a small network with every operator and the notebook's own agree with PyTorch's float64 to rounding: loss, all
gradients, running statistics, trained parameters, moments. In float32 the optimizers alone agree to 1e-6 over several steps, and a
training step's gradients are no further from float64 than three times PyTorch's own float32.
"""
import argparse
import os
import sys

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--oracle", required=True, help="folder of oracle.py")
parser.add_argument("--ref-double", required=True)
parser.add_argument("--ref-float", required=True)
parser.add_argument("--step-tool", required=True)
args = parser.parse_args()
sys.dont_write_bytecode = True
sys.path.insert(0, args.oracle)
import oracle  # noqa: E402

np, torch = oracle.require("numpy", "torch")
import notebook_model  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402


class Small(nn.Module):
    """The graph "small" of ref_tool.c."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 6, 3, 1, 1, bias=False)
        self.b = nn.BatchNorm2d(6)
        self.c = nn.Conv2d(6, 6, 2, 1, 1)
        self.d = nn.BatchNorm2d(6)
        self.f = nn.Linear(6 * 5 * 4, 5)

    def forward(self, x):
        trunk = functional.max_pool2d(functional.relu(self.b(self.a(x))), 3, 2)
        y = self.d(functional.avg_pool2d(self.c(trunk), 2, 1))
        y = trunk + y
        return self.f((y + y).flatten(1))


def single(value):
    """A float's value: the backend's options are floats."""
    return float(np.float32(value))


def make_optimizer(kind, params, lr, momentum, decay):
    if kind == "sgd":
        return torch.optim.SGD(params, lr, momentum=momentum, weight_decay=decay)
    return torch.optim.Adam(params, lr, weight_decay=decay)


def flat(values):
    return np.concatenate([value.detach().double().numpy().ravel() for value in values])


def buffers_of(model):
    return flat(value for name, value in model.named_buffers() if "running" in name)


def distance(a, b):
    return float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-300))


def train(model, x, labels, kind, lr, momentum, decay):
    """What ref_tool writes, as a dictionary."""
    dtype = next(model.parameters()).dtype
    params = list(model.parameters())
    optimizer = make_optimizer(kind, params, single(lr), single(momentum), single(decay))
    out = {"losses": []}
    model.train()
    for step in range(len(x)):
        loss = functional.cross_entropy(model(torch.from_numpy(x[step]).to(dtype)), torch.from_numpy(labels[step]).long())
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            out["gradients"], out["first buffers"] = flat(p.grad for p in params), buffers_of(model)
        optimizer.step()
        out["losses"].append(float(loss.detach()))
    out["losses"] = np.array(out["losses"])
    out["parameters"], out["buffers"] = flat(params), buffers_of(model)
    state = [optimizer.state[p] for p in params]
    if kind == "adam":
        out["moment1"] = flat(s["exp_avg"] for s in state)
        out["moment2"] = flat(s["exp_avg_sq"] for s in state)
    elif momentum:
        out["moment1"] = flat(s["momentum_buffer"] for s in state)
    return out


def ref_train(scratch, graph, model, x, labels, kind, lr, momentum, decay):
    params, buffers = sum(p.numel() for p in model.parameters()), len(buffers_of(model))
    source, result = os.path.join(scratch, "in"), os.path.join(scratch, "out")
    np.concatenate([flat(model.parameters()), x.astype("f8").ravel()]).tofile(source)
    labels.astype("i4").tofile(source + ".labels")
    oracle.run_well([args.ref_double, "step", graph, x.shape[1], len(x), kind, lr, momentum, decay, source, result])
    numbers, at, out = np.fromfile(result, "f8"), 0, {}
    for name, size in (("losses", len(x)), ("gradients", params), ("first buffers", buffers), ("parameters", params),
                       ("buffers", buffers), ("moment1", params), ("moment2", params)):
        out[name] = numbers[at:at + size]
        at += size
    if at != len(numbers):
        raise ValueError(f"{len(numbers)} numbers from ref_tool, {at} expected")
    return out


def check_double(checks, scratch, name, graph, model, shape, steps, kind, lr, momentum=0, decay=0):
    rng = np.random.RandomState(3)
    x, labels = rng.randn(steps, *shape), rng.randint(0, 5, (steps, shape[0]))
    model = model.double()
    ours = ref_train(scratch, graph, model, x, labels, kind, lr, momentum, decay)
    theirs = train(model, x, labels, kind, lr, momentum, decay)
    for what, value in theirs.items():
        # Adam divides by the root of squared gradients: where one is rounding noise, its step is noise as well
        limit = 1e-6 if kind == "adam" and what not in ("gradients", "first buffers") else 1e-10
        away = distance(ours[what], value)
        checks.check(away <= limit, f"{name}, {kind} momentum {momentum} decay {decay}: {what} {away:.1e} from float64")


def check_optimizer(checks, scratch, kind, lr, momentum, decay):
    """Parameters and moments over steps, float32 against float32, each step to 1e-6."""
    n, steps = 5003, 12
    rng = np.random.RandomState(5)
    start = rng.randn(n).astype("f4")
    gradients = (rng.randn(steps, n) * 10.0 ** rng.uniform(-4, 1, n)).astype("f4")
    source, result = os.path.join(scratch, "in"), os.path.join(scratch, "out")
    np.concatenate([start, gradients.ravel()]).tofile(source)
    oracle.run_well([args.ref_float, "optimizer", n, steps, kind, lr, momentum, decay, source, result])
    ours = np.fromfile(result, "f4").astype("f8").reshape(steps, 3, n)

    p = torch.from_numpy(start.copy())
    kinds = {"sgd": lambda: torch.optim.SGD([p], lr, momentum=momentum, weight_decay=decay),
             "adam": lambda: torch.optim.Adam([p], lr, weight_decay=decay)}
    optimizer, names = kinds[kind](), {"adam": ["exp_avg", "exp_avg_sq"], "sgd": ["momentum_buffer"] if momentum else []}[kind]
    worst = 0
    for step in range(steps):
        p.grad = torch.from_numpy(gradients[step].copy())
        optimizer.step()
        theirs = [p.numpy()] + [optimizer.state[p][name].numpy() for name in names]
        worst = max([worst] + [distance(ours[step, i], value.astype("f8")) for i, value in enumerate(theirs)])
    checks.check(worst <= 1e-6, f"{kind} lr {lr} momentum {momentum} decay {decay}: {steps} steps within {worst:.1e}")


def check_step_tool(checks, scratch, size, batch):
    """The backend itself in float32: loss, gradients, running statistics of a step, next to PyTorch's float32."""
    rng = np.random.RandomState(6)
    x = rng.randn(1, batch, 3, size, size).astype("f4")
    labels = rng.randint(0, 10, (1, batch))
    path = {name: os.path.join(scratch, name) for name in ("init", "x", "labels", "gradients", "trained")}
    oracle.write_safetensors(path["init"], notebook_model.as_arrays(notebook_model.build(1)))
    x.tofile(path["x"])
    labels.astype("i4").tofile(path["labels"])
    done = oracle.run_well([args.step_tool, "--device", "ref", "--init", path["init"], "--tensor", path["x"], "--labels", path["labels"],
                            "--batch", batch, "--image-size", size, "--classes", 10, "--steps", 1, "--lr", 1e-4, "--optimizer", "adam",
                            "--gradients", path["gradients"], "--out", path["trained"]])
    exact = train(notebook_model.build(1).double(), x, labels, "adam", 1e-4, 0, 0)
    theirs = train(notebook_model.build(1), x, labels, "adam", 1e-4, 0, 0)
    loss = float(done.stdout.split()[3])
    checks.check(abs(loss / exact["losses"][0] - 1) <= 1e-5, f"loss {loss} of step 1, float64 has {exact['losses'][0]:.9g}")

    gradients, trained = oracle.read_safetensors(path["gradients"])[0], oracle.read_safetensors(path["trained"])[0]
    model, at, far = notebook_model.build(1), 0, []
    for name, value in model.named_parameters():
        part = slice(at, at + value.numel())
        mine = distance(gradients[name].astype("f8").ravel(), exact["gradients"][part])
        limit = 3 * distance(theirs["gradients"][part], exact["gradients"][part])
        if not mine <= limit:
            far.append(f"{name} {mine:.1e} > {limit:.1e}")
        at += value.numel()
    checks.check(not far, f"gradients of {len(list(model.parameters()))} parameters within three times PyTorch's distance {far}")
    statistics = np.concatenate([trained[name].astype("f8").ravel() for name, _ in model.named_buffers() if "running" in name])
    away = distance(statistics, exact["buffers"])
    checks.check(away <= 1e-6, f"running statistics {away:.1e} from float64")
    notebook_model.load_arrays(model, trained)
    checks.check(all(int(value) == 1 for name, value in trained.items() if name.endswith("num_batches_tracked")),
                 "PyTorch loads the trained weights strictly; one batch tracked")


def main():
    checks = oracle.Checks()
    torch.set_num_threads(2)
    torch.manual_seed(2)
    with oracle.scratch_folder() as scratch:
        for kind, momentum, decay in (("adam", 0, 0), ("adam", 0, 0.01), ("sgd", 0, 0), ("sgd", 0.9, 0), ("sgd", 0.9, 0.01)):
            check_double(checks, scratch, "small network", "small", Small(), (3, 3, 11, 9), 4, kind, 0.01, momentum, decay)
            check_optimizer(checks, scratch, kind, 0.01, momentum, decay)
        resnet = notebook_model.build(4, 5)
        check_double(checks, scratch, "notebook's network", "resnet:75:5", resnet, (2, 3, 75, 75), 1, "sgd", 0.01)
        check_step_tool(checks, scratch, 75, 2)
    checks.finish()


main()
