"""fault_run.py: runs rstream with the library that makes calls fail, and reads its record of the calls.

The library's side is fault_plan.h.
"""
import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "oracle"))
import oracle  # noqa: E402

# A hang is a hang after a minute, too; a loaded machine is not taken for one.
WATCHDOG_SECONDS, WATCHDOG_SANITIZED = 60, 240
REPORTS = re.compile(r"ERROR: \w*Sanitizer|WARNING: \w*Sanitizer|runtime error:|LeakSanitizer|a mistake in the program")


@dataclasses.dataclass(frozen=True)
class Call:
    function: str
    subject: str
    number: int
    result: int
    fault: str
    source: str  # of a rename


@dataclasses.dataclass
class Done:
    code: int  # negative: a signal
    hung: bool
    out: str
    err: str
    calls: list

    def reached(self):
        return any(call.fault != "-" for call in self.calls)


class Program:
    """What is needed to run rstream under the library."""

    def __init__(self, args):
        self.rstream, self.sanitizer = args.rstream, args.sanitizer
        self.watchdog = WATCHDOG_SANITIZED if args.sanitizer else WATCHDOG_SECONDS
        preload = [args.fault_io]
        if args.sanitizer: # its runtime must come first; its interceptors then call the library's functions
            libraries = subprocess.run(["ldd", self.rstream], stdout=subprocess.PIPE, text=True, check=True).stdout
            preload = re.findall(r"=> (\S*/lib[at]san\S*)", libraries) + preload
        self.environment = dict(os.environ, LD_PRELOAD=":".join(preload), RSTREAM_CUDA_PLUGIN=args.fault_plugin,
                                OMP_WAIT_POLICY="passive")

    def run(self, command, roots, log, fault=None):
        """fault: "function|subject|number|kind". The record is read from log, a path, and removed."""
        environment = dict(self.environment, RS_FAULT_ROOT=":".join(roots), RS_FAULT_LOG=log)
        if fault:
            environment["RS_FAULT"] = fault
        process = subprocess.Popen([str(part) for part in [self.rstream, *command]], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, errors="replace", env=environment)
        hung = False
        try:
            out, err = process.communicate(timeout=self.watchdog)
        except subprocess.TimeoutExpired:
            hung = True
            process.send_signal(signal.SIGKILL)
            out, err = process.communicate()
        calls = read_calls(log)
        return Done(process.returncode, hung, out, err, calls)


def read_calls(log):
    calls = []
    try:
        with open(log) as file:
            for line in file:
                function, subject, number, result, fault, source = line.rstrip("\n").split("\t")
                calls.append(Call(function, subject, int(number), int(result), fault, source))
        os.remove(log)
    except FileNotFoundError:
        pass
    return calls


def must_run(program, command, scratch, folder=None):
    """A run without a fault, which must succeed; its files are named as a sweep names them."""
    roots = [folder] if folder else []
    done = program.run(command, [*roots, os.path.join(scratch, "shared")], os.path.join(scratch, "log"))
    if done.code != 0:
        print(f"FAILED: exit code {done.code} of {' '.join(str(part) for part in command)}\n{done.out}{done.err}")
        sys.exit(1)
    return done


def memory_folder():
    """A new folder in memory, where there is room, so that checkpoints are cheap."""
    parent = "/dev/shm"
    if not os.access(parent, os.W_OK) or shutil.disk_usage(parent).free < 4 << 30:
        parent = None
    return tempfile.mkdtemp(prefix="rstream-faults-", dir=parent)


def arguments(parser):
    parser.add_argument("--rstream", required=True, help="the program")
    parser.add_argument("--fault-io", required=True, help="the library that is preloaded")
    parser.add_argument("--fault-plugin", required=True, help="the plugin with the device of the runs")
    parser.add_argument("--sanitizer", default="", help="how the programs were built")
    return parser.parse_args()
