"""The status page of a real server in a real browser, and in front of a storage that gets slow."""
import hashlib
import json
import os
import socket
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "browser"))

import grpc
from azurite import ACCOUNT, KEY, Azurite
from browser import Browser, why_not
from kvserver import BLOCK, Server, lookup_request, read_request, write_request
from metrics import free_port

EVIL = "<script>document.title='gone'</script><img src=x onerror=alert(1)>"
TOKEN, SECRET = "a-token", "c2VjcmV0"
SLOW_S = 0.2
PAUSE_S = 0.01  # what comes after one is another answer


class Traffic:
    """Writes, looks up and reads blocks until it is stopped."""

    def __init__(self, server, resource="acct", metadata=(), blocks=20, bytes=50_000):
        self.stopped = threading.Event()
        self.failure = None
        self.thread = threading.Thread(target=self._run, args=(server.stub(), resource, metadata,
                                                               blocks, bytes))
        self.thread.start()

    def _run(self, stub, resource, metadata, blocks, bytes):
        options = {"metadata": metadata, "timeout": 60}
        try:
            turn = 0
            while not self.stopped.wait(0.02):
                tokens = [turn % blocks * 1000 + i for i in range(BLOCK)]
                if turn < blocks:
                    stub.Write(write_request(tokens, turn + 1, resource=resource,
                                             buffer=os.urandom(bytes)), **options)
                found = stub.Lookup(lookup_request(tokens, resource=resource), **options)
                for location in found.locations:
                    stub.Read(read_request(location.location, resource=resource), **options)
                turn += 1
        except grpc.RpcError as error:
            self.failure = error

    def stop(self):
        self.stopped.set()
        self.thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Link:
    """Passes connections on to a port of the loopback, and each answer `delay_s` late."""

    def __init__(self, to):
        self.to, self.delay_s = to, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ends = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.to))
            self.ends += [near, far]
            threading.Thread(target=self._pass, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, True), daemon=True).start()

    def _pass(self, source, into, late):
        try:
            last = 0
            while piece := source.recv(1 << 20):
                if late and time.monotonic() - last > PAUSE_S:
                    time.sleep(self.delay_s)
                into.sendall(piece)
                last = time.monotonic()
        except OSError:
            pass
        for end in (source, into):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()
        for end in self.ends:
            end.close()


def status(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status.json", timeout=30) as answer:
        return json.load(answer), answer.headers


class StatusJsonTest(unittest.TestCase):
    def test_figures_move_and_nothing_secret_is_told(self):
        port = free_port()
        with Server("--metrics-port", str(port), "--disable-metrics", "--slow-request-ms", "0",
                    environment={"AZURE_STORAGE_KEY": SECRET}) as server:
            before, headers = status(port)
            self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
            self.assertTrue(before["ready"]["ok"])
            with Traffic(server) as traffic:
                end = time.monotonic() + 60
                while time.monotonic() < end:
                    now, _ = status(port)
                    if [value for value in now["samples"]["reads_s"] if value]:
                        break
                    time.sleep(0.5)
            self.assertIsNone(traffic.failure)
            self.assertGreater(now["samples"]["next"], before["samples"]["next"])
            self.assertTrue([value for value in now["samples"]["read_mb_s"] if value])
            self.assertEqual([tier["name"] for tier in now["tiers"]], ["RAM", "Disk"])
            self.assertTrue(now["slow"])
            self.assertEqual(now["clients"]["connections"] > 0, True)
            options = {option["name"]: option for option in now["options"]}
            self.assertEqual(options["--metrics-port"]["value"], str(port))
            self.assertTrue(options["--metrics-port"]["given"])
            self.assertNotIn(SECRET, json.dumps(now))

    def test_a_slow_call_is_logged_with_its_stages(self):
        with Server("--slow-request-ms", "1", "--disable-metrics") as server:
            server.stub().Write(write_request(list(range(BLOCK)), 7, buffer=os.urandom(40_000_000)))
            server.stop()
            lines = [line for line in server.log if "slow request" in line]
        self.assertTrue(lines, server.log)
        self.assertIn("rpc=Write code=OK total_ms=", lines[0])
        self.assertIn(" receiving_ms=", lines[0])
        self.assertIn(" disk_ms=", lines[0])


@unittest.skipIf(why_not(), why_not())
class StatusPageTest(unittest.TestCase):
    def open(self, browser, port, **view):
        browser.open(f"http://127.0.0.1:{port}/", **view)
        browser.wait("document.querySelectorAll('#tiers article').length > 0")

    def assert_quiet(self, browser, port):
        """No error, and nothing asked of anybody else."""
        said = browser.said()
        self.assertEqual(said["errors"], [])
        for url in said["requests"]:
            self.assertTrue(url.startswith(f"http://127.0.0.1:{port}/"), url)

    def await_past(self, port, tier):
        """Until the server knows what the tier took before."""
        end = time.monotonic() + 60
        while not any(one["before_ms"] for one in status(port)[0]["tiers"] if one["name"] == tier):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.5)

    def test_it_shows_what_happens_and_an_outage(self):
        port, own = free_port(), free_port()
        with tempfile.TemporaryDirectory() as directory, Browser() as browser:
            auth = os.path.join(directory, "auth.json")
            with open(auth, "w", encoding="utf-8") as file:
                json.dump({"identities": [{
                    "name": EVIL, "token_sha256": [hashlib.sha256(TOKEN.encode()).hexdigest()],
                    "rules": [{"accounts": ["*"], "containers": ["*"], "partitions": ["*"],
                               "allow": ["read", "write"]}]}]}, file)
            options = ("--metrics-port", str(port), "--disable-metrics", "--auth", auth)
            data = os.path.join(directory, "data")
            with Server(*options, data_dir=data, port=own) as server:
                self.open(browser, port)
                metadata = (("authorization", "Bearer " + TOKEN),)
                with Traffic(server, metadata=metadata) as traffic:
                    browser.wait("parseFloat(document.querySelectorAll('#tiles dd')[1].innerText) > 0")
                    first = browser.text("#tiles")
                    browser.wait("document.querySelector('#tiles').innerText !== " + json.dumps(first))
                    browser.wait("document.querySelectorAll('#charts path.line').length > 3")
                    browser.wait("document.querySelector('#tenants').innerText.includes('<script>')")
                self.assertIsNone(traffic.failure)
                self.assertIn("disk_write", browser.text("#queues"))
                self.assertIn("stored bytes", browser.text("#tenants"))
                self.assertEqual(browser.evaluate("document.title"), "KVStore status")
                self.assertEqual(browser.evaluate("document.images.length"), 0)
                self.assertIn("All is well", browser.text("#banner"))
                self.assertIn("Slowest requests", browser.text("#main"))
                self.assertIn("Write", browser.text("#slow"))  # the slowest of what was asked for
                self.assertIn("--metrics-port", browser.text("#options"))
                self.assertNotIn(TOKEN, browser.text("body"))
                self.assert_quiet(browser, port)
                if into := os.environ.get("KVSTORE_PICTURES"):
                    browser.picture(os.path.join(into, "status.png"))
                server.kill()
                browser.wait("document.querySelector('#banner').innerText.includes('does not answer')")
                self.assertIn("as of", browser.text("#banner"))
            with Server(*options, data_dir=data, port=own):
                browser.wait("!document.querySelector('#banner').innerText.includes('does not answer')")
                self.assert_quiet(browser, port)

    def test_it_is_read_with_a_keyboard_on_a_phone_in_the_dark(self):
        port = free_port()
        with Browser() as browser, Server("--metrics-port", str(port), "--disable-metrics") as server:
            with Traffic(server):
                self.open(browser, port, width=360, height=740, dark=True, still=True)
                browser.wait("document.querySelectorAll('#charts path.line').length > 3")
                wide = browser.evaluate("document.documentElement.scrollWidth")
                self.assertLessEqual(wide, 360)
                if into := os.environ.get("KVSTORE_PICTURES"):
                    browser.picture(os.path.join(into, "status_phone.png"))
            self.assertEqual(browser.evaluate("getComputedStyle(document.body).backgroundColor"),
                             "rgb(13, 17, 23)")
            focused = "document.activeElement.id || document.activeElement.className"
            browser.press("Tab")
            self.assertEqual(browser.evaluate(focused), "skip")
            browser.press("Enter")
            self.assertEqual(browser.evaluate(focused), "tiers")
            # Not behind the banner, which stays on top; and at once, as there is to be no motion.
            browser.wait("scrollY > 0")
            top, banner = (browser.evaluate(f"document.getElementById('{id}').getBoundingClientRect()."
                                            + edge) for id, edge in (("tiers", "top"),
                                                                     ("banner", "bottom")))
            self.assertGreaterEqual(top, banner)
            self.assertEqual(browser.evaluate(
                "getComputedStyle(document.documentElement).scrollBehavior"), "auto")
            seen = set()
            for _ in range(30):
                browser.press("Shift+Tab" if not seen else "Tab")
                seen.add(browser.evaluate(focused))
            self.assertIn("pause", seen)
            self.assertIn("wide", seen)
            browser.evaluate("document.getElementById('pause').focus()")
            browser.press("Enter")
            self.assertEqual(
                browser.evaluate("document.getElementById('pause').getAttribute('aria-pressed')"), "true")
            # Headings without a gap, everything named that takes the focus.
            levels = browser.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
            self.assertEqual(levels[0], 1)
            self.assertTrue(all(b - a <= 1 for a, b in zip(levels, levels[1:])), levels)
            self.assert_quiet(browser, port)

    def test_a_stranger_is_told_which_tier_is_slow(self):
        port = free_port()
        with Browser() as browser, Azurite() as azurite:
            link = Link(azurite.port)
            connection = (f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
                          f"BlobEndpoint=http://127.0.0.1:{link.port}/{ACCOUNT};")
            # No RAM: every read goes to Azure.
            with Server("--storage", "azure", "--metrics-port", str(port), "--memory", "1MiB",
                        "--disable-metrics",
                        environment={"AZURE_STORAGE_CONNECTION_STRING": connection}) as server:
                self.open(browser, port)
                with Traffic(server, resource=ACCOUNT, blocks=40, bytes=200_000) as traffic:
                    browser.wait("[...document.querySelectorAll('#tiers article')].some(card => "
                                 "card.innerText.includes('Azure') && card.className === 'well')")
                    self.await_past(port, "Azure")
                    self.assertNotIn("slow:", browser.text("#banner"))
                    link.delay_s = SLOW_S
                    browser.wait("document.querySelector('#banner').innerText.includes('Azure is slow')",
                                 seconds=60)
                    if into := os.environ.get("KVSTORE_PICTURES"):
                        browser.picture(os.path.join(into, "status_slow.png"))
                self.assertIsNone(traffic.failure)
                self.assertNotIn("Disk is slow", browser.text("body"))
                self.assertNotIn("RAM is slow", browser.text("body"))
                self.assert_quiet(browser, port)
            link.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
