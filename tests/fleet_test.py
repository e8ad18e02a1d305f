"""One client, several servers: KVPlayground over three of them, of which one is killed, or frozen, in
the middle and comes back; and over servers that share a container of Azurite's."""
import hashlib
import json
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from kvserver import Server

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DATA = os.path.join(SOURCE, "KVPlayground", "data")
RUN_TIMEOUT_S = 300

# A dead or frozen server is left within a second: no call takes longer than that and what the call
# itself takes on a busy machine.
LEFT_WITHIN_S = 1.0
CALL_S = 0.8


class Playground:
    """Runs KVPlayground; its log can be waited for while it runs."""

    def __init__(self, servers, *arguments):
        self.directory = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.directory.name, "report.json")
        self.log = []
        names = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        self.process = subprocess.Popen(
            [os.environ["KVSTORE_PLAYGROUND"], *arguments, "--json", self.path],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "KVSTORE_GRPC_SERVER": names})
        self.table = []
        self.readers = [
            threading.Thread(target=self._read, args=(self.process.stderr, self.log), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stdout, self.table), daemon=True)]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _read(stream, lines):
        for line in stream:
            lines.append((time.monotonic(), line))

    def when(self, text, within_s):
        """When the log first said it; None where it did not within that time."""
        end = time.monotonic() + within_s
        while True:
            for at, line in list(self.log):
                if text in line:
                    return at
            if time.monotonic() > end or self.process.poll() is not None:
                return None
            time.sleep(0.01)

    def finish(self):
        try:
            code = self.process.wait(RUN_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        for reader in self.readers:
            reader.join(10)
        self.process.stdout.close()
        self.process.stderr.close()
        report = None
        if os.path.exists(self.path):
            with open(self.path) as file:
                report = json.load(file)
        self.directory.cleanup()
        return code, report

    def output(self):
        return "".join(line for _, line in self.table + self.log)


def mix(x):
    x ^= x >> 30
    x = x * 0xbf58476d1ce4e5b9 % 2**64
    x ^= x >> 27
    x = x * 0x94d049bb133111eb % 2**64
    return x ^ x >> 31


def home_of(partition, names):
    """As KVClient/src/routing.h says, written a second time."""
    key = int.from_bytes(hashlib.sha256(partition.encode()).digest()[:8], "little")

    def weight(name):
        text = 0xcbf29ce484222325
        for byte in name.encode():
            text = (text ^ byte) * 0x100000001b3 % 2**64
        return mix(mix(text) ^ mix(key))
    return max(range(len(names)), key=lambda i: weight(names[i]))


BLOCKS_OF_A_PROMPT = 64


def tokens_file(directory, prompts):
    """Prompts that share nothing, of BLOCKS_OF_A_PROMPT blocks each."""
    numbers = random.Random(7)
    path = os.path.join(directory, "tokens.json")
    count = BLOCKS_OF_A_PROMPT * 128
    with open(path, "w") as file:
        json.dump({"prompts": [
            {"text": "", "tokens": [numbers.randrange(100_000) for _ in range(count)],
             "token_count": count} for _ in range(prompts)]}, file)
    return path


def conversations(*options):
    return (os.path.join(DATA, "conversation_tokens.json"), "40", "6", "--buffer-bytes", "16384",
            "--partition", "fleet", "--verbose", *options)


class FleetTest(unittest.TestCase):
    def setUp(self):
        self.servers = [Server("--durability", "none", "--disable-metrics") for _ in range(3)]
        self.addCleanup(self.stop)

    def stop(self):
        for server in self.servers:
            server.__exit__()

    def check(self, playground, victim):
        code, report = playground.finish()
        output = playground.output()
        self.assertEqual(code, 0, output)
        self.assertEqual(report["mismatches"], 0, output)
        self.assertEqual(report["errors"], 0, output)
        self.assertLess(report["longest_call_us"], (LEFT_WITHIN_S + CALL_S) * 1e6, output)
        self.assertFalse(report["shared_store"])
        self.assertGreaterEqual(report["servers"][victim]["times_left"], 1, output)
        self.assertTrue(all(server["up"] for server in report["servers"]), output)
        return report

    def victim_of(self, playground):
        """The server that worker 0 talks to, which is the home of its partition; once it is busy."""
        self.assertIsNotNone(playground.when("iteration 3,", 60), playground.output())
        return home_of("fleet", [f"127.0.0.1:{server.port}" for server in self.servers])

    def test_a_server_that_is_killed_is_left_and_taken_back(self):
        playground = Playground(self.servers, *conversations())
        victim = self.victim_of(playground)
        server = self.servers[victim]
        name = f"127.0.0.1:{server.port}"
        killed = time.monotonic()
        server.kill()
        left = playground.when(f"server {name} is unavailable", 10)
        self.assertIsNotNone(left, playground.output())
        self.assertLess(left - killed, LEFT_WITHIN_S)
        time.sleep(1)
        self.servers[victim] = Server("--durability", "none", "--disable-metrics",
                                      data_dir=server.data_dir, port=server.port)
        back = playground.when(f"server {name} answers again", 10)
        started = time.monotonic()
        self.assertIsNotNone(back, playground.output())
        self.assertLess(back - started, 2.0)
        self.check(playground, victim)

    def test_a_server_that_freezes_is_left_and_taken_back(self):
        playground = Playground(self.servers, *conversations())
        victim = self.victim_of(playground)
        server = self.servers[victim]
        name = f"127.0.0.1:{server.port}"
        frozen = time.monotonic()
        server.process.send_signal(signal.SIGSTOP)
        try:
            left = playground.when(f"server {name} is unavailable", 10)
            time.sleep(1)
        finally:
            server.process.send_signal(signal.SIGCONT)
        thawed = time.monotonic()
        self.assertIsNotNone(left, playground.output())
        self.assertLess(left - frozen, LEFT_WITHIN_S + 0.2)
        back = playground.when(f"server {name} answers again", 10)
        self.assertIsNotNone(back, playground.output())
        self.assertLess(back - thawed, 2.0)
        self.check(playground, victim)


if __name__ == "__main__":
    unittest.main()
