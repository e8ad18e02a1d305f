"""How much memory a server takes while its storage stalls, throttles and comes back, and clients
push far more than its limits at it: no more than the limits say, and it serves again at once."""
import collections
import http.client
import http.server
import threading
import time
import unittest
import urllib.parse

import grpc
from azurite import ACCOUNT, KEY, Azurite
from kvserver import BLOCK, Server, lookup_request, read_request, write_request
from kvstore_pb2 import BLOCK_TIER_REMOTE as REMOTE
from metrics import Metrics, free_port

MIB = 1 << 20
BUFFER_BYTES = 1_258_291
RAM = 32 * MIB
PENDING_WRITES = 100 * MIB  # the least that the option takes
LONG_S = 60

# What is not counted in bytes but in pieces, none of which may be larger than this.
PIECE = BUFFER_BYTES + 64 * 1024
BLOCKS_READ = 30  # each fetched once, however often it is asked for
READS_AT_ONCE = 20
HTTP_CONNECTIONS = 100
HTTP_BUFFERS = 2 * 256 * 1024  # of each
SLACK = 64 * MIB  # tables, stacks, and what gRPC has received and not handed over yet
BOUND = (RAM + PENDING_WRITES + BLOCKS_READ * PIECE + HTTP_CONNECTIONS * HTTP_BUFFERS + SLACK)


class FaultyStorage(http.server.ThreadingHTTPServer):
    """Before Azurite: `mode` is pass, stall (no answer), drip (half of an answer) or busy (503)."""
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, azurite):
        super().__init__(("127.0.0.1", 0), Handler)
        self.origin = urllib.parse.urlsplit(azurite.endpoint).netloc
        self.mode = "pass"
        self.changed = threading.Condition()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def set_mode(self, mode):
        with self.changed:
            self.mode = mode
            self.changed.notify_all()

    def wait_for_another_mode(self):
        with self.changed:
            mode = self.mode
            self.changed.wait_for(lambda: self.mode != mode)

    def connection_string(self):
        return (f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
                f"BlobEndpoint=http://127.0.0.1:{self.server_port}/{ACCOUNT};")

    def handle_error(self, *_):
        pass  # a client that gave up


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def handle_any(self):
        mode = self.server.mode
        if mode == "stall":
            self.server.wait_for_another_mode()
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if mode == "busy":
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        origin = http.client.HTTPConnection(self.server.origin, timeout=LONG_S)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
        origin.request(self.command, self.path, body or None, headers)
        answer = origin.getresponse()
        data = answer.read()
        origin.close()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "keep-alive", "transfer-encoding",
                                    "content-length"):
                self.send_header(name, value)
        length = answer.headers["Content-Length"] if self.command == "HEAD" else len(data)
        self.send_header("Content-Length", str(length or 0))
        self.end_headers()
        if mode == "drip" and self.command == "GET":
            self.wfile.write(data[:len(data) // 2])
            self.server.wait_for_another_mode()
            self.close_connection = True
            return
        self.wfile.write(data)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any


class FaultyServer(Server):
    def __init__(self, storage, *options):
        super().__init__("--storage", "azure", "--memory", str(RAM), "--disable-metrics", *options,
                         environment={"AZURE_STORAGE_CONNECTION_STRING":
                                      storage.connection_string(),
                                      # By default what one thread frees another may not reuse:
                                      # that is malloc's doing, and differs from run to run.
                                      "MALLOC_ARENA_MAX": "1"})

    def memory(self, name):
        """VmRSS, as it is, or VmHWM, the most that it ever was."""
        with open(f"/proc/{self.process.pid}/status") as status:
            for line in status:
                if line.startswith(name + ":"):
                    return int(line.split()[1]) * 1024
        raise RuntimeError(name)


def tokens_of(n):
    return [n * 1000 + i for i in range(BLOCK)]


def buffer_of(n):
    return n.to_bytes(4, "little") * (BUFFER_BYTES // 4)


class Pusher:
    """Writes block after block. Once more than `capacity` bytes wait, a further write has to be
    answered before the next is sent: so what the server holds is its own doing, not the client's."""

    def __init__(self, server, capacity):
        # A connection takes 200 calls.
        self.stubs = [server.stub() for _ in range(8)]
        self.capacity = capacity
        self.next = 0
        self.running = collections.deque()
        self.codes = collections.Counter()
        self.stored = []

    def write(self, timeout):
        n, self.next = self.next, self.next + 1
        request = write_request(tokens_of(n), n + 1, buffer=buffer_of(n), resource=ACCOUNT)
        call = self.stubs[n % len(self.stubs)].Write.future(request, timeout=timeout)
        self.running.append((n, call))
        if len(self.running) * BUFFER_BYTES > self.capacity + 4 * PIECE:
            try:
                call.result(timeout=timeout)
            except (grpc.RpcError, grpc.FutureTimeoutError):
                pass
        self.reap()

    def reap(self):
        left = collections.deque()
        for n, call in self.running:
            if not call.done():
                left.append((n, call))
                continue
            self.codes[call.code()] += 1
            if call.code() == grpc.StatusCode.OK:
                self.stored.append(n)
        self.running = left

    def finish(self):
        while self.running:
            self.reap()
            time.sleep(0.05)


def read_all(server, locations, timeout):
    """So many at once; how many were found."""
    stubs = [server.stub() for _ in range(2)]
    found, running = 0, collections.deque()
    for i, location in enumerate([*locations, *[None] * READS_AT_ONCE]):
        if len(running) == READS_AT_ONCE or location is None and running:
            n, call = running.popleft()
            if call.exception() is None and call.result().found:
                assert call.result().chunk.buffer == buffer_of(n), f"wrong bytes of block {n}"
                found += 1
        if location is not None:
            n, place = location
            running.append((n, stubs[i % 2].Read.future(read_request(place, resource=ACCOUNT),
                                                        timeout=timeout)))
    return found


class AzureMemoryTest(unittest.TestCase):
    def locations_of(self, stub, blocks):
        places = []
        for n in blocks:
            found = stub.Lookup(lookup_request(tokens_of(n), resource=ACCOUNT), timeout=LONG_S)
            self.assertEqual(found.cached_blocks, 1, n)
            places.append((n, found.locations[0].location))
        return places

    def remote_locations(self, stub, blocks):
        """Of those that RAM does not have: which it keeps depends on how writes end."""
        places = []
        for n in blocks:
            found = stub.Lookup(lookup_request(tokens_of(n), resource=ACCOUNT), timeout=LONG_S)
            self.assertEqual(found.cached_blocks, 1, n)
            if found.locations[0].tier == REMOTE:
                places.append((n, found.locations[0].location))
        return places

    def push_through_faults(self, server, storage, pusher, rounds, writes_a_fault):
        stub = server.stub()
        places = self.locations_of(stub, pusher.stored[:BLOCKS_READ])
        for _ in range(rounds):
            for mode in ("stall", "busy", "drip"):
                storage.set_mode(mode)
                for _ in range(writes_a_fault if mode != "drip" else 0):
                    pusher.write(timeout=4)
                if mode != "busy":
                    read_all(server, places, timeout=1)
                pusher.finish()
            storage.set_mode("pass")
        return places

    def fill(self, pusher, blocks):
        for _ in range(blocks):
            pusher.write(timeout=LONG_S)
        pusher.finish()
        self.assertGreater(len(pusher.stored), BLOCKS_READ)

    def test_memory_keeps_to_the_limits_and_all_is_well_afterwards(self):
        with Azurite() as azurite:
            storage = FaultyStorage(azurite)
            with FaultyServer(storage, "--pending-writes", str(PENDING_WRITES)) as server:
                idle = server.memory("VmRSS")
                pusher = Pusher(server, PENDING_WRITES)
                self.fill(pusher, 70)
                self.push_through_faults(server, storage, pusher, rounds=2, writes_a_fault=300)
                most = server.memory("VmHWM") - idle
                pushed = pusher.next * BUFFER_BYTES
                print(f"pushed {pushed // MIB} MiB, most {most // MIB} MiB, bound {BOUND // MIB} "
                      f"MiB, {dict(pusher.codes)}", flush=True)
                self.assertGreater(pushed, 3 * BOUND)
                self.assertGreater(pusher.codes[grpc.StatusCode.RESOURCE_EXHAUSTED], 100)
                self.assertLess(most, BOUND)

                # Recovery: new writes, and every byte that was acknowledged.
                before = len(pusher.stored)
                end = time.monotonic() + LONG_S
                while len(pusher.stored) == before and time.monotonic() < end:
                    pusher.write(timeout=LONG_S)
                    pusher.finish()
                self.assertGreater(len(pusher.stored), before)
                places = self.locations_of(server.stub(), pusher.stored)
                self.assertEqual(read_all(server, places, LONG_S), len(pusher.stored))

    def test_calls_whose_clients_go_away_end_at_once(self):
        port = free_port()
        with Azurite() as azurite:
            storage = FaultyStorage(azurite)
            with FaultyServer(storage, "--metrics-port", str(port)) as server:
                pusher = Pusher(server, PENDING_WRITES)
                self.fill(pusher, 70)  # of which RAM keeps less than half
                stub = server.stub()
                places = self.remote_locations(stub, pusher.stored)[:READS_AT_ONCE]
                self.assertEqual(len(places), READS_AT_ONCE)
                storage.set_mode("stall")  # for which a fetch would wait for 30 s
                calls = [stub.Read.future(read_request(place, resource=ACCOUNT), timeout=LONG_S)
                         for _, place in places]
                stream = stub.StreamingRead(
                    iter([read_request(place, resource=ACCOUNT) for _, place in places]),
                    timeout=LONG_S)
                self.wait_for_calls(port, READS_AT_ONCE + 1, 10)
                for call in calls:
                    call.cancel()
                stream.cancel()
                self.wait_for_calls(port, 0, 10)
                storage.set_mode("pass")
                self.assertEqual(read_all(server, places, LONG_S), len(places))

    def wait_for_calls(self, port, wanted, patience_s):
        end = time.monotonic() + patience_s
        while (calls := Metrics(port)("running_calls")) != wanted:
            self.assertLess(time.monotonic(), end, f"{calls} calls run, not {wanted}")
            time.sleep(0.05)

    def test_a_server_that_kept_more_would_be_seen(self):
        with Azurite() as azurite:
            storage = FaultyStorage(azurite)
            with FaultyServer(storage, "--pending-writes", str(1024 * MIB)) as server:
                idle = server.memory("VmRSS")
                pusher = Pusher(server, 1024 * MIB)
                self.fill(pusher, 70)
                storage.set_mode("stall")
                for _ in range(400):
                    pusher.write(timeout=LONG_S)
                end = time.monotonic() + LONG_S / 2
                while server.memory("VmHWM") - idle < BOUND and time.monotonic() < end:
                    time.sleep(0.1)
                self.assertGreater(server.memory("VmHWM") - idle, BOUND)


if __name__ == "__main__":
    unittest.main()
