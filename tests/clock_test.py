"""Servers on one container, of which one's wall clock is set back while it runs: by hours, so that what
waits for a time of that clock would wait for good."""
import os
import tempfile
import time
import unittest

from azurite import Azurite
from azure_server_test import lookup, write
from crash_test import PROMPT_BLOCKS, Prompt
from kvserver import Server

FOUND_WITHIN_S = 60
AHEAD_S = 7200


class SettableServer(Server):
    """Has a wall clock of its own: tests/chaos/clock_shim.cc."""

    def __init__(self, azurite, directory, *options):
        self.clock = os.path.join(directory, "clock")
        self.set_clock(0)
        super().__init__("--storage", "azure", *options, environment={
            "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string(),
            "LD_PRELOAD": os.environ["KVSTORE_CLOCK_SHIM"], "KV_CLOCK_OFFSET": self.clock})

    def set_clock(self, seconds):
        with open(self.clock, "r+b" if os.path.exists(self.clock) else "wb") as file:
            file.write((seconds * 10**9).to_bytes(8, "little", signed=True))


class ClockTest(unittest.TestCase):
    def assert_found(self, server, prompt):
        end = time.monotonic() + FOUND_WITHIN_S
        while lookup(server.stub(), prompt).cached_blocks < PROMPT_BLOCKS:
            self.assertLess(time.monotonic(), end, "not found\n" + "".join(server.log))
            time.sleep(0.1)

    def test_others_blocks_are_found_by_a_server_whose_clock_was_set_back(self):
        with tempfile.TemporaryDirectory() as directory, Azurite() as azurite, \
                SettableServer(azurite, directory) as server, \
                Server("--storage", "azure", environment={
                    "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string()}) as other:
            server.set_clock(AHEAD_S)
            write(other.stub(), Prompt(1, 1))
            self.assert_found(server, Prompt(1, 1))
            server.set_clock(0)
            write(other.stub(), Prompt(2, 1))
            self.assert_found(server, Prompt(2, 1))

    def test_what_storage_refused_before_is_uploaded_after_the_clock_was_set_back(self):
        with tempfile.TemporaryDirectory() as directory:
            blobs = os.path.join(directory, "blobs")
            azurite = Azurite(directory=blobs)
            try:
                with SettableServer(azurite, directory, "--write-back", "--cache-dir",
                                    os.path.join(directory, "cache")) as server:
                    write(server.stub(), Prompt(1, 1))
                    server.set_clock(AHEAD_S)
                    azurite.stop()
                    write(server.stub(), Prompt(2, 1))
                    while not any("upload failed" in line for line in server.log):
                        time.sleep(0.1)
                    server.set_clock(0)
                    azurite = Azurite(directory=blobs, port=azurite.port)
                    write(server.stub(), Prompt(3, 1))
                    with Server("--storage", "azure", environment={
                            "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string()}) as other:
                        for number in (1, 2, 3):
                            self.assert_found(other, Prompt(number, 1))
            finally:
                azurite.stop()


if __name__ == "__main__":
    unittest.main()
