"""HTTP/2 by raw sockets, as a broken or hostile client would speak it, against a real server: resets, floods,
frames that are wrong, halves of everything, and clients that never read.

During each attack a normal client on the side, on connections old and new, gets right answers; after it
the server is the same process, its memory has kept to GROWTH_MIB, and its sockets are closed.
"""
import contextlib
import hashlib
import os
import random
import resource
import socket
import struct
import threading
import time
import unittest

import grpc
import hpack

from kvserver import (BLOCK, MESSAGE_OPTIONS, Server, kvstore_pb2_grpc, lookup_request, read_request,
                      write_request)

PATIENCE_S = 60
# What an attack may add to the server's resident memory, at its peak. Most is what glibc's malloc
# keeps; 32 blocks of 1.2 MB that a stream has under way for each client that does not read, 40.
GROWTH_MIB = 160

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, \
    CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
INITIAL_WINDOW, LARGEST_WINDOW = 4, 2**31 - 1
CANCEL = 8
OK = "0"  # as grpc-status


def frame(kind, flags, stream, payload=b"", length=None):
    length = len(payload) if length is None else length
    return struct.pack(">I", length)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def call(method, te="trailers"):
    """A call's header block; it must not depend on any before it."""
    fields = [(":method", "POST"), (":scheme", "http"), (":authority", "test"), ("te", te),
              (":path", f"/kvstore.KVStoreService/{method}"), ("content-type", "application/grpc")]
    fields.sort(key=lambda field: not field[0].startswith(":"))
    return hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(*field) for field in fields])


def message(proto):
    body = proto.SerializeToString()
    return struct.pack(">BI", 0, len(body)) + body


def literal(name, value):
    """A header field that enters the dynamic table."""
    def text(raw):
        if len(raw) < 127:
            return bytes([len(raw)]) + raw
        rest, out = len(raw) - 127, b"\x7f"
        while rest > 127:
            out, rest = out + bytes([rest & 127 | 128]), rest >> 7
        return out + bytes([rest]) + raw
    return b"\x40" + text(name) + text(value)


class Connection:
    """Raw bytes to the server, and the frames that come back."""

    def __init__(self, server, opening=PREFACE + frame(SETTINGS, 0, 0), receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(("127.0.0.1", server.port))
        self.received = b""
        self.farewell = b""  # why the server ends the connection, as it says
        self.send(opening)

    def send(self, data):
        """False where the server has ended the connection."""
        try:
            self.socket.sendall(data)
            return True
        except (ConnectionError, BrokenPipeError):
            return False

    def frames(self):
        """(kind, flags, stream, payload) until the server ends the connection."""
        while True:
            if len(self.received) >= 9:
                length = int.from_bytes(self.received[:3], "big")
                if len(self.received) >= 9 + length:
                    kind, flags, stream = struct.unpack(">BBI", self.received[3:9])
                    payload, self.received = self.received[9:9 + length], self.received[9 + length:]
                    if kind == GOAWAY:
                        self.farewell = payload[8:]
                    yield kind, flags, stream, payload
                    continue
            try:
                more = self.socket.recv(1 << 16)
            except ConnectionError:
                return
            if not more:
                return
            self.received += more

    def await_pong(self, payload=b"all sent"):
        """Until the server has answered this ping, and so what was sent before, or ended the connection."""
        for kind, flags, _, data in self.frames():
            if kind == PING and flags & ACK and data == payload:
                return

    def status(self, stream):
        """The grpc-status that a call ends with; "reset" or "closed" where there is none."""
        decoder = hpack.Decoder()
        for kind, _, of, payload in self.frames():
            if kind == HEADERS:
                fields = dict(decoder.decode(payload))
                if of == stream and "grpc-status" in fields:
                    return fields["grpc-status"]
            if kind == RST_STREAM and of == stream:
                return "reset"
        return "closed"

    def end_sending(self):
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server has ended the connection already

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Bystander:
    """A normal client that asks all the time and checks every byte. Every other round is on a new connection."""

    def __init__(self, server):
        self.server = server
        self.random = random.Random(7)
        self.tokens = [self.random.getrandbits(40) for _ in range(3 * BLOCK)]
        self.buffers = [self.random.randbytes(300_000) for _ in range(3)]
        self.changed = threading.Condition()
        self.rounds = 0
        self.failure = None
        self.stopping = False
        with self._channel() as channel:
            stub = kvstore_pb2_grpc.KVStoreServiceStub(channel)
            digest = b""
            for i, buffer in enumerate(self.buffers):
                tokens = self.tokens[i * BLOCK:(i + 1) * BLOCK]
                digest = hashlib.sha256(digest + struct.pack(f"<{BLOCK}q", *tokens)).digest()
                stub.Write(write_request(tokens, i + 1, buffer=buffer, digest=digest))
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _channel(self):
        return grpc.insecure_channel(f"127.0.0.1:{self.server.port}", options=[
            *MESSAGE_OPTIONS, ("grpc.use_local_subchannel_pool", 1)])

    def _round(self, stub):
        found = stub.Lookup(lookup_request(self.tokens), timeout=PATIENCE_S)
        assert found.cached_blocks == 3, found
        requests = [read_request(block.location) for block in found.locations]
        answers = [stub.Read(requests[0], timeout=PATIENCE_S)]
        answers += stub.StreamingRead(iter(requests[1:]), timeout=PATIENCE_S)
        assert [answer.chunk.buffer for answer in answers] == self.buffers, "wrong bytes"
        tokens = [self.random.getrandbits(40) for _ in range(BLOCK)]
        stub.Write(write_request(tokens, 9, buffer=b"new"), timeout=PATIENCE_S)
        assert stub.Lookup(lookup_request(tokens), timeout=PATIENCE_S).cached_blocks == 1

    def _run(self):
        try:
            with self._channel() as kept:
                while not self.stopping:
                    self._round(kvstore_pb2_grpc.KVStoreServiceStub(kept))
                    with self._channel() as new:
                        self._round(kvstore_pb2_grpc.KVStoreServiceStub(new))
                    self._tell(rounds=1)
        except Exception as error:  # pylint: disable=broad-except; whatever it is, the test tells
            self._tell(failure=error)

    def _tell(self, rounds=0, failure=None):
        with self.changed:
            self.rounds += rounds
            self.failure = failure or self.failure
            self.changed.notify_all()

    def check(self):
        """Waits for a round, on both connections, that begins from now on."""
        with self.changed:
            goal = self.rounds + 2
            arrived = self.changed.wait_for(lambda: self.failure or self.rounds >= goal,
                                            4 * PATIENCE_S)
            if self.failure:
                raise AssertionError("the client on the side failed") from self.failure
            assert arrived, "the client on the side is stuck"

    def stop(self):
        self.stopping = True
        self.thread.join()


class Watch:
    """The process as the system sees it."""

    def __init__(self, server):
        self.pid = server.process.pid
        with open(f"/proc/{self.pid}/maps") as maps:
            # A sanitizer keeps what was freed.
            self.memory_counts = "libasan" not in maps.read()
        self.peak = 0
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)
        self.thread.start()

    def memory_mib(self):
        with open(f"/proc/{self.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) >> 10

    def sockets(self):
        folder, count = f"/proc/{self.pid}/fd", 0
        for name in os.listdir(folder):
            try:
                count += os.readlink(os.path.join(folder, name)).startswith("socket:")
            except FileNotFoundError:
                pass  # closed meanwhile
        return count

    def _follow(self):
        while not self.stopped.wait(0.02):
            self.peak = max(self.peak, self.memory_mib())

    def stop(self):
        self.stopped.set()
        self.thread.join()


class Http2TortureTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--durability", "none", "--memory", "64MiB", "--disable-metrics")
        cls.addClassCleanup(cls.server.__exit__)
        cls.pid = cls.server.process.pid
        cls.watch = Watch(cls.server)
        cls.addClassCleanup(cls.watch.stop)
        # All that a server grows to by itself: the RAM tier full, a connection's buffers.
        with cls.server.channel() as channel:
            stub = kvstore_pb2_grpc.KVStoreServiceStub(channel)
            cls.locations = []
            for i in range(80):
                tokens = [i] * BLOCK
                stub.Write(write_request(tokens, i + 1, buffer=bytes([i]) * 1_200_000))
                found = stub.Lookup(lookup_request(tokens))
                cls.locations.append(found.locations[0].location)
        cls.request = message(lookup_request([1] * BLOCK))

    def setUp(self):
        self.eventually(lambda: self.watch.sockets() <= self.quiet_sockets(), "sockets left over")
        self.sockets = self.watch.sockets()
        self.memory = self.watch.memory_mib()
        self.watch.peak = self.memory
        self.bystander = Bystander(self.server)
        self.addCleanup(self.verify)
        self.addCleanup(self.bystander.stop)

    def quiet_sockets(self):
        if not hasattr(type(self), "quiet"):
            type(self).quiet = self.watch.sockets()
        return self.quiet

    def verify(self):
        self.eventually(lambda: self.watch.sockets() <= self.sockets, "sockets were not closed")
        self.assertIsNone(self.server.process.poll(), "the server ended")
        self.assertEqual(self.server.process.pid, self.pid)
        grown = self.watch.peak - self.memory
        print(f"{self.id().split('.')[-1]}: memory {self.memory} MiB, {grown} more at the peak")
        if self.watch.memory_counts:
            self.assertLess(grown, GROWTH_MIB, "the server's memory")

    def eventually(self, holds, what):
        end = time.monotonic() + PATIENCE_S
        while not holds():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.05)

    def connect(self, *args, **kwargs):
        connection = Connection(self.server, *args, **kwargs)
        self.addCleanup(connection.close)
        return connection

    def flood(self, connection, pieces):
        """Sends, and takes what the server answers as a client must; returns when all is handled."""
        reader = threading.Thread(target=connection.await_pong)
        reader.start()
        for piece in pieces:
            if not connection.send(piece):
                break
        connection.send(frame(PING, 0, 0, b"all sent"))
        self.bystander.check()
        reader.join()

    def test_calls_that_are_reset_at_once(self):
        header, cancel = call("Lookup"), struct.pack(">I", CANCEL)

        def resets(count, body=b"", at_a_time=1000):
            for first in range(0, count, at_a_time):
                yield b"".join(
                    frame(HEADERS, END_HEADERS, stream, header) + body_of(stream, body) +
                    frame(RST_STREAM, 0, stream, cancel)
                    for stream in range(2 * first + 1, 2 * (first + at_a_time), 2))

        def body_of(stream, body):
            return frame(DATA, END_STREAM, stream, body) if body else b""

        with self.connect() as one:
            self.flood(one, resets(60_000))
        with self.connect() as one:
            self.flood(one, resets(10_000, self.request))
        several = [self.connect() for _ in range(4)]
        floods = [threading.Thread(target=self.flood, args=(one, resets(2_000)))
                  for one in several]
        for one in floods:
            one.start()
        for one in floods:
            one.join()

    def test_header_blocks_without_end(self):
        start = frame(HEADERS, 0, 1, call("Lookup"))
        with self.connect() as empty, self.connect() as long:
            empty.send(start)
            long.send(start)
            field = literal(b"name", b"v" * 16_000)
            for _ in range(100):
                empty.send(frame(CONTINUATION, 0, 1) * 10_000)
                long.send(frame(CONTINUATION, 0, 1, field) * 20)
            self.bystander.check()

    def test_header_blocks_that_unpack_to_megabytes(self):
        """A field of 4 KB, put into the table once and named 16,000 times: 64 MB a call."""
        first_of_table = b"\xbe"
        with self.connect() as bomb:
            for i in range(20):
                field = literal(b"name", b"v" * 3_900) if i == 0 else b""
                block = call("Lookup") + field + first_of_table * 16_000
                bomb.send(frame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, block))
                self.assertNotEqual(bomb.status(2 * i + 1), OK)
            self.bystander.check()

    def test_floods_of_pings(self):
        with self.connect() as pinger:
            self.flood(pinger, (frame(PING, 0, 0, b"%8d" % i) * 1000 for i in range(100)))
            # The server ends the connection for these alone. Further pings would say little: of them the
            # kernel takes thousands before it learns of that.
            for _ in pinger.frames():
                pass
            self.assertEqual(pinger.farewell, b"too_many_pings")

    def test_floods_of_settings_that_nobody_takes_the_answers_of(self):
        flooder = self.connect(receive_buffer=4096)
        flooder.socket.settimeout(2)
        sent = 0
        with contextlib.suppress(TimeoutError):  # it is not read from any more
            while sent < 500 and flooder.send(frame(SETTINGS, 0, 0) * 10_000):
                sent += 1
        self.assertLess(sent, 500, "the server keeps answers without end")
        self.bystander.check()

    def test_what_has_no_end_is_given_up(self):
        """Halves of everything, and clients that ask and never read. The server ends them by itself."""
        half_call = frame(HEADERS, END_HEADERS, 1, call("Lookup"))
        opening = PREFACE + frame(SETTINGS, 0, 0)
        halves = [b"", PREFACE[:10], PREFACE, opening, opening + frame(HEADERS, 0, 1)[:5],
                  opening + frame(DATA, 0, 1, b"abc", length=1000), opening + half_call,
                  opening + half_call + frame(DATA, 0, 1, self.request[:3]),
                  opening + half_call + frame(DATA, 0, 1, self.request[:30])]
        connections = [self.connect(half) for half in halves for _ in range(40)]
        wide = opening + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, LARGEST_WINDOW)) \
            + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", LARGEST_WINDOW - 65_535))
        reads = [message(read_request(location)) for location in self.locations]
        unary = b"".join(frame(HEADERS, END_HEADERS, 2 * i + 1, call("Read")) +
                         frame(DATA, END_STREAM, 2 * i + 1, read)
                         for i, read in enumerate(reads))
        stream = frame(HEADERS, END_HEADERS, 1, call("StreamingRead")) + b"".join(
            frame(DATA, 0, 1, read) for read in reads)
        for asked in (unary, stream):
            connections.append(self.connect(wide + asked, receive_buffer=4096))
        self.bystander.check()
        self.eventually(lambda: self.watch.sockets() <= self.sockets + 2, "kept")  # the bystander's
        self.bystander.check()

    def test_many_halves_of_messages(self):
        half = struct.pack(">BI", 0, 1_000_000) + b"x" * 4_000
        for _ in range(10):
            with self.connect() as one:
                for i in range(30):
                    one.send(frame(HEADERS, END_HEADERS, 2 * i + 1, call("Write")) +
                             frame(DATA, 0, 2 * i + 1, half))
                one.send(frame(PING, 0, 0, b"all sent"))
                one.await_pong()
        self.bystander.check()

    def test_messages_that_announce_more_than_they_bring_or_may_have(self):
        for length in (2_000_000, (100 << 20) + 1, 2**32 - 1):
            for method in ("Lookup", "Write", "StreamingRead"):
                with self.connect() as one:
                    one.send(frame(HEADERS, END_HEADERS, 1, call(method)) +
                             frame(DATA, 0, 1, struct.pack(">BI", 0, length)) +
                             frame(DATA, 0, 1, b"x" * 16_000) * 60 + frame(DATA, END_STREAM, 1))
                    self.assertNotEqual(one.status(1), OK, (method, length))
        self.bystander.check()

    def test_frames_that_are_wrong(self):
        header = call("Lookup")
        ok = frame(HEADERS, END_HEADERS, 1, header)
        wrong = {
            "DATA on stream 0": frame(DATA, 0, 0, b"x"),
            "HEADERS on stream 0": frame(HEADERS, END_HEADERS, 0, header),
            "HEADERS on an even stream": frame(HEADERS, END_HEADERS, 2, header),
            "a stream number that goes back": frame(HEADERS, END_HEADERS, 9, header) +
                                              frame(HEADERS, END_HEADERS, 3, header) * 2,
            "PING of 7 bytes": frame(PING, 0, 0, b"1234567"),
            "PING on a stream": frame(PING, 0, 1, b"12345678"),
            "SETTINGS of 5 bytes": frame(SETTINGS, 0, 0, b"12345"),
            "SETTINGS on a stream": frame(SETTINGS, 0, 1),
            "acknowledged SETTINGS with content": frame(SETTINGS, ACK, 0, b"123456"),
            "a window of 2^31": frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, 2**31)),
            "RST_STREAM of 3 bytes": ok + frame(RST_STREAM, 0, 1, b"123"),
            "WINDOW_UPDATE of 3 bytes": frame(WINDOW_UPDATE, 0, 0, b"123"),
            "CONTINUATION of nothing": frame(CONTINUATION, END_HEADERS, 1, header),
            "a frame between HEADERS and CONTINUATION": frame(HEADERS, 0, 1, header) +
                                                        frame(PING, 0, 0, b"12345678"),
            "padding longer than the frame": ok + frame(DATA, PADDED, 1, b"\xff123"),
            "HPACK of no table entry": frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\x0f"),
            "HPACK of an endless number": frame(HEADERS, END_HEADERS, 1, b"\xff" * 100),
            "a frame of 16 MiB": frame(DATA, 0, 1, b"x" * 100, length=2**24 - 1),
            "garbage": random.Random(1).randbytes(4096),
        }
        for what, sent in wrong.items():
            with self.subTest(what), self.connect() as one:
                one.send(sent)
                one.send(frame(PING, 0, 0, b"are you?"))
                one.end_sending()
                for _ in one.frames():  # until the server has ended it
                    pass
        for opening in (b"GET / HTTP/1.1\r\nHost: test\r\n\r\n", b"\x16\x03\x01\x02\x00\x01" * 9,
                        PREFACE[:-1] + b"!", b"\0" * 5000, PREFACE + PREFACE):
            with self.subTest(opening[:20]), self.connect(opening) as one:
                for kind, _, _, _ in one.frames():
                    self.assertIn(kind, (SETTINGS, GOAWAY, WINDOW_UPDATE))
        self.bystander.check()

    def test_more_than_the_window(self):
        """200 MB without a look at the windows, into a call that announced 90. Whether the server takes what its
        windows have come to allow or ends it, it must not hold it."""
        with self.connect() as one:
            one.send(frame(HEADERS, END_HEADERS, 1, call("Write")) +
                     frame(DATA, 0, 1, struct.pack(">BI", 0, 90 << 20)))
            one.socket.settimeout(2)
            sent = 0
            with contextlib.suppress(TimeoutError):  # it is not read from any more
                while sent < 200 << 20 and one.send(frame(DATA, 0, 1, b"x" * 16_000)):
                    sent += 16_000
        with self.connect() as one:
            one.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", LARGEST_WINDOW)) * 2)
            one.end_sending()
            for _ in one.frames():
                pass
        self.bystander.check()

    def test_frames_of_unknown_kinds_are_passed_over(self):
        with self.connect() as one:
            unknown = b"".join(frame(kind, 255, kind % 3, b"?" * kind) for kind in range(11, 256))
            one.send(unknown + frame(HEADERS, END_HEADERS, 1, call("Lookup")) + unknown +
                     frame(DATA, END_STREAM, 1, self.request))
            self.assertEqual(one.status(1), OK)
        self.bystander.check()

    def test_more_connections_than_file_descriptors(self):
        limits = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        self.addCleanup(resource.prlimit, self.pid, resource.RLIMIT_NOFILE, limits)
        for spare in (-10_000, 20, 100):  # none at all; some, but they are for files; some
            in_use = len(os.listdir(f"/proc/{self.pid}/fd"))
            self.bystander.stop()
            resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (max(3, in_use + spare), limits[1]))
            many = [self.connect() for _ in range(200)]
            if spare > 0:
                for _ in many[-1].frames():  # refused: it ends
                    pass
            else:
                self.eventually(lambda: any("no connection taken" in line for line in self.server.log),
                                "it is not told")
            resource.prlimit(self.pid, resource.RLIMIT_NOFILE, limits)
            for one in many:
                one.close()
            self.bystander = Bystander(self.server)
            self.addCleanup(self.bystander.stop)
            self.bystander.check()

    def test_what_grpc_logs_is_a_line_whatever_was_sent(self):
        def told():  # not more than some a second are
            for value in ("x" * 5000, "\x1b[31mred", "new\nline"):
                with self.connect() as one:
                    one.send(frame(HEADERS, END_HEADERS, 1, call("Lookup", te=value)))
                    one.end_sending()
                    for _ in one.frames():
                        pass
            return any(r"new\nline" in line for line in self.server.log)

        self.eventually(told, "not logged")
        for line in self.server.log:
            self.assertRegex(line, r"^\d{4}-\d\d-\d\dT\S+Z (info|warning|error) [ -~]{1,1000}\n$")

    def test_sessions_with_bytes_changed(self):
        rng = random.Random(20)
        session = PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, 1 << 20)) + b"".join(
            frame(HEADERS, END_HEADERS, stream, call(method)) +
            frame(DATA, END_STREAM, stream, body)
            for stream, (method, body) in zip(range(1, 99, 2), [
                ("Lookup", self.request), ("Read", message(read_request(self.locations[0]))),
                ("Write", message(write_request([3] * BLOCK, 3))),
                ("StreamingRead", message(read_request(self.locations[1])))]))
        for _ in range(400):
            broken = bytearray(session)
            for _ in range(rng.choice((1, 1, 2, 5, 20))):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
            if rng.random() < 0.2:
                del broken[rng.randrange(len(broken)):]
            with self.connect(bytes(broken)) as one:
                one.end_sending()
        self.bystander.check()


if __name__ == "__main__":
    unittest.main()
