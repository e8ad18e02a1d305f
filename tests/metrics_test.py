"""A real server's metrics, as Prometheus gets them, against what a plain client does."""
import hashlib
import json
import os
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

import grpc
from kvserver import BLOCK, Server, lookup_request, read_request, write_request
from metrics import Metrics, free_port, promtool

BUFFER = b"t" * 100_000


class MetricsTest(unittest.TestCase):
    def test_numbers_move_with_what_clients_do(self):
        port = free_port()
        with Server("--metrics-port", str(port), "--memory", "64MiB", "--disable-metrics") as server:
            stub = server.stub()
            before = Metrics(port)
            self.assertEqual(before("rpc_requests_total", method="Write", code="OK"), 0)
            self.assertEqual(before("ram_capacity_bytes"), 64 << 20)
            self.assertGreater(before("storage_capacity_bytes"), 0)

            tokens = list(range(BLOCK))
            stub.Write(write_request(tokens, 7, buffer=BUFFER))
            stub.Write(write_request(tokens, 7, buffer=BUFFER))  # there already
            found = stub.Lookup(lookup_request(tokens + list(range(2 * BLOCK)), [7]))
            self.assertEqual(found.cached_blocks, 1)
            location = found.locations[0].location
            stub.Read(read_request(location))
            stub.Read(read_request("nowhere"))
            list(stub.StreamingRead(iter([read_request(location)] * 3)))
            with self.assertRaises(grpc.RpcError):
                stub.Write(write_request(tokens[1:], 8))

            after = Metrics(port)
            self.assertEqual(after("rpc_requests_total", method="Write", code="OK"), 2)
            self.assertEqual(
                after("rpc_requests_total", method="Write", code="INVALID_ARGUMENT"), 1)
            self.assertEqual(after("rpc_requests_total", method="Read", code="OK"), 2)
            self.assertEqual(after("rpc_requests_total", method="StreamingRead", code="OK"), 1)
            self.assertEqual(after("rpc_duration_seconds_count", method="Lookup"), 1)
            self.assertGreater(after("rpc_duration_seconds_sum", method="Write"), 0)
            self.assertEqual(after("rpc_duration_seconds_bucket", method="Write", le="+Inf"), 3)
            self.assertEqual(after("lookup_blocks_total", result="hit"), 1)
            self.assertEqual(after("lookup_blocks_total", result="miss"), 2)
            self.assertEqual(after("read_blocks_total", result="hit"), 4)
            self.assertEqual(after("read_blocks_total", result="miss"), 1)
            self.assertEqual(after("written_blocks_total", result="stored"), 1)
            self.assertEqual(after("written_blocks_total", result="present"), 1)
            self.assertGreater(after("received_chunk_bytes_total", method="Write"), 2 * len(BUFFER))
            self.assertGreater(after("sent_chunk_bytes_total", method="StreamingRead"),
                               3 * len(BUFFER))
            self.assertEqual(after("index_blocks"), 1)
            self.assertEqual(after("ram_blocks"), 1)
            self.assertGreater(after("ram_used_bytes"), len(BUFFER))
            self.assertEqual(after("ram_hits_total"), 4)
            self.assertEqual(after("storage_blobs"), before("storage_blobs") + 1)
            self.assertGreater(after("storage_used_bytes"), before("storage_used_bytes"))
            self.assertEqual(after("rpc_tier_duration_seconds_count", method="Read", tier="ram"), 2)
            self.assertEqual(after("rpc_tier_duration_seconds_count", method="Read", tier="disk"), 0)
            self.assertEqual(after("rpc_tier_duration_seconds_count", method="Write", tier="disk"), 1)
            self.assertEqual(after("rpc_tier_duration_seconds_count", method="Write", tier="azure"), 0)
            self.assertEqual(after("queue_waiting_operations", queue="disk_read"), 0)
            self.assertEqual(after("queue_waiting_operations", queue="disk_write"), 0)
            self.assertIsNone(after("queue_waiting_operations", queue="http"), "nothing is remote")
            self.assertEqual(after("console_lines_dropped_total"), 0)
            self.assertIsNone(after("tenant_stored_bytes", tenant="other"), "nobody is asked")
            self.assertEqual(after("pending_write_bytes"), 0)
            self.assertEqual(after("corrupt_chunks_total"), 0)
            self.assertIsNone(after("bloom_size_bytes"), "nothing is shared")
            self.assertEqual(server.stop(), 0)

    def test_a_read_counts_for_the_tier_that_had_it(self):
        port = free_port()
        with Server("--metrics-port", str(port), "--memory", "0", "--disable-metrics") as server:
            stub, tokens = server.stub(), list(range(BLOCK))
            stub.Write(write_request(tokens, 7, buffer=BUFFER))
            location = stub.Lookup(lookup_request(tokens)).locations[0].location
            for _ in range(3):
                stub.Read(read_request(location))
            list(stub.StreamingRead(iter([read_request(location)] * 2)))
            after = Metrics(port)
            count = "rpc_tier_duration_seconds_count"
            self.assertEqual(after(count, method="Read", tier="disk"), 3)
            self.assertEqual(after(count, method="Read", tier="ram"), 0)
            self.assertEqual(after(count, method="StreamingRead", tier="disk"), 1)
            self.assertEqual(after(count, method="Lookup", tier="ram"), 1)

    def test_what_a_tenant_stores_is_told(self):
        port = free_port()
        with tempfile.TemporaryDirectory() as directory:
            auth = os.path.join(directory, "auth.json")
            rule = {"accounts": ["*"], "containers": ["*"], "partitions": ["*"]}
            with open(auth, "w", encoding="utf-8") as file:
                json.dump({"identities": [
                    {"name": name, "token_sha256": [hashlib.sha256(name.encode()).hexdigest()],
                     "rules": [{**rule, "allow": allow}]}
                    for name, allow in (("writer", ["read", "write"]), ("reader", ["read"]))]}, file)
            with Server("--metrics-port", str(port), "--disable-metrics", "--auth", auth) as server:
                def by(name):
                    return {"metadata": (("authorization", "Bearer " + name),), "timeout": 60}
                stub, tokens = server.stub(), list(range(BLOCK))
                stub.Write(write_request(tokens, 7, buffer=BUFFER), **by("writer"))
                stub.Lookup(lookup_request(tokens), **by("reader"))
                first = Metrics(port)
                self.assertGreater(first("tenant_stored_bytes", tenant="writer"), len(BUFFER))
                self.assertEqual(first("tenant_stored_bytes", tenant="reader"), 0)
                stub.Write(write_request(tokens, 8, buffer=BUFFER, partition="q"), **by("writer"))
                self.assertEqual(Metrics(port)("tenant_stored_bytes", tenant="writer"),
                                 2 * first("tenant_stored_bytes", tenant="writer"))

    def test_it_tells_when_it_is_ready_and_when_it_ends(self):
        port = free_port()

        def ask(path):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()

        with Server("--metrics-port", str(port)) as server:
            self.assertEqual(ask("/healthz"), (200, "ok\n"))
            self.assertEqual(ask("/readyz"), (200, "ok\n"))
            self.assertEqual(ask("/elsewhere")[0], 404)
            # A stream that goes on holds up the end for a while.
            going_on = threading.Event()
            stub = server.stub()

            def requests():
                yield read_request("nowhere")
                going_on.wait(30)

            stream = stub.StreamingRead(requests())
            self.assertFalse(next(stream).found)
            server.process.terminate()
            end = time.monotonic() + 30
            while ask("/readyz")[0] == 200:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.01)
            self.assertEqual(ask("/readyz"), (503, "stopping\n"))
            self.assertEqual(ask("/healthz"), (200, "ok\n"))
            going_on.set()
            list(stream)
            self.assertEqual(server.wait(), 0)

    def test_promtool_finds_nothing_wrong(self):
        port = free_port()
        with Server("--metrics-port", str(port)) as server:
            server.stub().Write(write_request(list(range(BLOCK)), 7))
            self.assertEqual(promtool(Metrics(port).text), "")

    def test_a_taken_port_ends_the_start(self):
        with Server() as other, self.assertRaisesRegex(
                RuntimeError, f"metrics cannot listen on 127.0.0.1:{other.port}"):
            Server("--metrics-port", str(other.port))

    def test_without_the_option_there_is_no_endpoint(self):
        with Server() as server:
            listening = subprocess.run(["ss", "-ltnp"], capture_output=True, text=True).stdout
            mine = [line for line in listening.splitlines()
                    if f"pid={server.process.pid}," in line]
            self.assertEqual(len(mine), 1, listening)

    def test_an_endpoint_that_is_asked_does_not_hold_up_the_end(self):
        port = free_port()
        with Server("--metrics-port", str(port)) as server:
            Metrics(port)
            self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    unittest.main()
