#!/usr/bin/python3
"""io_resize: a file that another program makes longer or shorter while it is read ends the command with the file's name.

The change comes just before one of the calls that read the file: after its size is known, so that the size no longer holds.
"""
import argparse
import os
import shutil
import sys

import fault_run
import fault_scenarios
from fault_run import oracle

SIZE = ["--image-size", fault_scenarios.SIZE]
DEVICE = ["--device", "cuda"]
# What, the command, the file that changes, the call before which it does.
CASES = (
    ("a CIFAR file", ["train", "--data", "{}/data", "--out", "{}/out", *DEVICE, *SIZE], "data/data_batch_3.bin", "read", 1),
    ("a CIFAR file for validation", ["eval", "--data", "{}/data", "--weights", "{}/weights.safetensors", *DEVICE, *SIZE],
     "data/test_batch.bin", "read", 1),
    ("an image of a folder", ["train", "--data", "{}/pngs", "--out", "{}/out", *DEVICE, *SIZE], None, "read", 1),
    ("an image of a preview", ["preview", "--data", "{}/pngs", "--png", "{}/sheet.png", *SIZE], None, "read", 1),
    ("weights, at their header", ["eval", "--data", "{}/data", "--weights", "{}/weights.safetensors", *DEVICE, *SIZE],
     "weights.safetensors", "read", 1),
    ("weights, at their data", ["eval", "--data", "{}/data", "--weights", "{}/weights.safetensors", *DEVICE, *SIZE],
     "weights.safetensors", "read", 20),
    ("an image to classify", ["predict", "--weights", "{}/weights.safetensors", *DEVICE, *SIZE, "{}/one.png"], "one.png", "stream-read", 1),
)


def copy_shared(shared, folder):
    """Big files by a link, unless they are what changes: weights are copied."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for name in ("data", "pngs"):
        shutil.copytree(os.path.join(shared, name), os.path.join(folder, name))
    for name in ("weights.safetensors", "one.png"):
        shutil.copy(os.path.join(shared, name), folder)


def check_case(checks, program, scratch, case, kind):
    what, command, name, function, number = case
    folder = os.path.join(scratch, "case")
    copy_shared(os.path.join(scratch, "shared"), folder)
    name = name or os.path.join("pngs", "train", fault_scenarios.tree(os.path.join(folder, "pngs", "train"))[3])
    path = os.path.join(folder, name)
    before = os.path.getsize(path)
    program.environment["RS_FAULT_FILE"] = path
    done = program.run([str(part).format(folder) for part in command], [folder], os.path.join(scratch, "log"),
                       f"{function}|{name}|{number}|{kind}")
    what = f"{what}, {kind}"
    checks.check(done.reached() and os.path.getsize(path) != before, f"{what}: the file changed")
    checks.check(done.code == 1 and not done.hung, f"{what}: exit code 1, is {done.code}")
    checks.check(path in done.err, f"{what}: the message names the file: {done.err.strip()}")
    checks.check(any(str(size) in done.err for size in (os.path.getsize(path), before)), f"{what}: and a size")
    checks.check(not fault_run.REPORTS.search(done.err), f"{what}: no report of a sanitizer")


def main():
    args = fault_run.arguments(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
    program, checks = fault_run.Program(args), oracle.Checks()
    scratch = fault_run.memory_folder()
    try:
        fault_scenarios.make_all(os.path.join(scratch, "shared"), lambda command: fault_run.must_run(program, command, scratch))
        for case in CASES:
            for kind in ("grow", "shrink"):
                check_case(checks, program, scratch, case, kind)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    checks.finish()


if __name__ == "__main__":
    sys.exit(main())
