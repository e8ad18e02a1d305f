"""What gRPC's health service tells of a storage that goes away and comes back."""
import tempfile
import unittest

from azurite import ACCOUNT, Azurite
from health_test import LONG_S, NOT_SERVING, SERVING, check, watch
from kvserver import BLOCK, Server, write_request


class AzureHealthTest(unittest.TestCase):
    def test_azure_away_is_told_and_its_return(self):
        with tempfile.TemporaryDirectory() as directory, Azurite(directory) as azurite:
            with Server("--storage", "azure", environment={
                    "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string()}) as server, \
                    server.channel() as channel:
                server.stub().Write(write_request(list(range(BLOCK)), 7, resource=ACCOUNT),
                                    timeout=LONG_S)
                answers = watch(channel, "kvstore.tier.azure")
                self.assertEqual(next(answers), bytes([8, SERVING]))
                port = azurite.port
                azurite.stop()
                self.assertEqual(next(answers), bytes([8, NOT_SERVING]))
                self.assertEqual(check(channel, "kvstore.KVStoreService"), SERVING, "RAM goes on")
                with Azurite(directory, port=port):
                    self.assertEqual(next(answers), bytes([8, SERVING]))


if __name__ == "__main__":
    unittest.main(verbosity=2)
