#!/usr/bin/python3
"""sweep_io: every call to the system fails once, in every command, and each time the outcome is clean.

A first run of each scenario counts its calls; then each call fails in a run of its own: with an errno that fits, with a short count, with EINTR.
After each run: no signal, no hang, no report of a sanitizer, exit code 0 to 3; a failure names the file; no half file, no descriptor left
open; and a run without a fault goes on to the same results. A run that ends well in spite of the fault has the results of one without.

usage: sweep_io.py --rstream FILE --fault-io FILE --fault-plugin FILE [--sample N] [--only SCENARIO,...] [--jobs 2]
"""
import argparse
import collections
import concurrent.futures
import dataclasses
import os
import random
import re
import shutil
import signal
import sys
import threading

import fault_run
import fault_scenarios

READS = ("EIO", "EINTR", "short")
STREAM_READS = ("EIO", "short")  # an interrupted stream is libc's error; short counts are handled by it
WRITES = ("full", "EIO", "EINTR", "short")
KINDS = {
    "open": ("EMFILE", "EACCES", "EINTR"), "fopen": ("EMFILE", "EACCES"), "opendir": ("EMFILE", "EACCES"), "readdir": ("EIO",),
    "read": READS, "stream-read": STREAM_READS, "write": WRITES, "stream-write": ("full", "EIO", "short"),
    "fsync": ("EIO", "EINTR"), "close": ("EIO",), "stream-close": ("EIO",), "rename": ("EIO", "ENOSPC"), "unlink": ("EIO",),
    "mkdir": ("ENOSPC",), "stat": ("EIO", "EACCES"), "statvfs": ("EIO",), "flock": ("EIO",),
    "pthread_create": ("EAGAIN",), "eventfd": ("EMFILE",), "epoll_create": ("EMFILE",), "epoll_wait": ("EINTR",), "pipe": ("EMFILE",),
    "mmap": ("ENOMEM",),
}
TRANSPARENT = ("EINTR", "short")  # the run must end as if nothing had happened
# A failure that may pass: function, subject, reason. Everything else must end the command.
HARMLESS = (
    ("close", r"(data|pngs)/.*|run|one.png|two.png|weights.safetensors|run/resume.safetensors", "nothing was written to it"),
    ("stream-close", r"(data|pngs)/.*|one.png|two.png", "nothing was written to it"),
    ("stream-close", r"run/metrics.jsonl", "its lines were flushed before, and that is where a failed write shows"),
    ("flock", r"run", "a file system without locks has none to give"),
)
# Calls without which the library that makes them ends the program itself, by SIGABRT or SIGSEGV.
ABORTS = (
    ("pthread_create", r"libuv.*", "libuv calls abort() when a thread of its pool can't be started"),
    ("pipe", r"libuv.*", "libuv calls abort() when the pipe of its signal handlers can't be made"),
    ("mmap", r"libdnnl.*", "oneDNN 2.6 writes its code through the pointer that the failed call returned"),
)
# What stays where the fault was that it can't be removed: the point, the file.
STAYS = (("unlink", "run/writable.tmp"),)
REPEATED = 3  # calls of one function on one file that get every kind; the later ones take turns


@dataclasses.dataclass(frozen=True)
class Point:
    function: str
    subject: str
    number: int
    kind: str

    def text(self):
        return f"{self.function}|{self.subject}|{self.number}|{self.kind}"


def listed(table, point):
    return any(function == point.function and re.fullmatch(subject, point.subject) for function, subject, _ in table)


def points_of(scenario, calls):
    points = []
    for call in calls:
        if call.function not in KINDS or (scenario.only and call.function not in scenario.only):
            continue
        kinds = KINDS[call.function]
        if call.number > REPEATED:
            kinds = (kinds[call.number % len(kinds)],)
        points += [Point(call.function, call.subject, call.number, kind) for kind in kinds]
    return points


def sample(points, count):
    """count of (scenario, point), the same ones each time, every function of every scenario before a second one of it."""
    groups = collections.defaultdict(list)
    for scenario, point in points:
        groups[(scenario.name, point.function)].append((scenario, point))
    generator = random.Random(20)
    chosen, names = [], sorted(groups)
    generator.shuffle(names)
    for group in groups.values():
        generator.shuffle(group)
    while len(chosen) < count and any(groups.values()):
        chosen += [groups[name].pop() for name in names if groups[name]]
    return chosen[:count]


def file_named(subject, message):
    """Whether a message names the file: its path without what is added while it is written."""
    path = re.sub(r"(\.PID)?\.partial$", "", subject)
    return path in message or re.sub(r"\.rstream-synth(\.partial)?/", "", path) in message


class Sweep:
    def __init__(self, program, scenarios, scratch):
        self.program, self.scenarios, self.scratch = program, scenarios, scratch
        self.expected, self.local = {}, threading.local()
        self.numbers = iter(range(1000))
        self.tally = collections.Counter()

    def folder(self):
        if not hasattr(self.local, "folder"):
            self.local.folder = os.path.join(self.scratch, f"worker{next(self.numbers)}")
        shutil.rmtree(self.local.folder, ignore_errors=True)
        os.makedirs(self.local.folder)
        return self.local.folder

    def run(self, command, folder, fault=None):
        return self.program.run(command, [folder, os.path.join(self.scratch, "shared")], folder + ".log", fault)

    def count(self, scenario):
        """The calls of a run without a fault. Its results are what the others are compared with."""
        folder = self.folder()
        scenario.prepare(folder)
        done = self.run(scenario.command(folder), folder)
        if done.code != 0 or fault_scenarios.check_whole(folder):
            print(f"FAILED  {scenario.name} without a fault: exit code {done.code}\n{done.out}{done.err}")
            sys.exit(1)
        self.expected[scenario.name] = scenario.results(folder, done)
        return done.calls

    def findings(self, scenario, point):
        """What is wrong after a run with the fault, as sentences; None when it wasn't reached."""
        folder = self.folder()
        scenario.prepare(folder)
        done = self.run(scenario.command(folder), folder, point.text())
        if done.code in (-6, -11) and listed(ABORTS, point):
            self.tally["ended by a library"] += 1
            return []
        wrong = self.check_end(scenario, point, done, folder)
        torn = done.code != 0 and scenario.spoils_metrics(point)
        wrong += [each for each in fault_scenarios.check_whole(folder, torn)
                  if (point.function, point.subject) not in STAYS or point.subject not in each]
        if done.code == 0:
            wrong += self.compare(scenario, folder, done, "in spite of it")
        else:
            again = self.run(scenario.again(folder), folder)
            if again.code != 0:
                return wrong + [f"once more without a fault: exit code {again.code}: {again.err.strip()}"]
            if not torn:
                wrong += self.compare(scenario, folder, again, "once more without a fault")
            wrong += fault_scenarios.check_whole(folder)
        if done.code == 0 and not done.reached():
            self.tally["not reached"] += 1
        else:
            self.tally["ended well" if done.code == 0 else "failed cleanly"] += 1
        if wrong:
            wrong.append(f"exit code {done.code}; it said: {done.err.strip() or done.out[-300:]}")
        return wrong

    def check_end(self, scenario, point, done, folder):
        wrong = []
        if done.hung:
            wrong.append("it hung")
        elif done.code not in (0, 1, 2, 3):
            wrong.append(f"it ended with {done.code}")
        if fault_run.REPORTS.search(done.err):
            wrong.append("a sanitizer or an assertion reports: " + done.err[:3000])
        wrong += [f"{call.subject} was never closed" for call in done.calls if call.function == "open-at-end"]
        if done.code == 0 and done.reached() and point.kind not in TRANSPARENT and not listed(HARMLESS, point):
            wrong.append("the failure was ignored")
        if done.code != 0 and point.kind in TRANSPARENT:
            wrong.append("it should have gone on")
        if done.code > 0 and "/" in point.subject and not file_named(point.subject, done.err):
            wrong.append("the message doesn't name the file")
        if done.code > 0 and not done.err.strip():
            wrong.append("it said nothing")
        return wrong

    def compare(self, scenario, folder, done, when):
        expected = self.expected[scenario.name]
        try:
            found = scenario.results(folder, done)
        except (OSError, ValueError) as error:
            return [f"{when}: {error}"]
        return [f"{when}: {name} differs: {found.get(name)}, expected {expected.get(name)}" for name in sorted(set(found) | set(expected))
                if found.get(name) != expected.get(name)]


def report(points):
    table = collections.defaultdict(collections.Counter)
    for scenario, point in points:
        table[scenario.name][point.function] += 1
    for name, functions in table.items():
        print(f"{name}: {sum(functions.values())} points: " + ", ".join(f"{count} {function}" for function, count in sorted(functions.items())))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, help="so many points instead of all")
    parser.add_argument("--only", default="", help="scenarios, separated by commas")
    parser.add_argument("--functions", default="", help="functions, separated by commas")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    args = fault_run.arguments(parser)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1)) # as an interrupt does, so that the folder goes away
    scratch = fault_run.memory_folder()
    try:
        sys.exit(sweep(args, scratch))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def sweep(args, scratch):
    program, shared = fault_run.Program(args), os.path.join(scratch, "shared")
    scenarios = fault_scenarios.make_all(shared, lambda command: fault_run.must_run(program, command, scratch))
    scenarios = [s for s in scenarios if not args.only or s.name in args.only.split(",")]
    state = Sweep(program, scenarios, scratch)
    points = [(scenario, point) for scenario in scenarios for point in points_of(scenario, state.count(scenario))]
    if args.functions:
        points = [(s, p) for s, p in points if p.function in args.functions.split(",")]
    if args.sample:
        points = sample(points, args.sample)
    report(points)
    failed, done = 0, 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for (scenario, point), wrong in zip(points, pool.map(lambda each: state.findings(*each), points)):
            done += 1
            if wrong:
                failed += 1
                print(f"FAILED  {scenario.name}: {point.text()}")
                for sentence in wrong:
                    print(f"        {sentence}")
            if done % 100 == 0:
                print(f"{done} of {len(points)}, {failed} failed")
            sys.stdout.flush()
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(state.tally.items()))
    print(f"{len(points)} points, {len(points) - failed} clean, {failed} failed ({outcomes})")
    return 1 if failed or not points else 0


if __name__ == "__main__":
    main()
