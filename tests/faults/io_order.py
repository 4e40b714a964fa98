#!/usr/bin/python3
"""io_order: what lasts is written in the order that survives a crash.

From the record of all calls of a run, for each file that replaces another one: everything is written, then synced, closed, renamed, and its
folder synced before the next one is renamed. A checkpoint's files follow each other: best, last, resume. No file is written under
the name that readers know, but metrics.jsonl, which grows. Files for people (the trace, pictures, a made-up data set) are renamed when they are
closed; they need no sync.
"""
import argparse
import os
import shutil
import sys

import fault_run
import fault_scenarios
from fault_run import oracle

DURABLE = ("run/config.json", "run/metrics.jsonl", "run/best.safetensors", "run/last.safetensors", "run/resume.safetensors")
PROBE = ("run/writable.tmp",)
GROWS = "run/metrics.jsonl"


def positions(calls, function, subject):
    return [i for i, call in enumerate(calls) if call.function == function and call.subject == subject and call.result >= 0]


def check_replaced(checks, what, calls, at):
    """The rename at this position: all that comes before and after it."""
    rename = calls[at]
    earlier = [i for i in positions(calls, "open", rename.source) + positions(calls, "fopen", rename.source) if i < at]
    if not checks.check(earlier, f"{what}: {rename.subject} was opened beside itself"):
        return
    span = calls[max(earlier):at]
    steps = [call.function.replace("stream-", "") for call in span if call.subject == rename.source]
    steps = [step for i, step in enumerate(steps) if i == 0 or step != "write" or steps[i - 1] != "write"]
    wanted = ["open", "write", "fsync", "close"] if rename.subject in DURABLE + PROBE else ["fopen", "write", "close"]
    checks.check(steps == wanted, f"{what}: before {rename.subject} is renamed: {', '.join(wanted)}; found {', '.join(steps)}")
    checks.check(all(call.result >= 0 for call in span if call.subject == rename.source), f"{what}: and each of them succeeded")


def check_folder_synced(checks, what, calls, renames):
    """Each durable rename is followed by a sync of the folder, before the next rename and before the end."""
    for i, at in enumerate(renames):
        end = renames[i + 1] if i + 1 < len(renames) else len(calls)
        synced = [k for k in positions(calls, "fsync", os.path.dirname(calls[at].subject)) if at < k < end]
        if calls[at].subject in DURABLE:
            checks.check(synced, f"{what}: the folder is synced after {calls[at].subject} is renamed")


def check_checkpoints(checks, what, names):
    """names: of the safetensors files in the order of their renames."""
    groups, group = [], []
    for name in names:
        group.append(name)
        if name == "resume":
            groups.append(group)
            group = []
    checks.check(groups and not group, f"{what}: each checkpoint ends with the resume file: {names}")
    for group in groups:
        checks.check(group in (["best", "last", "resume"], ["last", "resume"]), f"{what}: a checkpoint's order: {group}")


def check_calls(checks, what, calls, folder):
    renames = [i for i, call in enumerate(calls) if call.function == "rename" and call.result == 0]
    for at in renames:
        if ".rstream-synth.partial/" not in calls[at].source or calls[at].source.endswith(".PID.partial"):
            check_replaced(checks, what, calls, at)
    check_folder_synced(checks, what, calls, renames)
    direct = {call.subject for call in calls if call.function in ("write", "stream-write")
              and ".partial" not in call.subject and call.subject != GROWS}
    checks.check(not direct, f"{what}: nothing is written under its last name: {sorted(direct)}")
    replaced = {calls[at].subject for at in renames}
    if not any(name.startswith("made") for name in replaced):
        there = {name for name in fault_scenarios.tree(folder)} - {GROWS}
        old = {name for name in there if name.endswith(".safetensors")}
        checks.check(there - old <= replaced, f"{what}: what is there was renamed: {sorted(there - old - replaced)}")
    return [os.path.basename(calls[at].subject) for at in renames]


def check_train(checks, what, names, files):
    durable = [name for name in names if "run/" + name in DURABLE]
    checks.check([name for name in durable if name in files] == files, f"{what}: {files} come in this order: {names}")
    check_checkpoints(checks, what, [name.split(".")[0] for name in names if name.endswith(".safetensors")])


def check_synth(checks, names):
    cifar = [name for name in names if name.endswith(".bin")]
    checks.check(cifar[:1] == ["test_batch.bin"] and len(cifar) == 6, f"synth: the training files are published last: {cifar}")


def main():
    args = fault_run.arguments(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
    program, checks = fault_run.Program(args), oracle.Checks()
    scratch = fault_run.memory_folder()
    try:
        scenarios = fault_scenarios.make_all(os.path.join(scratch, "shared"), lambda command: fault_run.must_run(program, command, scratch))
        for scenario in scenarios:
            folder = os.path.join(scratch, scenario.name)
            os.makedirs(folder)
            scenario.prepare(folder)
            calls = fault_run.must_run(program, scenario.command(folder), scratch, folder).calls
            names = check_calls(checks, scenario.name, calls, folder)
            if scenario.name.startswith("train"):
                check_train(checks, scenario.name, names, ["config.json", "best.safetensors"])
            elif scenario.name == "resume":
                check_train(checks, scenario.name, names, ["metrics.jsonl", "config.json", "last.safetensors", "resume.safetensors"])
            elif scenario.name == "synth":
                check_synth(checks, names)
            shutil.rmtree(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    checks.finish()


if __name__ == "__main__":
    sys.exit(main())
