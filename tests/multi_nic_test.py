"""Several network interfaces, real to the kernel: a client with two links to a server.

Two network namespaces joined by two veth pairs. Azurite listens in one, and its access log says from
which address each request came; our HTTP client runs in the other (http_client_benchmark, named by
KVSTORE_HTTP_BENCHMARK). Ends with code 77, for skipped, where namespaces may not be made.
"""
import collections
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import unittest

from azurite import ACCOUNT, Azurite, account_sas

SKIPPED = 77  # what CTest takes for it

CLIENT, SERVER = (f"kvstore-{os.getpid()}-{side}" for side in ("client", "server"))
LINKS = ("link1", "link2")
ADDRESS = {"link1": "10.77.1.2", "link2": "10.77.2.2"}  # of the client; the server has .1
SERVICE = "10.77.9.1"
PORT = 10000

PHASE_S = 4        # of traffic that is counted
SETTLE_S = 4       # the client lists its interfaces every 2 s
REST_S = 12        # and an address that failed rests 5 s, then 10
MAX_RATIO = 1.5
IN_FLIGHT = 8
REQUEST_TIMEOUT_S = 4


def ip(*arguments, namespace=None):
    command = ["ip", *(["-n", namespace] if namespace else []), *arguments]
    subprocess.run(command, check=True, capture_output=True, text=True)


def may_make_namespaces():
    if shutil.which("ip") is None:
        return "iproute2 is not installed"
    probe = f"kvstore-{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
    if made.returncode != 0:
        return "'ip netns add' is refused: " + made.stderr.strip()
    ip("netns", "del", probe)
    return None


def make_network():
    for namespace in (CLIENT, SERVER):
        ip("netns", "add", namespace)
        ip("link", "set", "lo", "up", namespace=namespace)
    ip("addr", "add", SERVICE + "/32", "dev", "lo", namespace=SERVER)
    for number, link in enumerate(LINKS, 1):
        ip("link", "add", link, "netns", CLIENT, "type", "veth",
           "peer", "name", link, "netns", SERVER)
        ip("addr", "add", f"{ADDRESS[link]}/24", "dev", link, namespace=CLIENT)
        ip("addr", "add", f"10.77.{number}.1/24", "dev", link, namespace=SERVER)
        ip("link", "set", link, "up", namespace=SERVER)
        # What has the address of a link leaves through it.
        ip("rule", "add", "from", ADDRESS[link], "table", str(100 + number), namespace=CLIENT)
        bring_up(link)


def bring_up(link):
    number = LINKS.index(link) + 1
    ip("link", "set", link, "up", namespace=CLIENT)
    # The system drops the routes of a link that goes down.
    for table in ("main", str(100 + number)):
        ip("route", "replace", "default", "via", f"10.77.{number}.1", "dev", link, "table", table,
           "metric", str(number), namespace=CLIENT)


def remove_network():
    for namespace in (CLIENT, SERVER):
        subprocess.run(["ip", "netns", "del", namespace], capture_output=True)


class CountingAzurite(Azurite):
    """In the server's namespace; counts requests by where they come from."""

    def __init__(self):
        self.counts = collections.Counter()
        super().__init__(host="0.0.0.0", port=PORT, prefix=["ip", "netns", "exec", SERVER],
                         on_line=self._count)

    def _count(self, line):
        if match := re.match(r"(?:::ffff:)?([\d.]+) - - ", line):
            self.counts[match.group(1)] += 1

    def requests_during(self, seconds):
        before = collections.Counter(self.counts)
        time.sleep(seconds)
        counts = {link: self.counts[ADDRESS[link]] - before[ADDRESS[link]] for link in LINKS}
        print(f"requests in {seconds} s: {counts}")
        return counts


def client_command(path, *options, query=""):
    url = f"http://{SERVICE}:{PORT}/{ACCOUNT}/{path}?{account_sas()}{query}"
    return ["ip", "netns", "exec", CLIENT, os.environ["KVSTORE_HTTP_BENCHMARK"], url, *options]


def put(path, *options, query=""):
    result = json.loads(subprocess.run(
        client_command(path, "--method", "PUT", "--requests", "1", *options, query=query),
        check=True, stdout=subprocess.PIPE, text=True).stdout)
    if result["succeeded"] != 1:
        raise RuntimeError("the PUT failed")


class Client:
    """Reads a blob for some seconds, several requests at a time."""

    def __init__(self, seconds):
        self.process = subprocess.Popen(
            client_command("box/blob", "--seconds", str(seconds), "--in-flight", str(IN_FLIGHT),
                           "--timeout", str(REQUEST_TIMEOUT_S)),
            stdout=subprocess.PIPE, text=True)

    def finish(self):
        return json.loads(self.process.communicate(timeout=60)[0])

    def kill(self):
        self.process.kill()
        self.process.communicate()


class MultiNicTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(remove_network)
        make_network()
        cls.azurite = CountingAzurite()
        cls.addClassCleanup(cls.azurite.stop)
        put("box", "--put-bytes", "0", query="&restype=container")
        put("box/blob", "--put-bytes", "65536", "--header", "x-ms-blob-type:BlockBlob")

    def assert_even(self, counts):
        self.assertGreater(min(counts.values()), 50, counts)
        self.assertLessEqual(max(counts.values()) / min(counts.values()), MAX_RATIO, counts)

    def start(self, seconds):
        client = Client(seconds)
        self.addCleanup(client.kill)
        time.sleep(1)
        return client

    def test_a_link_that_goes_down_and_comes_back(self):
        client = self.start(1 + 3 * PHASE_S + 2 * SETTLE_S)
        self.assert_even(self.azurite.requests_during(PHASE_S))

        self.addCleanup(bring_up, "link2")
        ip("link", "set", "link2", "down", namespace=CLIENT)
        time.sleep(SETTLE_S)
        one = self.azurite.requests_during(PHASE_S)
        self.assertGreater(one["link1"], 50, one)
        self.assertEqual(one["link2"], 0, one)

        bring_up("link2")
        time.sleep(SETTLE_S)
        self.assert_even(self.azurite.requests_during(PHASE_S))
        # What was under way on the link, and nothing later.
        self.assertLessEqual(client.finish()["failed"], IN_FLIGHT)

    def test_a_network_behind_a_link_that_swallows_everything(self):
        client = self.start(1 + 3 * PHASE_S + REQUEST_TIMEOUT_S + SETTLE_S + REST_S)
        self.assert_even(self.azurite.requests_during(PHASE_S))

        lost = ("blackhole", ADDRESS["link2"] + "/32")
        ip("route", "add", *lost, namespace=SERVER)
        try:
            time.sleep(REQUEST_TIMEOUT_S + SETTLE_S)
            one = self.azurite.requests_during(PHASE_S)
            self.assertGreater(one["link1"], 50, one)
        finally:
            ip("route", "del", *lost, namespace=SERVER)
        time.sleep(REST_S)
        self.assert_even(self.azurite.requests_during(PHASE_S))
        # Of the connections that were there; new ones are made elsewhere.
        self.assertLessEqual(client.finish()["failed"], 2 * IN_FLIGHT)


if __name__ == "__main__":
    reason = may_make_namespaces()
    if reason:
        print("skipped: " + reason)
        sys.exit(SKIPPED)
    unittest.main()
