"""Servers on Azure Blob Storage, which is Azurite here: the programs together, several servers on one
container, the death of one, kill -9 with a queue of uploads, and storage that goes away."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from azurite import ACCOUNT, Azurite
from kvserver import Server, lookup_request, pb, read_request, write_request
from crash_test import PROMPT_BLOCKS, Prompt

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DATA = os.path.join(SOURCE, "KVPlayground", "data")
LONG_S = 60


class AzureServer(Server):
    def __init__(self, azurite, *options, **kwargs):
        self.azurite = azurite
        super().__init__("--storage", "azure", *options, environment={
            "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string()}, **kwargs)


def play(server, azurite, *arguments):
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "report.json")
        result = subprocess.run(
            [os.environ["KVSTORE_PLAYGROUND"], *arguments, "--server", f"127.0.0.1:{server.port}",
             "--storage", azurite.endpoint, "--json", path],
            capture_output=True, text=True, timeout=300)
        with open(path) as report:
            return result, json.load(report)


def write(stub, prompt):
    for i in range(PROMPT_BLOCKS):
        parent = prompt.seed * 100 + i if i else 0
        answer = stub.Write(write_request(
            prompt.block(i), prompt.seed * 100 + i + 1, parent, prompt.buffer(i),
            digest=prompt.digests()[i], resource=ACCOUNT), timeout=LONG_S)
        assert answer.success, answer.error


def lookup(stub, prompt):
    return stub.Lookup(lookup_request(prompt.tokens, resource=ACCOUNT), timeout=LONG_S)


class AzureServerTest(unittest.TestCase):
    def assert_found(self, stub, prompt, within_s=2.0):
        """Whether the whole prompt is found within that time, every byte as it was written."""
        end = time.monotonic() + within_s
        while True:
            found = lookup(stub, prompt)
            if found.cached_blocks == PROMPT_BLOCKS or time.monotonic() > end:
                break
            time.sleep(0.05)
        self.assertEqual(found.cached_blocks, PROMPT_BLOCKS)
        for i, block in enumerate(found.locations):
            read = stub.Read(read_request(block.location, resource=ACCOUNT), timeout=LONG_S)
            self.assertTrue(read.found)
            self.assertEqual(read.chunk.buffer, prompt.buffer(i))

    def test_the_playground_as_on_the_embedded_store(self):
        arguments = (os.path.join(DATA, "conversation_tokens.json"), "3", "2", "--buffer-bytes",
                     "65536")
        with Azurite() as azurite:
            with AzureServer(azurite) as server, Server() as embedded:
                result, report = play(server, azurite, *arguments)
                self.assertEqual(result.returncode, 0, result.stdout + "".join(server.log))
                _, other = play(embedded, azurite, *arguments)
        self.assertEqual(report["mismatches"], 0)
        self.assertGreater(report["blocks_validated"], 1000)
        self.assertEqual(report["hit_ratio"], report["ideal_hit_ratio"])
        self.assertEqual(report["hit_ratio"], other["hit_ratio"])

    def test_https_and_a_store_on_disk(self):
        with tempfile.TemporaryDirectory() as directory:
            certificate = (os.path.join(directory, "cert.pem"), os.path.join(directory, "key.pem"))
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                 "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate[0],
                 "-keyout", certificate[1]], check=True, capture_output=True)
            blobs = os.path.join(directory, "blobs")
            with Azurite(directory=blobs, certificate=certificate) as azurite:
                with AzureServer(azurite, "--ca-file", certificate[0]) as server:
                    write(server.stub(), Prompt(1, 1))
                    self.assert_found(server.stub(), Prompt(1, 1))
                with AzureServer(azurite) as server:  # which does not trust the certificate
                    with self.assertRaisesRegex(Exception, "certificate"):
                        lookup(server.stub(), Prompt(1, 1))

    def test_servers_find_each_others_blocks_and_one_survives_the_other(self):
        with Azurite() as azurite:
            with AzureServer(azurite) as a, AzureServer(azurite) as b:
                first = Prompt(1, 1)
                write(a.stub(), first)
                self.assert_found(b.stub(), first)
                second, third = Prompt(2, 1), Prompt(3, 1)
                write(b.stub(), second)
                self.assert_found(a.stub(), second)
                a.kill()
                self.assert_found(b.stub(), first)
                write(b.stub(), third)
            # A new one learns all from the log.
            with AzureServer(azurite) as c:
                for prompt in (first, second, third):
                    self.assert_found(c.stub(), prompt)
                c.stop()
                self.assertIn("shared log followed", "".join(c.log))

    def test_an_unknown_account_is_a_clear_error(self):
        with Azurite() as azurite, AzureServer(azurite) as server:
            before = "".join(server.log)
            with self.assertRaisesRegex(Exception, "stranger"):
                server.stub().Lookup(lookup_request(Prompt(1, 1).tokens, resource="stranger"),
                                     timeout=LONG_S)
            self.assertNotIn("shared log", before)

    def test_accounts_come_from_a_file_that_is_read_again(self):
        with Azurite() as azurite, tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "accounts.json")

            def accounts(*containers):
                with open(path, "w") as file:
                    json.dump({"accounts": [{
                        "name": ACCOUNT, "endpoint": azurite.endpoint,
                        "credential": {"kind": "connection_string",
                                       "connection_string": azurite.connection_string()},
                        "containers": list(containers)}]}, file)

            accounts("other")
            with Server("--accounts", path) as server:
                with self.assertRaisesRegex(Exception, "box"):
                    lookup(server.stub(), Prompt(1, 1))
                accounts("other", "box")
                server.process.send_signal(signal.SIGHUP)
                end = time.monotonic() + 10
                while "accounts read" not in "".join(server.log) and time.monotonic() < end:
                    time.sleep(0.05)
                write(server.stub(), Prompt(1, 1))
                self.assert_found(server.stub(), Prompt(1, 1))
                with open(path, "w") as file:
                    file.write("{")
                server.process.send_signal(signal.SIGHUP)
                while "accounts not read" not in "".join(server.log) and time.monotonic() < end:
                    time.sleep(0.05)
                self.assert_found(server.stub(), Prompt(1, 1))
                self.assertEqual(server.stop(), 0)
                self.assertIn("accounts not read", "".join(server.log))

    def test_storage_that_goes_away_is_an_error_and_comes_back(self):
        with tempfile.TemporaryDirectory() as directory, Azurite(directory) as azurite:
            with AzureServer(azurite, "--memory", "0") as server:
                stub = server.stub()
                write(stub, Prompt(1, 1))
                location = lookup(stub, Prompt(1, 1)).locations[0].location
                azurite.stop()
                with self.assertRaises(Exception) as raised:
                    stub.Read(read_request(location, resource=ACCOUNT), timeout=5)
                self.assertRegex(str(raised.exception), "UNAVAILABLE|DEADLINE_EXCEEDED")
                with Azurite(directory, port=azurite.port):
                    self.assert_found(stub, Prompt(1, 1), within_s=20)
                    write(stub, Prompt(1, 2))
                    self.assert_found(stub, Prompt(1, 2))

    def test_a_disk_cache_serves_what_was_read_once(self):
        with tempfile.TemporaryDirectory() as directory, Azurite() as azurite:
            options = ("--memory", "0", "--cache-dir", os.path.join(directory, "cache"),
                       "--cache-capacity", "64MiB")
            with AzureServer(azurite, *options) as server:
                write(server.stub(), Prompt(1, 1))
                self.assert_found(server.stub(), Prompt(1, 1))
                locations = [b.location for b in lookup(server.stub(), Prompt(1, 1)).locations]
                time.sleep(1)  # for the tier to be filled
                azurite.stop()
                for i, location in enumerate(locations):
                    read = server.stub().Read(read_request(location, resource=ACCOUNT),
                                              timeout=LONG_S)
                    self.assertEqual(read.chunk.buffer, Prompt(1, 1).buffer(i))

    def test_write_back_loses_nothing_to_kill_9(self):
        with tempfile.TemporaryDirectory() as directory:
            cache = os.path.join(directory, "cache")
            blobs = os.path.join(directory, "blobs")
            options = ("--write-back", "--cache-dir", cache, "--cache-capacity", "256MiB")
            azurite = Azurite(blobs)
            try:
                with AzureServer(azurite, *options) as server:
                    stub = server.stub()
                    write(stub, Prompt(1, 0))  # the container is there
                    azurite.stop()
                    for n in range(1, 6):
                        write(stub, Prompt(1, n))  # acknowledged all the same
                    self.assert_found(stub, Prompt(1, 3))
                    server.kill()
                azurite = Azurite(blobs, port=azurite.port)
                with AzureServer(azurite, *options) as server:
                    for n in range(6):
                        self.assert_found(server.stub(), Prompt(1, n))
                    # They reach the others, whom the cache does not serve.
                    with AzureServer(azurite) as other:
                        for n in range(6):
                            self.assert_found(other.stub(), Prompt(1, n), within_s=30)
                shutil.rmtree(cache)
                with AzureServer(azurite) as fresh:
                    for n in range(6):
                        self.assert_found(fresh.stub(), Prompt(1, n))
            finally:
                azurite.stop()

    def test_secrets_are_in_no_log(self):
        with Azurite() as azurite:
            with AzureServer(azurite, "--enable-sdk-logging", "--log-level", "verbose") as server:
                write(server.stub(), Prompt(1, 1))
                self.assert_found(server.stub(), Prompt(1, 1))
                server.stop()
            log = "".join(server.log)
        self.assertRegex(log, r"PUT .*box")
        self.assertNotIn("Eby8vdM02xN", log)
        self.assertNotRegex(log, r"SharedKey devstoreaccount1:[A-Za-z0-9+/]")

    def test_bad_options_are_clear_errors(self):
        for options, words in (
                (("--write-back", "--storage", "azure"), "cache-dir"),
                (("--accounts", "/nowhere/accounts.json"), "/nowhere/accounts.json"),
                (("--storage", "elsewhere"), "elsewhere"),
                (("--bloom-fp-rate", "2"), "bloom-fp-rate"),
                (("--cache-dir", "x"), "azure")):
            result = subprocess.run([os.environ["KVSTORE_SERVER"], "--port", "0", *options],
                                    capture_output=True, text=True, timeout=60)
            self.assertNotEqual(result.returncode, 0, options)
            self.assertIn(words, result.stdout + result.stderr)


if __name__ == "__main__":
    unittest.main()
