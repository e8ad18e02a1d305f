"""The programs together: KVPlayground and the examples against a real server."""
import json
import os
import subprocess
import tempfile
import unittest

from kvserver import Server

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DATA = os.path.join(SOURCE, "KVPlayground", "data")


def play(server, *arguments):
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "report.json")
        result = subprocess.run(
            [os.environ["KVSTORE_PLAYGROUND"], *arguments, "--server",
             f"127.0.0.1:{server.port}", "--json", path],
            capture_output=True, text=True, timeout=300)
        if not os.path.exists(path):
            return result, None
        with open(path) as report:
            return result, json.load(report)


class PlaygroundTest(unittest.TestCase):
    def test_conversations_validate_every_byte(self):
        with Server("--durability", "none") as server:
            result, report = play(server, os.path.join(DATA, "conversation_tokens.json"), "3", "2",
                                  "--buffer-bytes", "65536")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertEqual(report["mismatches"], 0)
        self.assertEqual(report["hit_ratio"], report["ideal_hit_ratio"])
        self.assertEqual([i["hit_ratio"] for i in report["iterations"]][1:], [1.0, 1.0])
        self.assertLess(report["iterations"][0]["hit_ratio"], 1.0)
        self.assertEqual(report["blocks_validated"], report["operations"]["read"]["count"])
        self.assertGreater(report["blocks_validated"], 1000)
        for operation in ("lookup", "read", "write"):
            numbers = report["operations"][operation]
            self.assertEqual(numbers["errors"], 0)
            self.assertLessEqual(numbers["p50_us"], numbers["max_us"])
        self.assertNotIn("\r", result.stdout + result.stderr, "no progress bar off a terminal")

    def test_a_second_run_after_a_restart_hits_everything(self):
        arguments = (os.path.join(DATA, "conversation_tokens.json"), "1", "1",
                     "--buffer-bytes", "4096")
        with Server() as first:
            play(first, *arguments)
            first.stop()
            with Server(data_dir=first.data_dir) as second:
                result, report = play(second, *arguments)
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertEqual(report["hit_ratio"], 1.0)
        self.assertEqual(report["mismatches"], 0)

    def test_a_trace_reaches_the_ideal_ratio_exactly(self):
        for concurrency in ("1", "4"):
            with Server("--durability", "none") as server:
                result, report = play(server, "--trace", os.path.join(DATA, "small_trace.jsonl"),
                                      "--buffer-bytes", "4096", "--concurrency", concurrency)
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            self.assertGreater(report["ideal_hit_ratio"], 0)
            self.assertEqual(report["hit_ratio"], report["ideal_hit_ratio"])
            self.assertEqual(report["mismatches"], 0)

    def test_a_small_store_evicts_and_still_serves_no_wrong_byte(self):
        with Server("--durability", "none", "--capacity", "24MiB", "--memory", "4MiB") as server:
            result, report = play(server, os.path.join(DATA, "conversation_tokens.json"), "4", "4",
                                  "--buffer-bytes", "200000")
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            server.stop()
            self.assertRegex("".join(server.log), r"totals .*evicted=[1-9]")
        self.assertEqual(report["mismatches"], 0)
        self.assertLess(report["hit_ratio"], report["ideal_hit_ratio"])

    def test_no_server_is_a_clear_error(self):
        with Server() as server:
            server.stop()
            result, _ = play(server, os.path.join(DATA, "conversation_tokens.json"),
                             "--timeout", "2")
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"127.0.0.1:{server.port}", result.stdout + result.stderr)


class ExamplesTest(unittest.TestCase):
    def test_the_examples_run(self):
        with Server() as server:
            for name in ("QUICKSTART", "ENGINE"):
                result = subprocess.run(
                    [os.environ["KVSTORE_" + name]], capture_output=True, text=True, timeout=60,
                    env={**os.environ, "KVSTORE_GRPC_SERVER": f"127.0.0.1:{server.port}"})
                self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            server.stop()
            calls = [json.loads(line) for line in server.rpc_lines]
        self.assertTrue(all(call["code"] == "OK" for call in calls), calls)
        self.assertLessEqual({"Write", "Lookup", "Read"}, {call["rpc"] for call in calls})


if __name__ == "__main__":
    unittest.main()
