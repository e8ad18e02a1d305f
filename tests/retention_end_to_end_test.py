"""What goes though there is room for it: by age, and by how much a container holds, on a server's own
disk; and on Azure, where of two servers one does it."""
import json
import os
import signal
import tempfile
import time
import unittest

from azurite import ACCOUNT, Azurite
from kvserver import BLOCK, Server, lookup_request, write_request
from metrics import Metrics, free_port

LONG_S = 60
SIZE = 100_000


def write(stub, count, partition, resource="acct", start=0):
    for n in range(start, start + count):
        stub.Write(write_request([n] * BLOCK, n + 1, buffer=b"x" * SIZE, partition=partition,
                                 resource=resource), timeout=LONG_S)


def found(stub, count, partition, resource="acct", start=0):
    return sum(stub.Lookup(lookup_request([n] * BLOCK, partition=partition, resource=resource),
                           timeout=LONG_S).cached_blocks for n in range(start, start + count))


class RetentionTest(unittest.TestCase):
    def setUp(self):
        self.directory = self.enterContext(tempfile.TemporaryDirectory())
        self.file = os.path.join(self.directory, "retention.json")

    def rules(self, **rules):
        with open(self.file, "w", encoding="utf-8") as file:
            json.dump(rules, file)

    def eventually(self, condition, what, patience_s=LONG_S):
        end = time.monotonic() + patience_s
        while not condition():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.2)

    def log_has(self, server, text):
        return any(text in line for line in server.log)

    def options(self, *more):
        return ("--retention", self.file, "--retention-interval", "1", "--disable-metrics", *more)

    def test_on_a_disk(self):
        self.rules(rules=[{"account": "acct", "container": "box", "partition": "old", "ttl": "2s"}])
        port = free_port()
        with Server(*self.options("--metrics-port", str(port))) as server:
            stub = server.stub()
            write(stub, 5, "old")
            write(stub, 30, "kept")
            self.eventually(lambda: found(stub, 5, "old") == 0, "nothing goes by age")
            self.assertEqual(found(stub, 30, "kept"), 30)
            self.eventually(lambda: Metrics(port)("evicted_chunks_total", reason="expired") == 5,
                            "they are not counted")
            # A new file, with what cannot be first.
            with open(self.file, "w", encoding="utf-8") as file:
                file.write('{"rules": [{"ttl": "soon"}]}')
            server.process.send_signal(signal.SIGHUP)
            self.eventually(lambda: self.log_has(server, "rules[0].ttl"), "the error is not told")
            self.rules(capacities=[{"account": "acct", "container": "box", "bytes": 15 * SIZE}])
            server.process.send_signal(signal.SIGHUP)
            self.eventually(lambda: found(stub, 30, "kept") <= 15, "nothing goes for the capacity")
            self.assertGreaterEqual(found(stub, 30, "kept"), 10)
            self.assertEqual(server.stop(), 0)
            with Server(data_dir=server.data_dir) as again:
                self.assertEqual(found(again.stub(), 5, "old"), 0)
                self.assertGreaterEqual(found(again.stub(), 30, "kept"), 10)

    def test_a_dry_run(self):
        self.rules(rules=[{"ttl": "1s"}])
        with Server(*self.options("--retention-dry-run")) as server:
            write(server.stub(), 3, "p")
            self.eventually(lambda: self.log_has(server, "retention would remove of=age blocks=3"),
                            "it does not say what would go")
            self.assertEqual(found(server.stub(), 3, "p"), 3)

    def test_a_bad_file_is_refused_at_the_start(self):
        self.rules(capacities=[{"account": "acct", "bytes": 1}])
        with self.assertRaisesRegex(RuntimeError, r"capacities\[0\].container: is missing"):
            Server(*self.options())

    def test_on_azure_one_server_does_it_and_another_takes_over(self):
        self.rules(rules=[{"partition": "old", "ttl": "2s"}],
                   capacities=[{"account": ACCOUNT, "container": "box", "bytes": 15 * SIZE}])
        with Azurite() as azurite:
            def server():
                return Server("--storage", "azure", *self.options(), environment={
                    "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string()})
            with server() as first, server() as second:
                servers = {"first": first, "second": second}
                write(first.stub(), 5, "old", ACCOUNT)
                write(first.stub(), 30, "kept", ACCOUNT)
                for each in servers.values():
                    self.eventually(lambda: found(each.stub(), 5, "old", ACCOUNT) == 0,
                                    "nothing goes by age")
                    self.eventually(lambda: found(each.stub(), 30, "kept", ACCOUNT) <= 15,
                                    "nothing goes for the capacity")
                    # At that moment the others may have counted, too.
                    self.assertGreaterEqual(found(each.stub(), 30, "kept", ACCOUNT), 8)
                did = [name for name, each in servers.items()
                       if self.log_has(each, "retention removed")]
                self.assertEqual(len(did), 1, "both do it")
                other = servers[next(name for name in servers if name not in did)]
                self.assertEqual(servers[did[0]].stop(), 0)  # which gives the lease back
                write(other.stub(), 5, "old", ACCOUNT, start=100)
                self.eventually(lambda: found(other.stub(), 5, "old", ACCOUNT, start=100) == 0,
                                "nobody takes over")
                self.assertTrue(self.log_has(other, "retention removed"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
