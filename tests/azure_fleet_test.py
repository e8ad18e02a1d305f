"""One client, three servers on one container, which is Azurite's: each block has a home."""
import tempfile
import time
import unittest

from azure_server_test import AzureServer
from azurite import Azurite
from fleet_test import LEFT_WITHIN_S, Playground, BLOCKS_OF_A_PROMPT, tokens_file

# Of 640 blocks, each with a home at random, the fullest of three has 1.05 of the mean or so.
MOST_OVER_MEAN = 1.25
# Until every server has heard of what was written through the others.
LOG_LAG_S = 3


class AzureFleetTest(unittest.TestCase):
    def test_blocks_are_spread_and_a_killed_server_costs_no_error(self):
        with Azurite() as azurite, tempfile.TemporaryDirectory() as directory, \
                AzureServer(azurite) as a, AzureServer(azurite) as b, AzureServer(azurite) as c:
            tokens = tokens_file(directory, prompts=10)
            arguments = ("--buffer-bytes", "4096", "--storage", azurite.endpoint)
            code, _ = Playground((a, b, c), tokens, "1", "1", *arguments).finish()
            self.assertEqual(code, 0)
            time.sleep(LOG_LAG_S)
            playground = Playground((a, b, c), tokens, "3", "1", *arguments)
            code, report = playground.finish()
            output = playground.output()
            self.assertEqual(code, 0, output)
            self.assertEqual(report["mismatches"], 0, output)
            self.assertTrue(report["shared_store"], output)
            self.assertEqual(report["blocks_validated"], 3 * 10 * BLOCKS_OF_A_PROMPT, output)
            reads = [server["blocks_read"] for server in report["servers"]]
            self.assertLessEqual(max(reads), MOST_OVER_MEAN * sum(reads) / 3, reads)

            playground = Playground((a, b, c), tokens, "200", "1", "--verbose", *arguments)
            self.assertIsNotNone(playground.when("iteration 2,", 60), playground.output())
            name = f"127.0.0.1:{b.port}"
            b.kill()
            self.assertIsNotNone(playground.when(f"server {name} is unavailable", LEFT_WITHIN_S),
                                 playground.output())
            code, report = playground.finish()
            self.assertEqual(code, 0, playground.output())
            self.assertEqual(report["mismatches"], 0)
            self.assertEqual(report["errors"], 0)


if __name__ == "__main__":
    unittest.main()
