"""notebook_model.py: the notebook's network in PyTorch, from its description, with the notebook's parameter names.

A stem (7x7/2 convolution with bias, neither padding nor anything after it), four groups of two residual blocks, average pooling, a
linear classifier. Module names are chosen so that the state_dict's keys are the notebook's: block2.1.conv1.weight and so on.
"""
import numpy as np
import torch
from torch import nn
from torch.nn import functional


class Residual(nn.Module):
    """conv 3x3, norm, relu, conv 3x3, norm, relu; plus the input; relu. A block that halves the picture also changes the channels, and
    takes its input through a 1x1 convolution, with bias and without norm."""

    def __init__(self, inputs, outputs, halve):
        super().__init__()
        step = 2 if halve else 1
        self.conv1 = nn.Conv2d(inputs, outputs, 3, step, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv3 = nn.Conv2d(inputs, outputs, 1, step) if halve else None

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        shortcut = x if self.conv3 is None else self.conv3(x)
        return functional.relu(shortcut + y)


class Notebook(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.block1 = nn.Conv2d(3, 64, 7, 2)
        self.block2 = nn.Sequential(nn.MaxPool2d(3, 2), Residual(64, 64, False), Residual(64, 64, False))
        self.block3 = nn.Sequential(Residual(64, 128, True), Residual(128, 128, False))
        self.block4 = nn.Sequential(Residual(128, 256, True), Residual(256, 256, False))
        self.block5 = nn.Sequential(Residual(256, 512, True), Residual(512, 512, False), nn.AvgPool2d(3))
        self.classifier = nn.Linear(512, classes)

    def forward(self, x):
        for block in (self.block1, self.block2, self.block3, self.block4, self.block5):
            x = block(x)
        return self.classifier(x.flatten(1))


def build(seed=0, classes=10):
    torch.manual_seed(seed)
    return Notebook(classes)


def as_arrays(model):
    """The state_dict as NumPy arrays, float32 and int64."""
    return {name: (value.numpy() if value.dtype == torch.int64 else value.float().numpy()).copy()
            for name, value in model.state_dict().items()}


def load_arrays(model, arrays):
    """The other way, strictly: a missing, unknown or misshapen tensor is an exception."""
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}, strict=True)
    return model


def train(model, batches, optimizer, autocast=False):
    """Trains on (tensor, labels) batches in the model's own precision; yields the loss of each step."""
    dtype = next(model.parameters()).dtype
    model.train()
    for tensor, labels in batches:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = functional.cross_entropy(model(torch.from_numpy(tensor).to(dtype)), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield float(loss.detach())
