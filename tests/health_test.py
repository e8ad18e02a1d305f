"""gRPC's health service, as load balancers and orchestrators ask it."""
import contextlib
import os
import tempfile
import threading
import time
import unittest

import grpc
from kvserver import BLOCK, Server, write_request

SERVING, NOT_SERVING, NO_SUCH_SERVICE = 1, 2, 3
SERVICES = ("", "kvstore.KVStoreService", "kvstore.tier.ram")
LONG_S = 60
MOST_WATCHES = 1000


def request(service):
    name = service.encode()
    return b"\x0a" + bytes([len(name)]) + name if name else b""


def check(channel, service, **options):
    call = channel.unary_unary("/grpc.health.v1.Health/Check")
    answer = call(request(service), timeout=LONG_S, **options)
    assert answer[:1] == b"\x08", answer
    return answer[1]


def watch(channel, service, **options):
    call = channel.unary_stream("/grpc.health.v1.Health/Watch")
    return call(request(service), timeout=LONG_S, **options)


class HealthTest(unittest.TestCase):
    def test_services_and_tiers(self):
        with Server() as server, server.channel() as channel:
            for service in (*SERVICES, "kvstore.tier.disk"):
                self.assertEqual(check(channel, service), SERVING, service)
            for service in ("kvstore.tier.azure", "kvstore", "x" * 120):
                with self.assertRaises(grpc.RpcError) as failed:
                    check(channel, service)
                self.assertEqual(failed.exception.code(), grpc.StatusCode.NOT_FOUND)
            self.assertEqual(next(watch(channel, "kvstore")), bytes([8, NO_SUCH_SERVICE]))
            self.assertEqual(server.stop(), 0)

    def test_what_is_no_request_is_refused(self):
        with Server() as server, server.channel() as channel:
            for bad in (b"\x0a\xff", b"\xff\xff", b"\x0a\x03ab"):
                with self.assertRaises(grpc.RpcError) as failed:
                    channel.unary_unary("/grpc.health.v1.Health/Check")(bad, timeout=LONG_S)
                self.assertEqual(failed.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
                with self.assertRaises(grpc.RpcError) as failed:
                    next(channel.unary_stream("/grpc.health.v1.Health/Watch")(bad, timeout=LONG_S))
                self.assertEqual(failed.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)

    def test_no_token_is_asked_for(self):
        with tempfile.TemporaryDirectory() as directory:
            auth = os.path.join(directory, "auth.json")
            with open(auth, "w", encoding="utf-8") as file:
                file.write('{"identities": []}')
            with Server("--auth", auth) as server, server.channel() as channel:
                self.assertEqual(check(channel, ""), SERVING)
                with self.assertRaises(grpc.RpcError) as failed:
                    server.stub().Write(write_request(list(range(BLOCK)), 7), timeout=LONG_S)
                self.assertEqual(failed.exception.code(), grpc.StatusCode.UNAUTHENTICATED)

    def test_a_watch_hears_of_the_end_and_does_not_delay_it(self):
        with Server() as server, server.channel() as channel:
            answers = watch(channel, "")
            self.assertEqual(next(answers), bytes([8, SERVING]))
            began = time.monotonic()
            server.process.terminate()
            self.assertEqual(next(answers), bytes([8, NOT_SERVING]))
            with self.assertRaises(grpc.RpcError):
                next(answers)
            self.assertEqual(server.wait(), 0)
            self.assertLess(time.monotonic() - began, 9, "the grace is for calls that do something")

    def test_watches_are_bounded_and_their_places_given_back(self):
        with Server() as server, contextlib.ExitStack() as channels:
            # A connection takes 200 streams.
            some = [channels.enter_context(server.channel()) for _ in range(MOST_WATCHES // 100)]
            held = [watch(some[i % len(some)], "") for i in range(MOST_WATCHES)]
            for each in held:
                self.assertEqual(next(each), bytes([8, SERVING]))
            with self.assertRaises(grpc.RpcError) as failed:
                next(watch(some[0], ""))
            self.assertEqual(failed.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
            self.assertEqual(check(some[0], ""), SERVING)
            for each in held:
                each.cancel()
            end = time.monotonic() + LONG_S
            while True:
                try:
                    next(watch(some[0], ""))
                    break
                except grpc.RpcError:
                    self.assertLess(time.monotonic(), end)
                    time.sleep(0.1)

    def test_many_at_once(self):
        with Server() as server, server.channel() as channel:
            wrong = []

            def ask():
                for _ in range(200):
                    if check(channel, "") != SERVING:
                        wrong.append(1)
            threads = [threading.Thread(target=ask) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(wrong, [])


class IntrospectionTest(unittest.TestCase):
    """Reflection and channelz, as generic clients ask: off unless asked for."""

    def reflect(self, channel, request):
        call = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        (answer,) = call(iter([request]), timeout=LONG_S)
        return answer

    def test_services_are_listed_and_described(self):
        with Server("--reflection") as server, server.channel() as channel:
            services = self.reflect(channel, b"\x3a\x01*")  # list_services
            self.assertIn(b"kvstore.KVStoreService", services)
            self.assertIn(b"grpc.health.v1.Health", services)
            symbol = b"kvstore.KVStoreService"
            described = self.reflect(channel, b"\x22" + bytes([len(symbol)]) + symbol)
            self.assertIn(b"precomputed_hashes", described)

    def test_channelz_tells_of_servers(self):
        with Server("--channelz") as server, server.channel() as channel:
            self.assertTrue(
                channel.unary_unary("/grpc.channelz.v1.Channelz/GetServers")(b"", timeout=LONG_S))

    def test_neither_is_there_unasked(self):
        with Server() as server, server.channel() as channel:
            for ask in (lambda: self.reflect(channel, b"\x3a\x01*"),
                        lambda: channel.unary_unary("/grpc.channelz.v1.Channelz/GetServers")(
                            b"", timeout=LONG_S)):
                with self.assertRaises(grpc.RpcError) as failed:
                    ask()
                self.assertEqual(failed.exception.code(), grpc.StatusCode.UNIMPLEMENTED)


if __name__ == "__main__":
    unittest.main(verbosity=2)
