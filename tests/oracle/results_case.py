"""results_case: weights whose predictions are chosen in advance, and what PyTorch computes with them.

The network's convolutions are random, with running statistics measured on the pictures. Its classifier is fitted so that each picture
is predicted as the class that the test names, by a wide margin. So every cell of a confusion matrix is known exactly, although float32
and bf16 round: a picture would change its cell only after an error larger than half the margin, and the error is bounded below.

Expectations are PyTorch's float64 on the very float32 weights that are written to the file. Where the program may differ, the limit is
three times PyTorch's own distance from float64 in the same precision, plus a few units in the last place.
"""
import numpy as np
import torch

import notebook_model
import oracle

FEATURES = 512
SCALE = 3.0  # of the chosen class's logit above the others, which lie within -1 and 1


class Features:
    """What the classifier sees of some pictures: in float64, in float32 and, where wanted, in bf16 (autocast)."""

    def __init__(self, exact, own, own_bf16):
        self.exact, self.own, self.own_bf16 = exact, own, own_bf16

    def of(self, indices):
        indices = np.asarray(indices)
        return Features(self.exact[indices], self.own[indices], None if self.own_bf16 is None else self.own_bf16[indices])


class Trunk:
    """The network up to the classifier."""

    def __init__(self, seed, tensors):
        """tensors: float32 N,3,S,S, of which the running statistics are taken."""
        self.model = notebook_model.build(seed)
        for layer in self.model.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = 1.0
        self.model.train()
        with torch.no_grad():
            self.model(torch.from_numpy(tensors))
        self.model.eval()
        self.arrays = {name: value for name, value in notebook_model.as_arrays(self.model).items() if not name.startswith("classifier")}

    def _run(self, tensors, dtype, autocast=False):
        self.model.to(dtype)
        x = torch.from_numpy(tensors).to(dtype)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            for block in (self.model.block1, self.model.block2, self.model.block3, self.model.block4, self.model.block5):
                x = block(x)
        return x.flatten(1).to(torch.float64 if dtype == torch.float64 else torch.float32).numpy()

    def features(self, tensors, bf16=False):
        return Features(self._run(tensors, torch.float64), self._run(tensors, torch.float32),
                        self._run(tensors, torch.float32, True) if bf16 else None)


def fit_classifier(features, wanted, classes, seed):
    """weight and bias, float32, with which each picture is predicted as wanted says; logits differ from picture to picture."""
    rng = np.random.RandomState(seed)
    logits = rng.uniform(-1, 1, (len(wanted), classes))
    logits[np.arange(len(wanted)), wanted] += SCALE
    mean = features.exact.mean(0)
    centered = features.exact - mean
    kernel = centered @ centered.T
    ridge = 1e-3 * np.trace(kernel) / len(wanted) * np.eye(len(wanted))
    weight = np.linalg.solve(kernel + ridge, logits - logits.mean(0)).T @ centered
    return weight.astype(np.float32), (logits.mean(0) - weight @ mean).astype(np.float32)


def write_weights(path, trunk, classifier, metadata=None):
    tensors = dict(trunk.arrays)
    tensors["classifier.weight"], tensors["classifier.bias"] = classifier
    oracle.write_safetensors(path, tensors, metadata)
    return path


def softmax(logits):
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


class Logits:
    """Logits of some pictures in float64, how far the program's may be from them, and what follows from both."""

    def __init__(self, exact, own):
        """own: PyTorch's in the precision that the program computes in."""
        self.logits, self.own = exact, own
        self.allowed = 3 * np.abs(own - exact).max() + 8 * np.spacing(np.float32(np.abs(exact).max()))
        # rstream's rule for a tie: the first class with the largest logit; argmax of NumPy is documented to do the same.
        self.predicted = exact.argmax(1)
        self.probabilities = softmax(exact)
        self.probability_allowed = 3 * np.abs(softmax(own.astype(np.float64)) - self.probabilities).max() + 2.0**-21

    def losses(self, labels):
        """Of each picture: exact, and PyTorch's distance."""
        each = np.arange(len(labels)), labels
        exact = -np.log(self.probabilities[each])
        return exact, np.abs(-np.log(softmax(self.own.astype(np.float64))[each]) - exact)

    def loss(self, labels):
        """The mean over the pictures, and how far from it the program may be: three times PyTorch's mean distance of a picture, and the
        rounding of a float, for a loss is a difference of numbers as large as the logits."""
        exact, distance = self.losses(labels)
        return exact.mean(), 3 * distance.mean() + 8 * np.spacing(np.float32(1 + np.abs(self.logits).max()))

    def margin(self):
        """The smallest distance between a prediction and a class that isn't tied with it, over all pictures; infinite: all are tied."""
        best = self.logits.max(1, keepdims=True)
        others = np.where(self.logits == best, -np.inf, self.logits).max(1)
        return (best[:, 0] - others).min()

    def certain(self):
        """Whether no rounding changes a prediction."""
        return self.margin() > 2 * self.allowed

    def confusion(self, labels):
        classes = self.logits.shape[1]
        matrix = np.zeros((classes, classes), int)
        np.add.at(matrix, (labels, self.predicted), 1)
        return matrix


class Expected(Logits):
    """Logits of features under a classifier."""

    def __init__(self, features, classifier, bf16=False):
        weight, bias = classifier
        exact = features.exact @ weight.astype(np.float64).T + bias.astype(np.float64)
        for k in range(1, len(weight)):  # equal rows give equal logits, whatever the order of a product's sums
            first = next(i for i in range(k + 1) if weight[i].tobytes() == weight[k].tobytes() and bias[i] == bias[k])
            exact[:, k] = exact[:, first]
        if bf16:  # autocast rounds the operands of the classifier as well
            weight = torch.from_numpy(weight).bfloat16().float().numpy()
        super().__init__(exact, (features.own_bf16 if bf16 else features.own) @ weight.T + bias)
