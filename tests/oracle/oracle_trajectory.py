#!/usr/bin/python3
"""oracle_trajectory: twenty steps of the recipe's size, batch 64 of 3x96x96, beside PyTorch in float64, with no allowance for PyTorch's own
distance: the loss of step 1 within 1e-5, of steps 2 to 6 within 2e-3, of steps 7 to 20 within 3e-2, relative. Adam, lr 1e-4, float32.
"""
import os
import sys

import oracle

args = oracle.arguments(__doc__, "rstream")
_, torch, _ = oracle.require("numpy", "torch", "PIL.Image")
from training_case import ADAM, Case, compare_losses  # noqa: E402 - needs torch

if args.sanitizer:
    print("skipped: twenty full steps take too long in a sanitized build")
    sys.exit(oracle.SKIPPED)
torch.set_num_threads(min(2, os.cpu_count()))
checks = oracle.Checks()
with oracle.scratch_folder() as scratch:
    case = Case(args.rstream, os.path.join(scratch, "case"), 64, 20, 21, 96)
    exact, _ = case.pytorch(torch.float64, "Adam", ADAM)
    own, _ = case.pytorch(torch.float32, "Adam", ADAM)
    seen, _ = case.rstream("run", "--device", "cpu", "--optimizer", "adam", "--lr", "1e-4")
    compare_losses(checks, "batch 64, Adam", seen, own, exact, own_factor=0)
checks.finish()
