"""A real server on disks that fail while clients run: full, read-only, failing writes, syncs and reads,
bytes that rot under it. Nothing wrong is ever served, the server never ends, and it goes on without
a restart when the disk does.

The disks are a small tmpfs that is filled from outside, where mounting is permitted, and a directory
whose calls fail as told (disk_faults.c, preloaded into the server).
"""
import hashlib
import mmap
import os
import random
import struct
import subprocess
import tempfile
import time
import unittest

import grpc

from fleet_test import Playground
from kvserver import BLOCK, Server, lookup_request, read_request, write_request
from metrics import Metrics, free_port

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CONVERSATIONS = os.path.join(SOURCE, "KVPlayground", "data", "conversation_tokens.json")
BUFFER = 100_000
PATIENCE_S = 60
# Every read goes to the disk, and by calls that can be made to fail.
ON_DISK = ("--memory", "0", "--io", "threads", "--disable-metrics")


class Blocks:
    """Blocks of their own prompts, whose bytes follow from their number; what was acknowledged."""

    def __init__(self, server):
        self.stub = server.stub()
        self.stored = set()

    @staticmethod
    def tokens(n):
        return [n * 1000 + 7] * BLOCK

    @staticmethod
    def buffer(n):
        return random.Random(n).randbytes(BUFFER)

    def write(self, n):
        """None, or the error."""
        tokens = self.tokens(n)
        digest = hashlib.sha256(struct.pack(f"<{BLOCK}q", *tokens)).digest()
        try:
            self.stub.Write(write_request(tokens, n + 1, digest=digest, buffer=self.buffer(n)),
                            timeout=PATIENCE_S)
        except grpc.RpcError as error:
            return error
        self.stored.add(n)
        return None

    def read(self, n):
        """"right", "miss" or the error's code. A wrong byte is an exception."""
        try:
            found = self.stub.Lookup(lookup_request(self.tokens(n)), timeout=PATIENCE_S)
            if found.cached_blocks == 0:
                return "miss"
            answer = self.stub.Read(read_request(found.locations[0].location), timeout=PATIENCE_S)
        except grpc.RpcError as error:
            return error.code()
        if not answer.found:
            return "miss"
        if answer.chunk.buffer != self.buffer(n) or list(answer.chunk.tokens) != self.tokens(n):
            raise AssertionError(f"block {n} is wrong")
        return "right"

    def check_all(self, test, but=(), evicted=False):
        for n in sorted(self.stored):
            seen = self.read(n)
            if not (evicted and seen == "miss"):
                test.assertEqual(seen, "miss" if n in but else "right", n)


def segments(directory):
    folder = os.path.join(directory, "segments")
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder))]


def rot(directory, text):
    """Flips a byte of what follows the text in the segment that holds it."""
    for path in segments(directory):
        with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as content:
            at = content.find(text)
            if at >= 0:
                content[at + len(text) // 2] ^= 16
                return
    raise AssertionError("no segment holds it")


def eventually(test, holds, what):
    end = time.monotonic() + PATIENCE_S
    while not holds():
        test.assertLess(time.monotonic(), end, what)
        time.sleep(0.05)


class FailingDisk:
    """A directory whose calls fail as told, for a server that is started with its environment."""

    def __init__(self, test):
        if "KVSTORE_DISK_FAULTS" not in os.environ:
            test.skipTest("not with this build: the sanitizers stand where disk_faults.c would")
        self.folder = tempfile.TemporaryDirectory(prefix="kvstore-faults-")
        test.addCleanup(self.folder.cleanup)
        self.directory = os.path.join(self.folder.name, "data")
        self.control = os.path.join(self.folder.name, "control")
        self.fail("-")
        self.environment = {"LD_PRELOAD": os.environ["KVSTORE_DISK_FAULTS"],
                            "KVSTORE_FAULTS": self.control, "KVSTORE_FAULTS_DIR": self.directory}

    def fail(self, how):
        with open(self.control, "r+b" if os.path.exists(self.control) else "wb") as file:
            file.write(how.encode())

    def server(self, *options):
        return Server(*options, data_dir=self.directory, environment=self.environment)


class Tmpfs:
    """A small disk of its own."""

    def __init__(self, test, size):
        self.path = tempfile.mkdtemp(prefix="kvstore-tmpfs-")
        test.addCleanup(os.rmdir, self.path)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", self.path],
                                 capture_output=True, text=True)
        if mounted.returncode != 0:
            test.skipTest(f"mounting is not permitted here: {mounted.stderr.strip()}")
        test.addCleanup(subprocess.run, ["umount", "--lazy", self.path], check=True)
        self.directory = os.path.join(self.path, "data")

    def fill(self):
        with open(os.path.join(self.path, "others"), "ab", buffering=0) as file:
            zeros = bytes(1 << 20)
            try:
                while True:
                    file.write(zeros)
            except OSError:
                pass
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                pass

    def free(self):
        os.remove(os.path.join(self.path, "others"))


class DiskFaultsTest(unittest.TestCase):
    def test_a_disk_that_others_fill_and_free(self):
        disk = Tmpfs(self, "64m")
        with Server(*ON_DISK, "--capacity", "48MiB", data_dir=disk.directory) as server:
            blocks = Blocks(server)
            for n in range(60):
                self.assertIsNone(blocks.write(n))
            disk.fill()
            refused, written, lost = 0, [], set()
            for n in range(100, 300):
                error = blocks.write(n)
                if error is None:
                    written.append(n)
                else:
                    self.assertEqual(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED,
                                     error.details())
                    refused += 1
                if n % 20 == 0:  # reads go on: what was evicted to make room is a miss
                    seen = [blocks.read(m) for m in list(blocks.stored)[:20]]
                    self.assertLessEqual(set(seen), {"right", "miss"})
            print(f"full tmpfs: {len(written)} written over evicted ones, {refused} refused")
            disk.free()
            eventually(self, lambda: blocks.write(1000) is None, "writes do not go on")
            for n in range(1001, 1040):
                self.assertIsNone(blocks.write(n))
            for n in range(1000, 1040):
                self.assertEqual(blocks.read(n), "right")
            self.assertEqual(server.stop(), 0)

    # It says why, and loses nothing.
    def test_no_start_on_a_full_or_read_only_disk(self):
        disk = Tmpfs(self, "64m")
        options = (*ON_DISK, "--capacity", "32MiB")
        with Server(*options, data_dir=disk.directory) as server:
            blocks = Blocks(server)
            for n in range(100):
                self.assertIsNone(blocks.write(n))
        disk.fill()
        with self.assertRaisesRegex(RuntimeError, "No space left on device.*: make room"):
            Server(*options, data_dir=disk.directory)
        disk.free()
        subprocess.run(["mount", "-o", "remount,ro", disk.path], check=True)
        with self.assertRaisesRegex(RuntimeError, "Read-only file system"):
            Server(*options, data_dir=disk.directory)
        subprocess.run(["mount", "-o", "remount,rw", disk.path], check=True)
        with Server(*options, data_dir=disk.directory) as server:
            blocks.stub = server.stub()
            blocks.check_all(self)

    def test_clients_play_on_while_the_disk_is_filled_and_freed(self):
        disk = Tmpfs(self, "96m")
        with Server("--memory", "8MiB", "--disable-metrics", "--capacity", "80MiB",
                    data_dir=disk.directory) as server:
            player = Playground([server], CONVERSATIONS, "6", "4", "--buffer-bytes", "60000")
            fills = 0
            while player.process.poll() is None:
                disk.fill()
                time.sleep(0.2)
                disk.free()
                time.sleep(0.2)
                fills += 1
            _, report = player.finish()
            print(f"playground: {fills} times full, {report['blocks_validated']} blocks validated")
            self.assertEqual(report["mismatches"], 0)
            self.assertGreater(report["blocks_validated"], 100)
            blocks = Blocks(server)
            eventually(self, lambda: blocks.write(1) is None, "writes do not go on")
            self.assertEqual(blocks.read(1), "right")

    def run_failing_writes(self, how, code, message):
        disk = FailingDisk(self)
        with disk.server(*ON_DISK, "--capacity", "256MiB") as server:
            blocks = Blocks(server)
            for n in range(20):
                self.assertIsNone(blocks.write(n))
            disk.fail(how)
            for n in range(100, 130):
                error = blocks.write(n)
                self.assertIsNotNone(error, "it was acknowledged and is nowhere")
                self.assertEqual(error.code(), code, error.details())
                self.assertIn(message, error.details())
            blocks.check_all(self, evicted=how == "f")  # reads go on
            disk.fail("-")
            eventually(self, lambda: blocks.write(1000) is None, "writes do not go on")
            for n in range(100, 130):
                self.assertIsNone(blocks.write(n))
            blocks.check_all(self, evicted=how == "f")
            server.kill()
        with disk.server(*ON_DISK, "--capacity", "256MiB") as server:
            blocks.stub = server.stub()
            blocks.check_all(self, evicted=how == "f")
            self.assertNotIn("rebuilt=true", "".join(server.log))

    def test_a_file_system_that_turns_read_only_and_back(self):
        self.run_failing_writes("r", grpc.StatusCode.UNAVAILABLE, "Read-only file system")

    def test_a_full_disk(self):
        self.run_failing_writes("f", grpc.StatusCode.RESOURCE_EXHAUSTED, "")

    def test_writes_that_fail(self):
        self.run_failing_writes("w", grpc.StatusCode.UNAVAILABLE, "Input/output error")

    def test_syncs_that_fail(self):
        self.run_failing_writes("s", grpc.StatusCode.UNAVAILABLE, "Input/output error")

    def test_a_full_store_on_a_read_only_disk_forgets_nothing(self):
        disk = FailingDisk(self)
        with disk.server(*ON_DISK, "--capacity", "16MiB") as server:
            blocks = Blocks(server)
            for n in range(400):  # more than fit: each evicts
                self.assertIsNone(blocks.write(n))
            kept = [n for n in range(400) if blocks.read(n) == "right"]
            self.assertGreater(len(kept), 50)
            disk.fail("r")
            for n in range(1000, 1100):
                self.assertEqual(blocks.write(n).code(), grpc.StatusCode.UNAVAILABLE)
            left = [n for n in kept if blocks.read(n) == "right"]
            self.assertGreater(len(left), len(kept) * 0.8, "reads go on")
            disk.fail("-")
            eventually(self, lambda: blocks.write(2000) is None, "writes do not go on")
            for n in range(2001, 2400):
                self.assertIsNone(blocks.write(n), "what cannot be evicted takes the room")
            self.assertEqual(blocks.read(2399), "right")

    def test_reads_that_fail(self):
        disk = FailingDisk(self)
        with disk.server(*ON_DISK) as server:
            blocks = Blocks(server)
            for n in range(20):
                self.assertIsNone(blocks.write(n))
            disk.fail("i")
            for n in range(20):
                self.assertEqual(blocks.read(n), grpc.StatusCode.UNAVAILABLE)
            disk.fail("-")
            blocks.check_all(self)  # none was given up for it
            disk.fail("r")
            for n in range(20):
                self.assertEqual(blocks.read(n), "right")
            disk.fail("-")

    def test_rot_under_a_running_server(self):
        port = free_port()
        with Server(*ON_DISK, "--scrub-rate", "0", "--metrics-port", str(port)) as server:
            blocks = Blocks(server)
            for n in range(30):
                self.assertIsNone(blocks.write(n))
            rotten = set(range(0, 30, 3))
            for n in rotten:
                rot(server.data_dir, blocks.buffer(n)[1000:1064])
            blocks.check_all(self, but=rotten)
            self.assertEqual(Metrics(port)("corrupt_chunks_total"), len(rotten))
            for n in rotten:
                self.assertIsNone(blocks.write(n))
            blocks.check_all(self)

    def test_the_scrubber_finds_rot_that_nobody_reads(self):
        port = free_port()
        with Server(*ON_DISK, "--scrub-rate", "64MiB", "--metrics-port", str(port)) as server:
            blocks = Blocks(server)
            for n in range(30):
                self.assertIsNone(blocks.write(n))
            rotten = {4, 17}
            for n in rotten:
                rot(server.data_dir, blocks.buffer(n)[1000:1064])
            eventually(self, lambda: Metrics(port)("corrupt_chunks_total") == len(rotten),
                       "the scrubber finds nothing")
            self.assertEqual(Metrics(port)("scrub_errors_total"), len(rotten))
            # The rest of the pass may be still to come.
            eventually(self, lambda: Metrics(port)("scrub_bytes_total") > 30 * BUFFER,
                       "the scrubber does not go on")
            for n in rotten:  # a Lookup knows it, before any Read
                found = blocks.stub.Lookup(lookup_request(blocks.tokens(n)))
                self.assertEqual(found.cached_blocks, 0)
            blocks.check_all(self, but=rotten)
            for n in rotten:
                self.assertIsNone(blocks.write(n))
            blocks.check_all(self)
            self.assertEqual(server.stop(), 0)
            self.assertRegex("".join(server.log), r"scrub error blob=")

    def test_a_damaged_index_is_made_anew_at_the_start(self):
        with Server(*ON_DISK) as first:
            blocks = Blocks(first)
            for n in range(30):
                self.assertIsNone(blocks.write(n))
            self.assertEqual(first.stop(), 0)
            index = os.path.join(first.data_dir, "index")
            log = max(name for name in os.listdir(index) if name.endswith(".log"))
            with open(os.path.join(index, log), "r+b") as file:
                file.seek(500)
                byte = file.read(1)[0]
                file.seek(500)
                file.write(bytes([byte ^ 1]))
            with Server(*ON_DISK, data_dir=first.data_dir) as second:
                self.assertRegex("".join(second.log), r"metadata damaged, made anew")
                blocks.stub = second.stub()
                blocks.check_all(self)
                self.assertIsNone(blocks.write(1000))
                self.assertTrue(os.path.isdir(index + ".damaged"))
                self.assertEqual(second.stop(), 0)
            with Server(*ON_DISK, data_dir=first.data_dir) as third:
                self.assertIn("rebuilt=false", "".join(third.log))
                blocks.stub = third.stub()
                blocks.check_all(self)


if __name__ == "__main__":
    unittest.main()
