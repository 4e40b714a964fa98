"""test_quickstart: tools/quickstart from each state of the network and of the cache: what it asks the server for, what it keeps, what it
says, which data it trains on, and its exit code.

How it works: the script runs in a checkout of its own. Installing and building are stand-ins there, training is a stand-in that writes down
its arguments; 'rstream synth' is the real one. The archive is a stand-in for CIFAR-10's: six files of full size, all zeros, as holes. Only
its size and checksum are replaced in the copy of the script; the values that they replace are checked.
"""
import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

from archive_server import ArchiveServer, refused_url

SKIPPED = 77
SOURCE_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BATCHES = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
FULL_SIZE = 30730000
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--rstream", required=True, help="path of the program rstream")
args = parser.parse_args()

STAND_INS = {
    "tools/install-deps": 'echo "install-deps $*" >>"$CALLS"\nexit "${INSTALL_CODE:-0}"\n',
    "bin/cmake": 'echo "cmake $*" >>"$CALLS"\n'
                 'if [ -n "${CMAKE_FAILS:-}" ]; then\n    seq -f "compiler line %g" 40\n    exit 1\nfi\n'
                 'if [ "$1" = --build ]; then mkdir -p build/release && cp "$CHECKOUT/rstream" build/release/rstream; fi\n',
    "rstream": 'echo "rstream $1" >>"$CALLS"\n'
               'if [ "$1" = train ]; then printf "%s\\n" "${@:2}" >"$TRAINED"; exit "${TRAIN_CODE:-0}"; fi\n'
               'if [ -n "${SYNTH_CODE:-}" ]; then exit "$SYNTH_CODE"; fi\n'
               'exec "$RSTREAM" "$@"\n',
}


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    os.chmod(path, mode)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def make_archive(folder):
    """The archive's bytes. Incompressible words beside the holes, so that it can break off in the middle."""
    inner = os.path.join(folder, "cifar-10-batches-bin")
    os.makedirs(inner)
    for name in BATCHES:
        with open(os.path.join(inner, name), "wb") as file:
            file.truncate(FULL_SIZE)
    write(os.path.join(inner, "readme.html"), b"".join(hashlib.sha256(bytes([i, j])).digest() for i in range(16) for j in range(256)))
    path = os.path.join(folder, "archive.tar.gz")
    subprocess.run(["tar", "--sparse", "-czf", path, "-C", folder, "cifar-10-batches-bin"], check=True)
    return read(path)


class Quickstart(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp(prefix="rstream-quickstart-")
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        cls.archive = make_archive(os.path.join(cls.root, "archive"))
        cls.checkout = os.path.join(cls.root, "checkout")
        script = read(os.path.join(SOURCE_ROOT, "tools", "quickstart")).decode()
        real = {"archive_md5=c32a1d4ab5d03f1284b67883e8d87530": f"archive_md5={hashlib.md5(cls.archive).hexdigest()}",
                "archive_bytes=170052171": f"archive_bytes={len(cls.archive)}"}
        assert "${RSTREAM_CIFAR10_URL:-https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz}" in script
        for line, replacement in real.items():
            assert script.count(line + "\n") == 1, f"no line {line}"
            script = script.replace(line, replacement)
        write(os.path.join(cls.checkout, "tools", "quickstart"), script, 0o755)
        for name, text in STAND_INS.items():
            write(os.path.join(cls.checkout, name), "#!/usr/bin/env bash\nset -eu\n" + text, 0o755)

    def setUp(self):
        self.folder = tempfile.mkdtemp(dir=self.root)
        self.addCleanup(shutil.rmtree, self.folder)
        self.cache = os.path.join(self.folder, "cache", "rstream")
        self.cifar = os.path.join(self.cache, "cifar-10-batches-bin")
        self.archive_path = os.path.join(self.cache, "cifar-10-binary.tar.gz")
        self.partial_path = self.archive_path + ".partial"
        self.synth = os.path.join(self.cache, "synth-cifar10")
        self.out = os.path.join(self.folder, "run")
        self.calls_path = os.path.join(self.folder, "calls")
        self.trained_path = os.path.join(self.folder, "trained")
        os.makedirs(os.path.join(self.folder, "tmp"))
        self.server = ArchiveServer(self.archive)
        self.addCleanup(self.server.close)

    def quickstart(self, *options, out=True, url=None, **variables):
        """Runs the script; its output, of both kinds, in self.output, its exit code in self.code, the stand-ins' calls in self.calls."""
        keep = {name: os.environ[name] for name in ("LANG", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS") if name in os.environ}
        environment = {**keep, "PATH": os.path.join(self.checkout, "bin") + ":" + os.environ["PATH"],
                       "HOME": os.path.join(self.folder, "home"), "XDG_CACHE_HOME": os.path.join(self.folder, "cache"),
                       "TMPDIR": os.path.join(self.folder, "tmp"), "RSTREAM_CIFAR10_URL": url or self.server.url,
                       "CALLS": self.calls_path, "TRAINED": self.trained_path, "CHECKOUT": self.checkout,
                       "RSTREAM": os.path.abspath(args.rstream), **variables}
        environment = {name: value for name, value in environment.items() if value is not None}
        for path in (self.calls_path, self.trained_path):
            if os.path.exists(path):
                os.remove(path)
        shutil.rmtree(os.path.join(self.checkout, "build"), ignore_errors=True)
        self.server.requests.clear()
        command = [os.path.join(self.checkout, "tools", "quickstart"), *options] + (["--out", self.out] if out else [])
        done = subprocess.run(command, env=environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=100)
        self.output, self.code = done.stdout, done.returncode
        self.calls = read(self.calls_path).decode().splitlines() if os.path.exists(self.calls_path) else []
        self.trained = read(self.trained_path).decode().splitlines() if os.path.exists(self.trained_path) else None

    def assert_well(self, *train_arguments):
        self.assertEqual(self.code, 0, self.output)
        self.assertEqual(self.trained, list(train_arguments), self.output)

    def assert_trained_on_cifar(self):
        self.assert_well("--data", self.cifar, "--out", self.out, "--epochs", "2")
        self.assertIn(f"quickstart: data: CIFAR-10 in {self.cifar}\n", self.output)
        self.assertNotIn("GENERATED", self.output)
        self.assertEqual(sorted(os.listdir(self.cifar)), sorted(BATCHES + ["readme.html"]))
        self.assertEqual({os.path.getsize(os.path.join(self.cifar, name)) for name in BATCHES}, {FULL_SIZE})

    def assert_trained_on_generated(self):
        self.assert_well("--data", self.synth, "--out", self.out, "--epochs", "2")
        self.assertIn(f"CIFAR-10 can't be downloaded, so this trains on GENERATED pictures of ten made-up classes in {self.synth}\n",
                      self.output)
        sizes = {name: os.path.getsize(os.path.join(self.synth, name)) for name in BATCHES}
        self.assertEqual(sizes, {**{name: 800 * 3073 for name in BATCHES}, "test_batch.bin": 1000 * 3073})

    def assert_in_cache(self, *names):
        """Exactly these: no leftovers."""
        self.assertEqual(sorted(os.listdir(self.cache)), sorted(names), self.output)

    def put_archive(self, content=None):
        write(self.archive_path, self.archive if content is None else content)

    def put_partial(self, content):
        write(self.partial_path, content)

    # ---- the network is there ----

    def test_downloads_once_and_keeps_it(self):
        self.quickstart()
        self.assert_trained_on_cifar()
        self.assertEqual(self.server.requests, [("/cifar-10-binary.tar.gz", None)])
        self.assertIn(f"quickstart: downloading CIFAR-10 (170 MB) to {self.cache}\n", self.output)
        self.assert_in_cache("cifar-10-batches-bin", "cifar-10-binary.tar.gz")
        self.assertEqual(read(self.archive_path), self.archive)
        self.assertEqual(self.calls, ["install-deps ", "cmake --preset release", "cmake --build --preset release --target rstream",
                                      "rstream train"])
        self.assertEqual(os.listdir(os.path.join(self.folder, "tmp")), [])
        rstream = os.path.join(self.checkout, "build/release/rstream")
        self.assertIn(f"\n  train on     {rstream} train --resume {self.out} --epochs 20\n"
                      f"  evaluate     {rstream} eval --data {self.cifar} --weights {self.out}/best.safetensors\n", self.output)
        self.quickstart()
        self.assert_trained_on_cifar()
        self.assertEqual(self.server.requests, [])
        self.assertNotIn("downloading", self.output)

    def test_follows_a_mirror_s_redirection(self):
        self.server.moved = True
        self.quickstart()
        self.assert_trained_on_cifar()
        self.assertEqual(self.server.requests, [("/cifar-10-binary.tar.gz", None), ("/moved", None)])

    def test_a_broken_connection_is_gone_on_with(self):
        self.server.cut = 30000
        self.quickstart()
        self.assert_trained_on_generated()
        self.assertIn(f"the download stopped at 30000 of {len(self.archive)} bytes; run quickstart again to go on\n", self.output)
        self.assert_in_cache("cifar-10-binary.tar.gz.partial", "synth-cifar10")
        self.server.cut = 50000
        self.quickstart()
        self.assertIn("quickstart: going on with a download of 30000 bytes\n", self.output)
        self.assertIn(f"the download stopped at 80000 of {len(self.archive)} bytes", self.output)
        self.assertEqual(self.server.requests, [("/cifar-10-binary.tar.gz", "bytes=30000-")])
        self.server.cut = None
        self.quickstart()
        self.assert_trained_on_cifar()
        self.assertEqual(self.server.requests, [("/cifar-10-binary.tar.gz", "bytes=80000-")])
        self.assert_in_cache("cifar-10-batches-bin", "cifar-10-binary.tar.gz", "synth-cifar10")

    def test_a_server_without_ranges_sends_it_all_again(self):
        self.put_partial(self.archive[:30000])
        self.server.ranges = False
        self.quickstart()
        self.assert_trained_on_cifar()
        self.assertEqual(self.server.requests, [("/cifar-10-binary.tar.gz", "bytes=30000-"), ("/cifar-10-binary.tar.gz", None)])
        self.assert_in_cache("cifar-10-batches-bin", "cifar-10-binary.tar.gz")

    def test_a_partial_file_that_is_whole_is_taken(self):
        self.put_partial(self.archive)
        self.quickstart()
        self.assert_trained_on_cifar()
        self.assert_in_cache("cifar-10-batches-bin", "cifar-10-binary.tar.gz")

    def test_a_partial_file_that_is_too_long_is_deleted(self):
        self.put_partial(self.archive + b"x")
        self.quickstart()
        self.assert_trained_on_generated()
        self.assertIn("has a wrong checksum", self.output)
        self.assert_in_cache("synth-cifar10")

    def test_a_partial_file_of_something_else_is_deleted(self):
        self.put_partial(b"x" * 30000)
        self.quickstart()
        self.assert_trained_on_generated()
        self.assertIn("the download has a wrong checksum", self.output)
        self.assert_in_cache("synth-cifar10")
        self.quickstart()
        self.assert_trained_on_cifar()

    # ---- what comes isn't the archive ----

    def wrong_download(self, content, words):
        self.server.content = content
        self.quickstart()
        self.assert_trained_on_generated()
        self.assertIn(words, self.output)
        self.assertEqual(len(self.server.requests), 1)
        self.assert_in_cache("synth-cifar10")

    def test_a_wrong_checksum(self):
        damaged = bytearray(self.archive)
        damaged[5000] ^= 1
        self.wrong_download(bytes(damaged), f"quickstart: the download has a wrong checksum ({hashlib.md5(damaged).hexdigest()}, "
                                            f"not {hashlib.md5(self.archive).hexdigest()}); deleted\n")

    def test_a_shorter_file(self):
        self.wrong_download(self.archive[:-1], "the download has a wrong checksum")

    def test_a_web_page(self):
        for page in (b"<!DOCTYPE html>\n<title>Log in</title>", b"\n<HTML><body>Log in</body></HTML>"):
            self.wrong_download(page, "quickstart: a web page came instead of the archive (a login portal?); deleted\n")
            shutil.rmtree(self.cache)

    def test_not_found(self):
        self.server.status = 404
        self.quickstart()
        self.assert_trained_on_generated()
        self.assertIn("404", self.output)
        self.assert_in_cache("synth-cifar10")

    def test_not_found_keeps_what_came_before(self):
        self.put_partial(self.archive[:30000])
        self.server.status = 404
        self.quickstart()
        self.assert_trained_on_generated()
        self.assert_in_cache("cifar-10-binary.tar.gz.partial", "synth-cifar10")
        self.assertEqual(read(self.partial_path), self.archive[:30000])

    def test_an_empty_answer(self):
        self.server.content = b""
        self.quickstart()
        self.assert_trained_on_generated()
        self.assert_in_cache("synth-cifar10")

    # ---- no network ----

    def test_no_network(self):
        holder, url = refused_url()
        with holder:
            self.quickstart(url=url)
            self.assert_trained_on_generated()
            self.assert_in_cache("synth-cifar10")
            self.assertEqual(self.calls.count("rstream synth"), 1)
            before = os.stat(os.path.join(self.synth, "test_batch.bin")).st_mtime_ns
            self.quickstart(url=url)
            self.assert_trained_on_generated()
            self.assertEqual(self.calls.count("rstream synth"), 0)
            self.assertEqual(os.stat(os.path.join(self.synth, "test_batch.bin")).st_mtime_ns, before)

    def test_half_a_generated_set_is_made_anew(self):
        holder, url = refused_url()
        write(os.path.join(self.synth + ".partial", "data_batch_1.bin"), b"x")
        write(os.path.join(self.synth, "data_batch_1.bin"), b"x")
        with holder:
            self.quickstart(url=url)
        self.assert_trained_on_generated()
        self.assert_in_cache("synth-cifar10")

    def test_generating_fails(self):
        holder, url = refused_url()
        with holder:
            self.quickstart(url=url, SYNTH_CODE="1")
        self.assertEqual(self.code, 1, self.output)
        self.assertIsNone(self.trained)

    # ---- the cache ----

    def test_the_archive_in_the_cache_is_unpacked_without_a_request(self):
        self.put_archive()
        self.quickstart()
        self.assert_trained_on_cifar()
        self.assertEqual(self.server.requests, [])

    def test_a_damaged_archive_in_the_cache_is_brought_again(self):
        for damaged in (self.archive[:-1] + bytes([self.archive[-1] ^ 1]), self.archive[:1000], b""):
            self.put_archive(damaged)
            self.quickstart()
            self.assert_trained_on_cifar()
            self.assertIn(f"quickstart: {self.archive_path} has a wrong checksum; deleted\n", self.output)
            self.assertEqual(len(self.server.requests), 1)
            self.assert_in_cache("cifar-10-batches-bin", "cifar-10-binary.tar.gz")
            shutil.rmtree(self.cache)

    def test_an_incomplete_folder_is_unpacked_anew(self):
        for damaged, size in [(name, None) for name in BATCHES] + [("data_batch_3.bin", FULL_SIZE - 1)]:
            self.put_archive()
            os.makedirs(self.cifar)
            for name in BATCHES:
                if name != damaged or size:
                    with open(os.path.join(self.cifar, name), "wb") as file:
                        file.truncate(size if name == damaged else FULL_SIZE)
            write(os.path.join(self.cifar, "stray"), b"x")
            write(os.path.join(self.cifar + ".unpacking", "stray"), b"x")
            self.quickstart()
            self.assert_trained_on_cifar()
            self.assertEqual(self.server.requests, [])
            self.assert_in_cache("cifar-10-batches-bin", "cifar-10-binary.tar.gz")
            shutil.rmtree(self.cache)

    def test_a_complete_folder_needs_no_archive(self):
        self.quickstart()
        os.remove(self.archive_path)
        self.quickstart()
        self.assert_trained_on_cifar()
        self.assertEqual(self.server.requests, [])
        self.assert_in_cache("cifar-10-batches-bin")

    def test_unpacking_fails(self):
        """A full disk, for which a tar stands: nothing half unpacked stays, and the reason is said."""
        self.put_archive()
        bin_folder = os.path.join(self.folder, "bin")
        write(os.path.join(bin_folder, "tar"), '#!/usr/bin/env bash\nfolder=$4\n: >"$folder/data_batch_1.bin"\necho "tar: no space" >&2\nexit 2\n', 0o755)
        self.quickstart(PATH=bin_folder + ":" + os.path.join(self.checkout, "bin") + ":" + os.environ["PATH"])
        self.assert_trained_on_generated()
        self.assertIn("tar: no space\n", self.output)
        self.assertIn(f"quickstart: {self.archive_path} can't be unpacked\n", self.output)
        self.assert_in_cache("cifar-10-binary.tar.gz", "synth-cifar10")

    def test_the_home_folder_has_the_cache(self):
        home = os.path.join(self.folder, "home")
        self.quickstart(XDG_CACHE_HOME=None)
        cifar = os.path.join(home, ".cache", "rstream", "cifar-10-batches-bin")
        self.assert_well("--data", cifar, "--out", self.out, "--epochs", "2")
        self.quickstart(XDG_CACHE_HOME=None, HOME=None)
        self.assertEqual(self.code, 1)
        self.assertIn("quickstart needs HOME or XDG_CACHE_HOME", self.output)

    # ---- the person's own data ----

    def test_data_is_given(self):
        for how in ("word", "equals", "environment"):
            data = os.path.join(self.folder, "my images")
            os.makedirs(data, exist_ok=True)
            options = {"word": ["--data", data], "equals": [f"--data={data}"], "environment": []}[how]
            self.quickstart(*options, RSTREAM_DATA=data if how == "environment" else "/elsewhere")
            self.assert_well("--data", data, "--out", self.out, "--epochs", "2")
            self.assertIn(f"quickstart: data: {data}\n", self.output)
            self.assertEqual(self.server.requests, [])
            self.assertFalse(os.path.exists(self.cache))

    def test_a_missing_folder_is_wrong_usage(self):
        for options, variables in ((["--data", "/nowhere"], {}), ([], {"RSTREAM_DATA": "/nowhere"})):
            self.quickstart(*options, **variables)
            self.assertEqual(self.code, 2)
            self.assertIn("quickstart: no such folder: /nowhere. ", self.output)
            self.assertEqual(self.calls, [])

    # ---- options ----

    def test_epochs_and_steps_replace_the_default(self):
        os.makedirs(os.path.join(self.folder, "data"))
        data = ["--data", os.path.join(self.folder, "data")]
        for given, passed in ((["--epochs", "7"], ["--epochs", "7"]), (["--epochs=7"], ["--epochs", "7"]),
                              (["--max-steps", "5"], ["--max-steps", "5"]), (["--max-steps=5", "--epochs=3"], ["--max-steps", "5", "--epochs", "3"])):
            self.quickstart(*data, *given)
            self.assert_well(*data, "--out", self.out, *passed)

    def test_other_options_are_passed_on(self):
        data = os.path.join(self.folder, "data")
        os.makedirs(data)
        self.quickstart("--batch-size", "16", "--data", data, "--no-shuffle", "--trace=a b.json")
        self.assert_well("--data", data, "--out", self.out, "--epochs", "2", "--batch-size", "16", "--no-shuffle", "--trace=a b.json")

    def test_the_default_run_folder_is_in_the_checkout(self):
        data = os.path.join(self.folder, "data")
        os.makedirs(data)
        self.quickstart("--data", data, out=False)
        self.assertEqual(self.code, 0, self.output)
        self.assertRegex(self.trained[3], "^" + self.checkout + r"/runs/quickstart-\d{8}-\d{6}$")
        self.assertIn(f"quickstart: training; the run goes to {self.trained[3]} ", self.output)

    def test_resume_keeps_the_run_s_own_data_and_epochs(self):
        run = os.path.join(self.folder, "old run")
        self.quickstart("--resume", run, out=False, RSTREAM_DATA="/elsewhere")
        self.assert_well("--resume", run)
        self.assertEqual(self.server.requests, [])
        self.assertFalse(os.path.exists(self.cache))
        self.assertIn("quickstart: data: the run's own\n", self.output)
        self.assertIn(f" train --resume {run} --epochs 20\n", self.output)
        data = os.path.join(self.folder, "moved")
        os.makedirs(data)
        self.quickstart(f"--resume={run}", "--data", data, "--epochs", "9", out=False)
        self.assert_well("--data", data, "--resume", run, "--epochs", "9")

    def test_a_missing_value_is_wrong_usage(self):
        for name in ("--data", "--out", "--epochs", "--max-steps", "--resume"):
            for options in ([name], [f"{name}="], [name, ""]):
                self.quickstart(*options, out=False)
                self.assertEqual(self.code, 2, options)
                self.assertEqual(self.output, f"quickstart: {name} needs a value\n")
                self.assertEqual(self.calls, [])

    def test_help(self):
        for option in ("--help", "-h"):
            self.quickstart(option, out=False)
            self.assertEqual(self.code, 0)
            self.assertTrue(self.output.startswith("usage: tools/quickstart [--data DIR]"))
            for word in ("trains 2 epochs", "--data DIR", "--out RUN_DIR", "--resume RUN_DIR", "RSTREAM_DATA", "RSTREAM_CIFAR10_URL",
                         "XDG_CACHE_HOME"):
                self.assertIn(word, self.output)
            self.assertEqual(self.calls, [])

    # ---- failures are passed on ----

    def test_the_exit_code_is_training_s(self):
        data = os.path.join(self.folder, "data")
        os.makedirs(data)
        for code in (1, 2, 3, 130):
            self.quickstart("--data", data, TRAIN_CODE=str(code))
            self.assertEqual(self.code, code)
            self.assertNotIn("What next", self.output)

    def test_installing_fails(self):
        self.quickstart(INSTALL_CODE="1")
        self.assertEqual(self.code, 1)
        self.assertEqual(self.calls, ["install-deps "])

    def test_building_fails(self):
        self.quickstart(CMAKE_FAILS="1")
        self.assertEqual(self.code, 1)
        self.assertIsNone(self.trained)
        self.assertEqual(self.server.requests, [])
        self.assertIn("compiler line 40\n", self.output)
        self.assertIn("compiler line 11\n", self.output)
        self.assertNotIn("compiler line 10\n", self.output)
        log = self.output.partition("quickstart: the build failed; its whole output is in ")[2].strip()
        self.assertTrue(log.startswith(self.folder), self.output)
        self.assertEqual(read(log).decode().splitlines(), [f"compiler line {i}" for i in range(1, 41)])


if __name__ == "__main__":
    for program in ("bash", "curl", "md5sum", "tar"):
        if not shutil.which(program):
            print(f"skipped: no {program}, which tools/quickstart needs")
            sys.exit(SKIPPED)
    result = unittest.main(argv=[sys.argv[0]], exit=False, verbosity=2).result
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)
