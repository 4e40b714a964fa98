#!/usr/bin/python3
"""oracle_bits: same data, same seed, same weights to the last bit, however the pipeline is placed and however often it was killed.

Four things: another --prefetch, --workers and --fuse change nothing; a run that was killed (SIGKILL), interrupted (SIGINT) and
gone on with ends with the weights and losses of one that never stopped; SIGINT ends in time, with exit code 130, a checkpoint and a word on
how to go on; a second SIGINT ends at once. For CIFAR files and for a folder of PNG files.
"""
import os
import signal
import subprocess
import time

import oracle

args = oracle.arguments(__doc__, "rstream")
np, Image = oracle.require("numpy", "PIL.Image")

SIZE = 80
# The project's limit is two seconds; a sanitized program is several times slower.
INTERRUPT_SECONDS = 10 if args.sanitizer else 2
FEWEST = ("--prefetch", 1, "--workers", 1, "--fuse", "none")
MOST = ("--prefetch", 8, "--workers", 2, "--fuse", "auto")


def make_data(folder):
    """Two data sets of 45 training and 12 test pictures: five full batches of 8 and a short one each epoch."""
    labels, pixels = oracle.pictures(57, seed=31)
    cifar, pngs = os.path.join(folder, "cifar"), os.path.join(folder, "pngs")
    oracle.write_cifar10(cifar, labels[:45], pixels[:45], labels[45:], pixels[45:])
    for i, picture in enumerate(pixels):
        # Every class in both splits; sizes differ, so that samples of a batch cost different times.
        where = os.path.join(pngs, "train" if i < 45 else "test", f"class{i % 10}")
        os.makedirs(where, exist_ok=True)
        side = 32 + 37 * (i % 5)
        Image.fromarray(picture.transpose(1, 2, 0)).resize((side, side + 3)).save(os.path.join(where, f"{i}.png"))
    return cifar, pngs


def command(data, out, *options, steps):
    return [str(part) for part in (args.rstream, "train", "--data", data, "--out", out, "--batch-size", 8, "--eval-batch-size", 5,
                                   "--image-size", SIZE, "--epochs", 40, "--max-steps", steps, "--threads", 1, "--seed", 5, *options)]


def go_on(data, out, *options):
    return [str(part) for part in (args.rstream, "train", "--data", data, "--resume", out, *options)]


def weights(out):
    return os.path.join(out, "last.safetensors")


def check_same(checks, what, one, other):
    differs = oracle.same_tensors(weights(one), weights(other))
    checks.check(differs is None, f"{what}: last.safetensors has the same bits" + (f"; {differs} differs" if differs else ""))
    # A step that ran twice, before and after a kill, is two lines; the later one counts.
    losses = [{line["step"]: line["loss"] for line in oracle.metrics(out, "step")} for out in (one, other)]
    checks.check(losses[0] and losses[0] == losses[1], f"{what}: {len(losses[0])} steps, the same losses")


def check_placement(checks, scratch, name, data):
    runs = []
    for kind, options in (("fewest", FEWEST), ("most", MOST)):
        runs.append(os.path.join(scratch, f"{name}-{kind}"))
        oracle.run_well(command(data, runs[-1], "--lr", "0.01", *options, steps=14))
    check_same(checks, f"{name}: fewest and most of everything", *runs)


def stop(process, out, number, after):
    """Sends the signal `after` seconds from now, but not before there is a checkpoint; returns whether the run still ran then, what it said
    and the seconds that it took to end."""
    begin = time.monotonic()
    while process.poll() is None and (not os.path.exists(os.path.join(out, "resume.safetensors")) or
                                      time.monotonic() - begin < after):
        time.sleep(0.005)
    running = process.poll() is None
    sent = time.monotonic()
    process.send_signal(number)
    said = process.communicate(timeout=120)
    return running, said[0] + said[1], time.monotonic() - sent


def start(line):
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def check_kills(checks, scratch, name, data):
    steps = 45
    whole, broken = os.path.join(scratch, f"{name}-whole"), os.path.join(scratch, f"{name}-broken")
    begin = time.monotonic()
    oracle.run_well(command(data, whole, *MOST, steps=steps))
    duration = time.monotonic() - begin

    line = command(data, broken, *FEWEST, steps=steps)
    for number, part in ((signal.SIGKILL, 0.3), (signal.SIGINT, 0.2), (signal.SIGKILL, 0.1), (signal.SIGINT, 0.1)):
        process = start(line)
        running, said, seconds = stop(process, broken, number, part * duration)
        what = f"{name}: {signal.Signals(number).name} {part:.0%} of a run after its start"
        if not checks.check(running, f"{what}: it still ran" + ("" if running else "; it said: " + said[-2000:])):
            return
        if number == signal.SIGINT:
            checks.check(process.returncode == 130, f"{what}: exit code 130, is {process.returncode}")
            checks.check(seconds <= INTERRUPT_SECONDS, f"{what}: it ended within {INTERRUPT_SECONDS} s, took {seconds:.2f}")
            checks.check("--resume" in said, f"{what}: it says how to go on")
        line = go_on(data, broken, *MOST)
    oracle.run_well(line)
    check_same(checks, f"{name}: killed twice, interrupted twice, and never", whole, broken)


def check_second_interrupt(checks, scratch, data):
    out = os.path.join(scratch, "twice")
    process = start(command(data, out, *MOST, steps=100000) + ["--quiet"])
    while process.poll() is None and not os.path.exists(os.path.join(out, "resume.safetensors")):
        time.sleep(0.005)
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    seconds = time.monotonic() - sent
    checks.check(process.returncode in (130, -signal.SIGINT), f"two SIGINT: exit code 130, is {process.returncode}")
    checks.check(seconds <= INTERRUPT_SECONDS / 2, f"two SIGINT: ended at once, {seconds:.2f} s")
    oracle.run_well(go_on(data, out, "--max-steps", 1))
    oracle.read_safetensors(os.path.join(out, "resume.safetensors"))
    checks.check(True, "two SIGINT: the checkpoint can be gone on with")


def main():
    checks = oracle.Checks()
    with oracle.scratch_folder() as scratch:
        cifar, pngs = make_data(scratch)
        for name, data in (("CIFAR files", cifar), ("PNG folder", pngs)):
            check_placement(checks, scratch, name.replace(" ", "-"), data)
        check_kills(checks, scratch, "CIFAR-files", cifar)
        check_second_interrupt(checks, scratch, cifar)
    checks.finish()


main()
