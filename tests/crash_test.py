"""kill -9 of a real server under write load, at random instants, many times.

Proves, for durability batch and each: every acknowledged chunk is whole after the restart, and no
torn chunk is ever served. (A killed process keeps what the operating system has; what a power
failure may take is tested in storage/local with failing and missing syncs.)

    crash_test.py [rounds per durability]
"""
import hashlib
import random
import shutil
import struct
import sys
import tempfile
import threading
import unittest

import grpc

from kvserver import BLOCK, Server, lookup_request, read_request, write_request

ROUNDS = 12
WRITERS = 6
PROMPT_BLOCKS = 4
SIZES = (1, 4_000, 65_536, 300_000, 1_258_291)


def buffer_of(seed):
    rng = random.Random(seed)
    return rng.randbytes(rng.choice(SIZES))


class Prompt:
    """A prompt of its own for every (writer, number); its buffers follow from it."""

    def __init__(self, writer, number):
        self.seed = writer * 1_000_000 + number
        self.tokens = [self.seed * 8 + i for i in range(PROMPT_BLOCKS) for _ in range(BLOCK)]

    def block(self, i):
        return self.tokens[i * BLOCK:(i + 1) * BLOCK]

    def digests(self):
        out = []
        for i in range(PROMPT_BLOCKS):
            packed = struct.pack("<128q", *self.block(i))
            out.append(hashlib.sha256((out[-1] if out else b"") + packed).digest())
        return out

    def buffer(self, i):
        return buffer_of(self.seed * 8 + i)


class CrashTest(unittest.TestCase):
    def run_durability(self, durability):
        directory = tempfile.mkdtemp(prefix="kvstore-crash-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        rng = random.Random(durability)
        acknowledged = {}  # (writer, number) -> blocks acknowledged, leading
        attempted = {}
        unexpected = []
        next_number = [0] * WRITERS
        torn_tails = 0
        for round in range(ROUNDS):
            with Server("--durability", durability, "--memory", "8MiB", "--disable-metrics",
                        data_dir=directory) as server:
                torn_tails += "tail_bytes_cut=0 " not in "".join(server.log)
                self.verify(server, acknowledged, attempted, rng)
                stub = server.stub()
                stop = threading.Event()

                def write(writer):
                    while not stop.is_set():
                        key = (writer, next_number[writer])
                        next_number[writer] += 1
                        prompt = Prompt(*key)
                        p = prompt.digests()
                        attempted[key] = 0
                        for i in range(PROMPT_BLOCKS):
                            attempted[key] = i + 1
                            try:
                                stub.Write(write_request(
                                    prompt.block(i), prompt.seed * 8 + i + 1, digest=p[i],
                                    parent=prompt.seed * 8 + i if i else 0,
                                    buffer=prompt.buffer(i)), timeout=30)
                            except grpc.RpcError as error:
                                if error.code() != grpc.StatusCode.UNAVAILABLE:
                                    unexpected.append(error)
                                return
                            acknowledged[key] = i + 1

                threads = [threading.Thread(target=write, args=(w,)) for w in range(WRITERS)]
                for thread in threads:
                    thread.start()
                stop.wait(rng.uniform(0.05, 0.8))
                server.kill()
                stop.set()
                for thread in threads:
                    thread.join()
        with Server("--durability", durability, data_dir=directory) as server:
            checked = self.verify(server, acknowledged, attempted, None)
            self.assertEqual(server.stop(), 0)
        self.assertEqual(unexpected, [])
        self.assertGreater(checked, ROUNDS, "too little was written to prove anything")
        self.assertGreater(torn_tails, 0, "no kill came in the middle of anything")

    def verify(self, server, acknowledged, attempted, sample):
        """All that was acknowledged (a sample of it in between) and nothing that is not whole."""
        stub = server.stub()
        keys = list(attempted)
        if sample is not None and len(keys) > 40:
            keys = sample.sample(keys[:-20], 20) + keys[-20:]
        checked = 0
        for key in keys:
            prompt = Prompt(*key)
            found = stub.Lookup(lookup_request(prompt.tokens))
            self.assertGreaterEqual(found.cached_blocks, acknowledged.get(key, 0), key)
            self.assertLessEqual(found.cached_blocks, attempted[key], key)
            answers = stub.StreamingRead(read_request(l.location) for l in found.locations)
            for i, answer in enumerate(answers):
                self.assertTrue(answer.found, (key, i))
                self.assertEqual(answer.chunk.buffer, prompt.buffer(i), (key, i))
                self.assertEqual(list(answer.chunk.tokens), prompt.block(i))
                checked += 1
        return checked

    def test_batch(self):
        self.run_durability("batch")

    def test_each(self):
        self.run_durability("each")


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].isdigit():
        ROUNDS = int(sys.argv.pop(1))
    unittest.main()
