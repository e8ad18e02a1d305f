"""Who may connect, and who may do what: real servers with TLS, client certificates and tokens, driven
by protoc's plain client and by the playground, which is our own."""
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest

import grpc

from kvserver import (BLOCK, MESSAGE_OPTIONS, Server, kvstore_pb2_grpc, lookup_request,
                      read_request, write_request)
from tls_certs import Authority, read

TOKENS = list(range(BLOCK))
TIMEOUT_S = 20
LOG_TIMEOUT_S = 120  # a server looks at its certificates every 30 s
A_TOKEN, B_TOKEN, C_TOKEN = "token-of-a-5e1f", "token-of-b-77ab", "token-of-c-02d6"
READER_TOKEN = "token-of-reader-91c0"


def hash_of(token):
    return hashlib.sha256(token.encode()).hexdigest()


def identity(name, tokens=(), rules=(), certificate_names=()):
    proofs = {}
    if tokens:
        proofs["token_sha256"] = [hash_of(t) for t in tokens]
    if certificate_names:
        proofs["certificate_names"] = list(certificate_names)
    return {"name": name, **proofs, "rules": list(rules)}


def rule(partitions, allow=("read", "write"), accounts=("acct",), containers=("box",)):
    return {"accounts": list(accounts), "containers": list(containers),
            "partitions": list(partitions), "allow": list(allow)}


IDENTITIES = [
    identity("team-a", [A_TOKEN], [rule(["a", "a/*"])]),
    identity("team-b", [B_TOKEN], [rule(["b", "b/*"]), rule(["b"], containers=["other"])]),
    identity("team-c", [C_TOKEN], [rule(["c"])]),  # no beginnings of names
    identity("reader", [READER_TOKEN], [rule(["a/*", "exact"], ["read"])]),
]


class Caller:
    """A plain client with a token, or without."""

    def __init__(self, channel, token=None):
        self.stub = kvstore_pb2_grpc.KVStoreServiceStub(channel)
        self.metadata = [("authorization", f"Bearer {token}")] if token else []

    def _call(self, method, request):
        return method(request, metadata=self.metadata, timeout=TIMEOUT_S)

    def write(self, partition, hash=7, **kwargs):
        return self._call(self.stub.Write, write_request(TOKENS, hash, partition=partition, **kwargs))

    def lookup(self, partition, **kwargs):
        return self._call(self.stub.Lookup, lookup_request(TOKENS, partition=partition, **kwargs))

    def read(self, location, **kwargs):
        return self._call(self.stub.Read, read_request(location, **kwargs))

    def stream(self, locations, **kwargs):
        requests = iter([read_request(location, **kwargs) for location in locations])
        return list(self._call(self.stub.StreamingRead, requests))

    def location(self, partition, **kwargs):
        found = self.lookup(partition, **kwargs)
        assert found.cached_blocks == 1, found
        return found.locations[0].location


class SecurityTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="kvstore-tls-")
        cls.addClassCleanup(shutil.rmtree, cls.directory, True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def write_auth(self, identities, name="auth.json"):
        with open(self.path(name), "w") as file:
            json.dump({"identities": identities}, file)
        return self.path(name)

    def refused(self, code, call, *args, **kwargs):
        """The error's text."""
        with self.assertRaises(grpc.RpcError) as caught:
            call(*args, **kwargs)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        return caught.exception.details()

    def reload(self, server, words):
        """Sends SIGHUP and waits until the log says so."""
        seen = len(server.log)
        server.process.send_signal(signal.SIGHUP)
        self.await_log(server, words, seen)

    def await_log(self, server, words, seen=0):
        deadline = threading.Event()
        timer = threading.Timer(LOG_TIMEOUT_S, deadline.set)
        timer.start()
        while not any(words in line for line in server.log[seen:]):
            self.assertFalse(deadline.wait(0.02), f"no '{words}' in:\n" + "".join(server.log[seen:]))
        timer.cancel()

    def fails_to_start(self, *options):
        with self.assertRaises(RuntimeError) as caught:
            Server(*options)
        return str(caught.exception)


class TokensTest(SecurityTest):
    def setUp(self):
        self.server = Server("--auth", self.write_auth(IDENTITIES), "--log-level", "verbose")
        self.addCleanup(self.server.__exit__)
        self.channel = self.server.channel()
        self.addCleanup(self.channel.close)
        self.a, self.b = self.caller(A_TOKEN), self.caller(B_TOKEN)
        self.reader = self.caller(READER_TOKEN)

    def caller(self, token=None):
        return Caller(self.channel, token)

    def test_nobody_does_anything_without_a_known_token(self):
        self.a.write("a")
        location = self.a.location("a")
        for caller in [self.caller(), self.caller("wrong"), self.caller(hash_of(A_TOKEN))]:
            for call in [lambda: caller.write("a"), lambda: caller.lookup("a"),
                         lambda: caller.read(location), lambda: caller.stream([location]),
                         lambda: caller.stream([])]:
                text = self.refused(grpc.StatusCode.UNAUTHENTICATED, call)
                self.assertIn("token", text)
                self.assertIn("auth file", text)
        two = Caller(self.channel)
        two.metadata = [("authorization", f"Bearer {A_TOKEN}")] * 2
        self.refused(grpc.StatusCode.UNAUTHENTICATED, two.lookup, "a")

    def test_each_does_what_its_rules_say(self):
        self.a.write("a")
        self.a.write("a/x")
        self.b.write("b")
        self.b.write("b", container="other")
        self.assertTrue(self.reader.read(self.reader.location("a/x")).found)
        self.assertEqual(self.a.lookup("a").cached_blocks, 1)
        denied = grpc.StatusCode.PERMISSION_DENIED
        texts = {self.refused(denied, call, *args, **kwargs) for call, args, kwargs in [
            (self.a.lookup, ["b"], {}), (self.a.lookup, ["nothing"], {}),
            (self.reader.lookup, ["a"], {}), (self.a.lookup, ["a"], {"container": "other"}),
            (self.a.lookup, ["a"], {"resource": "nobody"}), (self.a.lookup, ["a"],
                                                             {"container": "nowhere"})]}
        self.assertEqual(len(texts), 1, "what exists and what does not must look the same")
        for partition in ["b", "nothing", "a-x"]:
            self.refused(denied, self.a.write, partition)
        self.refused(denied, self.reader.write, "a/x")
        self.refused(denied, self.reader.write, "exact")
        self.refused(denied, self.a.write, "a", container="other")
        self.assertEqual(self.b.lookup("b").cached_blocks, 1)

    def test_a_location_is_nothing_to_another_tenant(self):
        self.a.write("a")
        self.a.write("a/x")
        self.b.write("b")
        exact, below, theirs = (self.a.location("a"), self.a.location("a/x"),
                                self.b.location("b"))
        # Under b's token: a's, and b's own to see that the test can find.
        for locations in [[exact], [below], [exact, below]]:
            self.assertEqual([r.found for r in self.b.stream(locations)], [False] * len(locations))
        self.assertFalse(self.b.read(exact).found)
        self.assertFalse(self.b.read(below).found)
        self.assertEqual([r.found for r in self.b.stream([theirs, exact, theirs])],
                         [True, False, True])
        self.assertFalse(self.reader.read(exact).found)  # it may read below a/ alone
        self.assertTrue(self.reader.read(below).found)
        c = self.caller(C_TOKEN)
        c.write("c")
        self.assertEqual([r.found for r in c.stream([c.location("c"), exact, below])],
                         [True, False, False])
        self.assertFalse(c.read(exact).found)
        self.assertFalse(self.b.read(c.location("c")).found)
        # A miss looks the same as one of a location that was never given out.
        never = self.b.read("A" * 96)
        hidden = self.b.read(exact)
        for answer in (never, hidden):
            answer.ClearField("server_metrics")
        self.assertEqual(never, hidden)
        # In another container or account, with the right to read there or without.
        self.assertFalse(self.b.read(theirs, container="other").found)
        for kwargs in [{"container": "other"}, {"resource": "nobody"}]:
            self.refused(grpc.StatusCode.PERMISSION_DENIED, self.a.read, exact, **kwargs)
            self.refused(grpc.StatusCode.PERMISSION_DENIED, self.a.stream, [exact], **kwargs)

    def test_no_location_can_be_forged(self):
        self.a.write("a")
        self.a.write("a/x")
        self.b.write("b")
        for partition in ["a", "a/x"]:
            location = self.a.location(partition)
            theirs = self.b.location("b")
            forged = []
            for i, character in enumerate(location):  # each bit of each byte, where it is text
                for bit in range(7):
                    other = chr(ord(character) ^ 1 << bit)
                    forged.append(location[:i] + other + location[i + 1:])
            forged += [theirs[:cut] + location[cut:] for cut in range(1, 96)]
            forged += [location[:cut] + theirs[cut:] for cut in range(1, 96)]
            dice = random.Random(7)
            letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
            forged += ["".join(dice.choices(letters, k=96)) for _ in range(500)]
            forged += [location[:22] + "".join(dice.choices(letters, k=74)) for _ in range(500)]
            forged += [location[:-1], location + "A", location.swapcase(), "x", "\0" * 96]
            forged = [f for f in forged if f not in (location, theirs)]
            for caller in (self.a, self.b):
                answers = caller.stream(forged)
                self.assertEqual(len(answers), len(forged))
                self.assertFalse(any(a.found for a in answers))
            self.assertTrue(self.a.read(location).found)

    def test_tokens_are_replaced_without_a_restart(self):
        self.a.write("a")
        new = identity("team-a", [A_TOKEN, "new-token"], [rule(["a"])])
        self.write_auth([new])
        self.reload(self.server, "auth file read identities=1")
        for token in (A_TOKEN, "new-token"):
            self.assertEqual(self.caller(token).lookup("a").cached_blocks, 1)
        self.refused(grpc.StatusCode.UNAUTHENTICATED, self.b.lookup, "b")

        # A stream that runs ends with the right that it rests on.
        gate = threading.Event()

        def requests():
            yield read_request("A" * 96)
            gate.wait(TIMEOUT_S)
            yield read_request("A" * 96)

        stream = self.a.stub.StreamingRead(requests(), metadata=self.a.metadata, timeout=TIMEOUT_S)
        self.assertFalse(next(stream).found)
        self.write_auth([identity("team-a", ["new-token"], [rule(["a"])])])
        self.reload(self.server, "auth file read identities=1")
        gate.set()
        self.refused(grpc.StatusCode.UNAUTHENTICATED, next, stream)
        self.refused(grpc.StatusCode.UNAUTHENTICATED, self.a.lookup, "a")

        # A bad file changes nothing, and the log says what is wrong.
        with open(self.path("auth.json"), "w") as file:
            file.write('{"identities": [{"name": "x"}]}')
        self.reload(self.server, "all stays as it was")
        self.assertTrue(any("identities[0]: has neither" in line for line in self.server.log))
        self.assertEqual(self.caller("new-token").lookup("a").cached_blocks, 1)

        self.write_auth([])
        self.reload(self.server, "auth file read identities=0")
        self.refused(grpc.StatusCode.UNAUTHENTICATED, self.caller("new-token").lookup, "a")

    def test_no_log_holds_a_token(self):
        wrong = "wrong-token-0d4e"
        self.a.write("a")
        self.a.stream([self.a.location("a")])
        self.refused(grpc.StatusCode.PERMISSION_DENIED, self.a.lookup, "b")
        self.refused(grpc.StatusCode.UNAUTHENTICATED, self.caller(wrong).lookup, "b")
        self.refused(grpc.StatusCode.UNAUTHENTICATED, self.caller(wrong).stream, [])
        self.refused(grpc.StatusCode.UNAUTHENTICATED, self.caller(wrong).write, "a")
        self.reload(self.server, "auth file read")
        with open(self.path("auth.json"), "w") as file:  # somebody puts the token for its hash
            file.write(json.dumps({"identities": [{"name": "x", "token_sha256": [A_TOKEN]}]}))
        self.reload(self.server, "all stays as it was")
        self.assertEqual(self.server.stop(), 0)
        log = "".join(self.server.log + self.server.rpc_lines)
        self.assertIn("call refused rpc=Lookup code=UNAUTHENTICATED", log)
        self.assertIn("call refused rpc=StreamingRead code=UNAUTHENTICATED", log)
        self.assertIn("PERMISSION_DENIED", log)
        for secret in [A_TOKEN, hash_of(A_TOKEN), wrong, hash_of(wrong), "Bearer "]:
            self.assertNotIn(secret, log.replace("'Bearer <token>'", ""))

    def test_call_lines_name_the_caller(self):
        self.a.write("a")
        self.a.stream([self.a.location("a")])
        self.refused(grpc.StatusCode.UNAUTHENTICATED, self.caller().lookup, "a")
        self.assertEqual(self.server.stop(), 0)
        lines = [json.loads(line) for line in self.server.rpc_lines]
        self.assertEqual([(line["rpc"], line.get("identity")) for line in lines],
                         [("Write", "team-a"), ("Lookup", "team-a"), ("StreamingRead", "team-a"),
                          ("Lookup", None)])


class TlsTest(SecurityTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.authority = Authority(cls.directory, "authority")
        cls.other = Authority(cls.directory, "other")
        cls.server_files = cls.authority.issue("server", "kv", "DNS:localhost,IP:127.0.0.1")
        cls.client_files = cls.authority.issue("client", "ignored", "DNS:node1,URI:spiffe://x/a")
        cls.named_files = cls.authority.issue("named", "by-common-name")
        cls.foreign_files = cls.other.issue("foreign", "node1", "DNS:node1")

    def serve(self, *more, files=None):
        certificate, key = files or self.server_files
        server = Server("--tls-cert", certificate, "--tls-key", key, *more)
        self.addCleanup(server.__exit__)
        return server

    def caller(self, server, authority=None, files=None, token=None, host="127.0.0.1"):
        key, certificate = (read(files[1]), read(files[0])) if files else (None, None)
        credentials = grpc.ssl_channel_credentials(read((authority or self.authority).certificate),
                                                   key, certificate)
        channel = grpc.secure_channel(f"{host}:{server.port}", credentials, MESSAGE_OPTIONS)
        self.addCleanup(channel.close)
        return Caller(channel, token)

    def served_certificate(self, server):
        return ssl.get_server_certificate(("127.0.0.1", server.port), timeout=TIMEOUT_S)

    def test_only_tls_is_spoken(self):
        server = self.serve()
        caller = self.caller(server)
        caller.write("p")
        self.assertTrue(caller.read(caller.location("p")).found)
        self.assertEqual([r.found for r in caller.stream([caller.location("p")] * 3)], [True] * 3)
        self.assertTrue(self.caller(server, host="localhost").lookup("p").success)
        plain = Caller(server.channel())
        self.refused(grpc.StatusCode.UNAVAILABLE, plain.lookup, "p")
        with socket.create_connection(("127.0.0.1", server.port), TIMEOUT_S) as raw:
            raw.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
            answer = b""
            while part := raw.recv(4096):
                answer += part
            self.assertNotEqual(answer[3:5], b"\4\0", "HTTP/2 settings in plain text")

    def test_a_client_refuses_another_authoritys_server_and_another_name(self):
        server = self.serve()
        self.refused(grpc.StatusCode.UNAVAILABLE, self.caller(server, self.other).lookup, "p")
        named = self.serve(files=self.authority.issue("elsewhere", "kv", "DNS:elsewhere"))
        self.refused(grpc.StatusCode.UNAVAILABLE, self.caller(named).lookup, "p")

    def test_clients_need_a_certificate_of_the_authority(self):
        server = self.serve("--tls-client-ca", self.authority.certificate)
        self.assertTrue(self.caller(server, files=self.client_files).lookup("p").success)
        expired = self.authority.issue("expired", "node1", "DNS:node1", days=-1)
        for files in [None, self.foreign_files, expired]:
            self.refused(grpc.StatusCode.UNAVAILABLE, self.caller(server, files=files).lookup, "p")

    def test_a_certificates_name_is_an_identity(self):
        auth = self.write_auth([
            identity("by-dns", [], [rule(["dns"])], ["node1"]),
            identity("by-uri", [], [rule(["uri"])], ["spiffe://x/b"]),
            identity("by-name", [A_TOKEN], [rule(["cn"])], ["by-common-name"]),
            identity("nobody", [], [rule(["ignored"])], ["ignored"])], "names.json")
        server = self.serve("--tls-client-ca", self.authority.certificate, "--auth", auth)
        denied = grpc.StatusCode.PERMISSION_DENIED
        dns = self.caller(server, files=self.client_files)
        self.assertTrue(dns.lookup("dns").success)
        self.refused(denied, dns.lookup, "uri")
        self.refused(denied, dns.lookup, "ignored")  # its common name, which counts no more
        uri = self.authority.issue("uri", "n", "URI:spiffe://x/b")
        self.assertTrue(self.caller(server, files=uri).lookup("uri").success)
        by_name = self.caller(server, files=self.named_files)
        self.assertTrue(by_name.lookup("cn").success)
        self.refused(denied, by_name.lookup, "dns")
        unknown = self.authority.issue("unknown", "unknown", "DNS:node1.example.net")
        self.refused(grpc.StatusCode.UNAUTHENTICATED, self.caller(server, files=unknown).lookup,
                     "dns")
        other_name = self.authority.issue("tricky", "by-common-name", "DNS:unknown")
        self.refused(grpc.StatusCode.UNAUTHENTICATED,
                     self.caller(server, files=other_name).lookup, "cn")
        # A token counts before the certificate, be it right or wrong.
        both = self.caller(server, files=self.client_files, token=A_TOKEN)
        self.assertTrue(both.lookup("cn").success)
        self.refused(denied, both.lookup, "dns")
        self.refused(grpc.StatusCode.UNAUTHENTICATED,
                     self.caller(server, files=self.client_files, token="wrong").lookup, "dns")

    def test_certificates_are_replaced_without_a_restart(self):
        mine = [self.path("rotating.pem"), self.path("rotating.key")]

        def place(files):
            for source, target in zip(files, mine):
                shutil.copy(source, target)

        place(self.server_files)
        server = self.serve("--tls-client-ca", self.authority.certificate, files=mine)
        old = self.caller(server, files=self.client_files)
        self.assertTrue(old.lookup("p").success)
        self.assertEqual(self.served_certificate(server), read(self.server_files[0]).decode())

        fresh = self.authority.issue("fresh", "kv2", "DNS:localhost,IP:127.0.0.1")
        place(fresh)
        self.reload(server, "certificates read changed=true")
        self.assertEqual(self.served_certificate(server), read(fresh[0]).decode())
        self.assertTrue(old.lookup("p").success)  # its connection stays
        self.assertTrue(self.caller(server, files=self.client_files).lookup("p").success)

        # Half of a new pair, what has expired, what is no certificate: the old pair serves on.
        gone = self.authority.issue("gone", "kv3", "DNS:localhost,IP:127.0.0.1", days=-1)
        for files, why in [((self.server_files[0], fresh[1]), "is not the key of"),
                           (gone, "has expired on"),
                           ((os.devnull, fresh[1]), "holds no certificate")]:
            place(files)
            self.reload(server, "certificates not read, all stays as it was")
            self.assertTrue(any(why in line for line in server.log), why)
            self.assertEqual(self.served_certificate(server), read(fresh[0]).decode())
            self.assertTrue(self.caller(server, files=self.client_files).lookup("p").success)
        place(self.server_files)
        self.reload(server, "certificates read changed=true")
        self.assertEqual(self.served_certificate(server), read(self.server_files[0]).decode())

    def test_files_that_are_replaced_are_noticed_without_a_signal(self):
        mine = [self.path("watched.pem"), self.path("watched.key")]
        for source, target in zip(self.server_files, mine):
            shutil.copy(source, target)
        server = self.serve(files=mine)
        fresh = self.authority.issue("watched-new", "kv2", "DNS:localhost")
        for source, target in zip(fresh, mine):
            shutil.copy(source, target)
        self.await_log(server, "certificates read changed=true")
        self.assertEqual(self.served_certificate(server), read(fresh[0]).decode())

    def test_authorities_of_clients_are_replaced_without_a_restart(self):
        mine = self.path("clients.pem")
        shutil.copy(self.authority.certificate, mine)
        server = self.serve("--tls-client-ca", mine)
        self.assertTrue(self.caller(server, files=self.client_files).lookup("p").success)
        self.refused(grpc.StatusCode.UNAVAILABLE,
                     self.caller(server, files=self.foreign_files).lookup, "p")
        shutil.copy(self.other.certificate, mine)
        self.reload(server, "certificates read changed=true")
        self.assertTrue(self.caller(server, files=self.foreign_files).lookup("p").success)
        self.refused(grpc.StatusCode.UNAVAILABLE,
                     self.caller(server, files=self.client_files).lookup, "p")

    def test_a_server_does_not_start_with_files_that_cannot_work(self):
        certificate, key = self.server_files
        _, wrong_key = self.client_files
        expired = self.authority.issue("past", "kv", "DNS:localhost", days=-1)
        for options, words in [
                (["--tls-cert", certificate], "--tls-cert and --tls-key go together"),
                (["--tls-client-ca", certificate], "--tls-client-ca needs"),
                (["--tls-cert", self.path("none"), "--tls-key", key],
                 f"TLS certificate: {self.path('none')} cannot be read"),
                (["--tls-cert", certificate, "--tls-key", wrong_key],
                 f"TLS key {wrong_key}: is not the key of"),
                (["--tls-cert", expired[0], "--tls-key", expired[1]],
                 f"TLS certificate {expired[0]}: has expired on"),
                (["--tls-cert", key, "--tls-key", key], "holds no certificate in PEM form"),
                (["--tls-cert", certificate, "--tls-key", key, "--tls-client-ca", key],
                 f"TLS authorities {key}: holds no certificate"),
                (["--auth", self.path("none")], f"auth file {self.path('none')}"),
                (["--auth", certificate], "line 1, column")]:
            self.assertIn(words, self.fails_to_start(*options))

    def test_it_warns_of_what_is_open_to_the_network(self):
        auth = self.write_auth(IDENTITIES, "warn.json")
        tls = ["--tls-cert", self.server_files[0], "--tls-key", self.server_files[1]]
        for options, words in [([], "anyone who reaches this port may read and write everything, "
                                "and what travels is not encrypted"),
                               (["--auth", auth], "tokens and blocks travel unencrypted"),
                               (tls, "anyone who reaches this port"),
                               ([*tls, "--auth", auth], None),
                               ([*tls, "--tls-client-ca", self.authority.certificate], None)]:
            with Server("--host", "0.0.0.0", *options) as server:
                self.assertEqual(server.stop(), 0)
                warnings = [line for line in server.log if "warn" in line]
                self.assertEqual(len(warnings), 1 if words else 0, warnings)
                self.assertTrue(words is None or words in warnings[0], warnings)
        with Server() as server:
            self.assertEqual(server.stop(), 0)
            self.assertFalse([line for line in server.log if "warn" in line])


class OurClientTest(SecurityTest):
    """The C++ client: in the playground, and in the smallest program, by its environment."""
    TRACE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                         "KVPlayground", "data", "small_trace.jsonl")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.authority = Authority(cls.directory, "authority")
        cls.other = Authority(cls.directory, "other")
        cls.server_files = cls.authority.issue("server", "kv", "DNS:kv.example.net,IP:127.0.0.1")
        cls.elsewhere_files = cls.authority.issue("elsewhere", "kv", "DNS:kv.example.net")
        cls.client_files = cls.authority.issue("client", "node1", "DNS:node1")
        cls.token_file = os.path.join(cls.directory, "token")
        with open(cls.token_file, "w") as file:
            file.write(A_TOKEN + "\n")
        cls.tls = ["--tls-ca", cls.authority.certificate]
        cls.certificate = ["--tls-cert", cls.client_files[0], "--tls-key", cls.client_files[1]]

    def serve(self, *more, files=None):
        certificate, key = files or self.server_files
        server = Server("--tls-cert", certificate, "--tls-key", key, *more)
        self.addCleanup(server.__exit__)
        return server

    def play(self, servers, *options, partition="a/play"):
        addresses = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        return subprocess.run(
            [os.environ["KVSTORE_PLAYGROUND"], "--trace", self.TRACE, "--server", addresses,
             "--storage", "acct", "--container", "box", "--partition", partition,
             "--buffer-bytes", "20000", *options], capture_output=True, text=True, timeout=300)

    def assert_plays(self, result):
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def assert_refused(self, result, words):
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertIn("the server does not answer", result.stderr)
        self.assertIn(words, result.stderr)
        self.assertNotIn(A_TOKEN, result.stdout + result.stderr)

    def test_tls_and_names(self):
        server = self.serve()
        self.assert_plays(self.play([server], *self.tls))
        self.assert_refused(self.play([server]), "UNAVAILABLE")  # plain text
        self.assert_refused(self.play([server], "--tls-ca", self.other.certificate),
                            "certificate verify failed")
        self.assert_plays(self.play([server], *self.tls, "--tls-server-name", "kv.example.net"))
        self.assert_refused(self.play([server], *self.tls, "--tls-server-name", "other.net"),
                            "UNAVAILABLE")
        elsewhere = self.serve(files=self.elsewhere_files)
        self.assert_refused(self.play([elsewhere], *self.tls), "UNAVAILABLE")
        self.assert_plays(self.play([elsewhere], *self.tls, "--tls-server-name", "kv.example.net"))
        with Server() as plain:  # nobody speaks plain text because the server does
            self.assert_refused(self.play([plain], *self.tls), "UNAVAILABLE")

    def test_a_certificate_of_ones_own(self):
        server = self.serve("--tls-client-ca", self.authority.certificate)
        self.assert_plays(self.play([server], *self.tls, *self.certificate))
        self.assert_refused(self.play([server], *self.tls), "UNAVAILABLE")

    def test_files_that_cannot_work_end_the_start(self):
        server = self.serve()
        for options, words in [
                (["--tls-ca", self.path("none")], "TLS authorities"),
                (self.certificate, "KVSTORE_TLS_CA"),
                ([*self.tls, "--tls-cert", self.client_files[0], "--tls-key", self.server_files[1]],
                 "is not the key of"),
                (["--token-file", self.path("none")], "token file")]:
            result = self.play([server], *options)
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn(words, result.stderr)

    def test_tokens_over_several_servers(self):
        auth = self.write_auth(IDENTITIES)
        servers = [self.serve("--auth", auth) for _ in range(3)]
        self.assert_plays(self.play(servers, *self.tls, "--token-file", self.token_file))
        self.assert_refused(self.play(servers, *self.tls), "UNAUTHENTICATED")
        self.assert_refused(self.play(servers, *self.tls, "--token-file", self.token_file,
                                      partition="b"), "PERMISSION_DENIED")

    def test_the_compatible_class_takes_all_from_its_environment(self):
        auth = self.write_auth(
            [identity("a", [A_TOKEN], [rule(["my-partition"], accounts=["account"],
                                            containers=["container-name"])])], "quick.json")
        server = self.serve("--auth", auth, "--tls-client-ca", self.authority.certificate,
                            files=self.elsewhere_files)
        environment = {"KVSTORE_GRPC_SERVER": f"127.0.0.1:{server.port}",
                       "KVSTORE_TLS_CA": self.authority.certificate,
                       "KVSTORE_TLS_CERT": self.client_files[0],
                       "KVSTORE_TLS_KEY": self.client_files[1],
                       "KVSTORE_TLS_SERVER_NAME": "kv.example.net",
                       "KVSTORE_TOKEN_FILE": self.token_file}
        for left_out in [None, *list(environment)[1:]]:
            given = {k: v for k, v in environment.items() if k != left_out}
            result = subprocess.run([os.environ["KVSTORE_QUICKSTART"]], env={**os.environ, **given},
                                    capture_output=True, text=True, timeout=120)
            self.assertEqual(result.returncode == 0, left_out is None, (left_out, result.stdout))


if __name__ == "__main__":
    unittest.main()
