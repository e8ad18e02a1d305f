"""What a server that shares its container says of the Bloom filter, the log and the requests."""
import time
import unittest

from azure_server_test import AzureServer
from azurite import ACCOUNT, Azurite
from kvserver import BLOCK, lookup_request, write_request
from metrics import Metrics, free_port, promtool

INDEX_BLOCKS = 1024  # the least that the option takes
BLOCKS = INDEX_BLOCKS + 200
UNWRITTEN = 300
LONG_S = 60


def tokens_of(n):
    return [n * 1000 + i for i in range(BLOCK)]


def all_of(call, requests, at_once=64):
    running = []
    for request in requests:
        if len(running) == at_once:
            running.pop(0).result()
        running.append(call.future(request, timeout=LONG_S))
    return [call.result() for call in running]


class AzureMetricsTest(unittest.TestCase):
    def test_the_filter_the_log_and_the_requests(self):
        port = free_port()
        with Azurite() as azurite, AzureServer(
                azurite, "--metrics-port", str(port), "--index-blocks", str(INDEX_BLOCKS),
                "--bloom-blocks", "4096", "--disable-metrics") as server:
            stub = server.stub()
            before = Metrics(port)
            self.assertEqual(before("bloom_inserted_blocks"), 0)
            self.assertEqual(before("bloom_fill_ratio"), 0)
            self.assertGreaterEqual(before("bloom_size_bytes"), 4096)
            self.assertEqual(before("bloom_false_positive_ratio", kind="measured"), 0)

            all_of(stub.Write, (write_request(tokens_of(n), n + 1, resource=ACCOUNT)
                                for n in range(BLOCKS)))
            # Until the log has told the writer of its own blocks, too, which ends its forgetting.
            end = time.monotonic() + LONG_S
            while Metrics(port)("log_records_read_total") < BLOCKS and time.monotonic() < end:
                time.sleep(0.1)
            written = Metrics(port)
            self.assertGreaterEqual(written("log_records_appended_total"), BLOCKS)
            self.assertGreaterEqual(written("log_records_read_total"), BLOCKS)
            self.assertEqual(written("log_records_dropped_total"), 0)
            self.assertEqual(written("log_queued_records"), 0)
            self.assertLess(written("log_age_seconds"), LONG_S)
            self.assertEqual(written("log_compactions_total"), 0)
            self.assertGreaterEqual(written("azure_requests_total"), BLOCKS)
            self.assertGreaterEqual(written("http_open_connections"), 1)
            self.assertGreaterEqual(written("http_opened_connections_total"), 1)
            self.assertLess(written("http_opened_connections_total"), BLOCKS, "they are not reused")
            self.assertIsNotNone(written("queue_waiting_operations", queue="http"))
            self.assertIsNone(written("queue_waiting_operations", queue="disk_read"), "no disk")
            self.assertEqual(
                written("rpc_tier_duration_seconds_count", method="Write", tier="azure"), BLOCKS)
            self.assertLessEqual(written("index_blocks"), INDEX_BLOCKS)
            self.assertGreaterEqual(written("index_forgotten_blocks_total"), BLOCKS - INDEX_BLOCKS)
            self.assertGreater(written("bloom_fill_ratio"), 0)
            self.assertLess(written("bloom_fill_ratio"), 1)
            # Those that share all their bits with others are not counted.
            self.assertGreater(written("bloom_inserted_blocks"), 0.95 * BLOCKS)
            self.assertLessEqual(written("bloom_inserted_blocks"), BLOCKS)
            self.assertLess(written("bloom_false_positive_ratio", kind="expected"), 0.01)

            def lookup(n):
                return stub.Lookup(lookup_request(tokens_of(n), [n + 1], resource=ACCOUNT),
                                   timeout=LONG_S).cached_blocks
            self.assertEqual(sum(lookup(n) for n in range(BLOCKS, BLOCKS + UNWRITTEN)), 0)
            denied = Metrics(port)
            absent = (denied("bloom_denied_total") + denied("bloom_probes_total")
                      - denied("bloom_probes_found_total"))
            self.assertEqual(absent, UNWRITTEN)
            self.assertLess(denied("bloom_false_positive_ratio", kind="measured"), 0.1)
            self.assertEqual(sum(lookup(n) for n in range(BLOCKS)), BLOCKS)
            found = Metrics(port)
            self.assertGreaterEqual(found("bloom_probes_found_total"), BLOCKS - INDEX_BLOCKS)
            self.assertEqual(found("bloom_denied_total"), denied("bloom_denied_total"))
            self.assertEqual(found("lookup_probes_total"), found("bloom_probes_total"))
            self.assertEqual(promtool(found.text), "")


if __name__ == "__main__":
    unittest.main()
