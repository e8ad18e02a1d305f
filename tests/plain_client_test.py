"""The wire contract, spoken by nothing of ours: protoc's own Python client against the server."""
import hashlib
import json
import random
import signal
import struct
import subprocess
import threading
import unittest

import grpc

from kvserver import (BLOCK, Server, kvstore_pb2_grpc, lookup_request, os, pb, read_request,
                      write_request)

TOKENS = list(range(1000, 1000 + 5 * BLOCK))


def block(i, tokens=TOKENS):
    return tokens[i * BLOCK:(i + 1) * BLOCK]


def digests(tokens):
    out = []
    for i in range(len(tokens) // BLOCK):
        previous = out[-1] if out else b""
        out.append(hashlib.sha256(previous + struct.pack("<128q", *block(i, tokens))).digest())
    return out


class PlainClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--durability", "none", "--memory", "64MiB")
        cls.addClassCleanup(cls.server.__exit__)
        cls.stub = cls.server.stub()

    def setUp(self):
        self.partition = self.id()  # partitions never see each other: one a test

    def write(self, tokens, hash, **kwargs):
        kwargs.setdefault("partition", self.partition)
        return self.stub.Write(write_request(tokens, hash, **kwargs))

    def lookup(self, tokens, hashes=(), **kwargs):
        kwargs.setdefault("partition", self.partition)
        return self.stub.Lookup(lookup_request(tokens, hashes, **kwargs))

    def assert_code(self, code, call, *args, contains=""):
        with self.assertRaises(grpc.RpcError) as caught:
            call(*args)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        self.assertIn(contains, caught.exception.details())

    def test_encodings_that_are_valid_but_not_canonical_are_stored_as_all_others(self):
        """Fields out of order, one twice, one unknown."""
        fields = dict(tokens=block(0), buffer=b"tensors", partition_key=self.partition, hash=7)
        parts = [pb.PromptChunk(hash=6)] + [pb.PromptChunk(**{name: value})
                                            for name, value in fields.items()]
        unknown = b"\xa2\x06\x03new"  # field 100
        request = pb.WriteRequest(resource_name="acct", container_name="box").SerializeToString()
        chunk = b"".join(part.SerializeToString() for part in parts) + unknown
        request += bytes([3 << 3 | 2, len(chunk) & 127 | 128, len(chunk) >> 7]) + chunk
        with self.server.channel() as channel:
            path = "/kvstore.KVStoreService/"
            channel.unary_unary(path + "Write")(request)
            found = self.lookup(block(0), [7])
            self.assertEqual(found.cached_blocks, 1)
            answer = channel.unary_unary(path + "Read")(
                read_request(found.locations[0].location).SerializeToString())
        canonical = pb.PromptChunk(**fields).SerializeToString(deterministic=True)
        self.assertIn(canonical, answer)
        self.assertNotIn(b"new", answer)

    def test_contract_descriptor(self):
        """Field by field what deployed clients speak."""
        expected = {
            "LookupRequest": "1 resource_name s,2 container_name s,3 partition_key s,"
                             "4 completion_id s,5 tokens i64*,6 precomputed_hashes u64*",
            "LookupResponse": "1 cached_blocks i32,2 last_hash u64,3 locations m*,4 error s,"
                              "5 success b,6 server_metrics m,16 shared_store b",
            "BlockLocation": "1 hash u64,2 location s,16 size u64,17 tier e",
            "ServerMetrics": "1 storage_latency_us i64,2 total_latency_us i64,3 overhead_us i64",
            "ReadRequest": "1 resource_name s,2 container_name s,3 location s,4 completion_id s",
            "ReadResponse": "1 found b,2 chunk m,3 error s,4 success b,5 server_metrics m",
            "PromptChunk": "1 hash u64,2 partition_key s,3 parent_hash u64,4 buffer y,"
                           "5 tokens i64*,6 completion_id s,16 prefix_digest y",
            "WriteRequest": "1 resource_name s,2 container_name s,3 chunk m",
            "WriteResponse": "1 success b,2 error s,3 server_metrics m",
        }
        names = {1: "d", 3: "i64", 4: "u64", 5: "i32", 8: "b", 9: "s", 11: "m", 12: "y", 14: "e"}
        for message, fields in expected.items():
            found = ",".join(
                f"{f.number} {f.name} {names[f.type]}{'*' if f.label == f.LABEL_REPEATED else ''}"
                for f in pb.DESCRIPTOR.message_types_by_name[message].fields)
            self.assertEqual(found, fields, message)
        service = pb.DESCRIPTOR.services_by_name["KVStoreService"]
        self.assertEqual(service.full_name, "kvstore.KVStoreService")
        self.assertEqual([m.name for m in service.methods],
                         ["Lookup", "Read", "StreamingRead", "Write"])

    def test_write_lookup_read(self):
        parent = 0
        for i in range(3):
            response = self.write(block(i), 100 + i, parent=parent, buffer=b"b%d" % i * 1000,
                                  completion="c-1")
            self.assertTrue(response.success)
            self.assertEqual(response.error, "")
            self.assertGreaterEqual(response.server_metrics.total_latency_us,
                                    response.server_metrics.storage_latency_us)
            parent = 100 + i
        found = self.lookup(TOKENS)
        self.assertTrue(found.success)
        self.assertEqual(found.cached_blocks, 3)
        self.assertEqual(found.last_hash, 102)
        self.assertEqual([l.hash for l in found.locations], [100, 101, 102])
        for i, location in enumerate(found.locations):
            read = self.stub.Read(read_request(location.location))
            self.assertTrue(read.success and read.found)
            self.assertEqual(read.chunk.buffer, b"b%d" % i * 1000)
            self.assertEqual(list(read.chunk.tokens), block(i))
            self.assertEqual(read.chunk.hash, 100 + i)
            self.assertEqual(read.chunk.parent_hash, 99 + i if i else 0)
            self.assertEqual(read.chunk.partition_key, self.partition)
            self.assertEqual(read.chunk.completion_id, "c-1")
            m = read.server_metrics
            self.assertEqual(m.overhead_us, m.total_latency_us - m.storage_latency_us)

    def test_a_tail_is_ignored_and_a_partial_prompt_matches(self):
        self.write(block(0), 1)
        self.assertEqual(self.lookup(TOKENS[:BLOCK - 1]).cached_blocks, 0)
        self.assertEqual(self.lookup(TOKENS[:BLOCK]).cached_blocks, 1)
        self.assertEqual(self.lookup(TOKENS[:BLOCK + 50]).cached_blocks, 1)

    def test_every_token_counts(self):
        self.write(block(0), 1)
        for i in range(BLOCK):
            other = list(block(0))
            other[i] ^= 1
            self.assertEqual(self.lookup(other, [1]).cached_blocks, 0, f"token {i}")

    def test_precomputed_hashes_must_equal_where_given(self):
        self.write(block(0), 7)
        self.write(block(1), 8, parent=7)
        self.assertEqual(self.lookup(TOKENS, [7, 8]).cached_blocks, 2)
        self.assertEqual(self.lookup(TOKENS, [0, 8]).cached_blocks, 2)
        self.assertEqual(self.lookup(TOKENS, [7]).cached_blocks, 2)
        self.assertEqual(self.lookup(TOKENS, [7, 9]).cached_blocks, 1)
        self.assertEqual(self.lookup(TOKENS, [9, 8]).cached_blocks, 0)

    def test_versions_live_side_by_side(self):
        """The same tokens by two models: other hashes, other tensors."""
        for model, base in ((b"A", 10), (b"B", 20)):
            self.write(block(0), base, buffer=model)
            self.write(block(1), base + 1, parent=base, buffer=model)
        for model, base in ((b"A", 10), (b"B", 20)):
            found = self.lookup(TOKENS, [base, base + 1])
            self.assertEqual([l.hash for l in found.locations], [base, base + 1])
            for location in found.locations:
                self.assertEqual(self.stub.Read(read_request(location.location)).chunk.buffer, model)
        # Without hashes: one model's chain, not a mix.
        self.assertIn([l.hash for l in self.lookup(TOKENS).locations], ([10, 11], [20, 21]))

    def test_the_longest_chain_of_several_versions_is_found(self):
        self.write(block(0), 10)
        self.write(block(0), 20)
        self.write(block(1), 21, parent=20)
        self.assertEqual([l.hash for l in self.lookup(TOKENS).locations], [20, 21])

    def test_first_writer_wins(self):
        self.assertTrue(self.write(block(0), 1, buffer=b"first").success)
        self.assertTrue(self.write(block(0), 1, buffer=b"second").success)
        location = self.lookup(block(0)).locations[0].location
        self.assertEqual(self.stub.Read(read_request(location)).chunk.buffer, b"first")

    def test_an_ambiguous_parent_is_a_miss(self):
        """Hashes of a block's own tokens only: two prefixes, one hash."""
        x, y = list(range(BLOCK)), list(range(BLOCK, 2 * BLOCK))
        shared, after = list(range(500, 500 + BLOCK)), list(range(900, 900 + BLOCK))
        self.write(x, 1)
        self.write(y, 2)
        self.write(shared, 50, parent=1, buffer=b"after x")
        self.write(after, 60, parent=50, buffer=b"after x, shared")
        self.assertEqual(self.lookup(x + shared + after).cached_blocks, 3)
        self.write(shared, 50, parent=2, buffer=b"after y")
        self.assertEqual(self.lookup(x + shared + after).cached_blocks, 2)
        self.assertEqual(self.lookup(y + shared + after).cached_blocks, 2)
        for first, expected in ((x, b"after x"), (y, b"after y")):
            location = self.lookup(first + shared).locations[1].location
            self.assertEqual(self.stub.Read(read_request(location)).chunk.buffer, expected)

    def test_a_prefix_digest_tells_prefixes_apart_that_hashes_do_not(self):
        x, y = list(range(BLOCK)), list(range(BLOCK, 2 * BLOCK))
        shared = list(range(500, 500 + BLOCK))
        for first, hash, buffer in ((x, 1, b"after x"), (y, 2, b"after y")):
            p = digests(first + shared)
            self.write(first, hash, digest=p[0])
            self.write(shared, 50, parent=9, buffer=buffer, digest=p[1])
        for first, expected in ((x, b"after x"), (y, b"after y")):
            found = self.lookup(first + shared)
            self.assertEqual(found.cached_blocks, 2)
            read = self.stub.Read(read_request(found.locations[1].location))
            self.assertEqual(read.chunk.buffer, expected)
            self.assertEqual(read.chunk.prefix_digest, digests(first + shared)[1])
        # And the digest alone decides: a block so proved is not matched through its parent's hash.
        self.assertEqual(self.lookup(list(range(9000, 9000 + BLOCK)) + shared).cached_blocks, 0)

    def test_a_digest_of_other_tokens_is_a_miss(self):
        wrong = digests(block(1))[0]
        self.write(block(0), 1, digest=wrong)
        self.assertEqual(self.lookup(block(1)).cached_blocks, 0)
        self.assertEqual(self.lookup(block(0)).cached_blocks, 0)

    def test_partitions_containers_and_accounts_never_see_each_other(self):
        self.write(block(0), 1)
        location = self.lookup(block(0)).locations[0].location
        self.assertEqual(self.lookup(block(0), partition="other").cached_blocks, 0)
        self.assertEqual(self.lookup(block(0), container="other").cached_blocks, 0)
        self.assertEqual(self.lookup(block(0), resource="other").cached_blocks, 0)
        for names in ({"container": "other"}, {"resource": "other"}):
            read = self.stub.Read(read_request(location, **names))
            self.assertTrue(read.success)
            self.assertFalse(read.found)

    def test_an_account_is_one_by_name_or_url(self):
        self.write(block(0), 1, resource="acct")
        url = "https://acct.blob.core.windows.net"
        self.assertEqual(self.lookup(block(0), resource=url).cached_blocks, 1)

    def test_missing_names_are_invalid(self):
        bad = grpc.StatusCode.INVALID_ARGUMENT
        self.assert_code(bad, self.lookup, [], contains="tokens")
        for request in (lookup_request(TOKENS, resource=""), lookup_request(TOKENS, container="")):
            self.assert_code(bad, self.stub.Lookup, request, contains="name")
        self.assert_code(bad, self.stub.Read, read_request(""), contains="location")
        self.assert_code(bad, self.stub.Read, read_request("x", resource=""))
        self.assert_code(bad, self.stub.Read, read_request("x", container=""))
        self.assert_code(bad, self.stub.Write, write_request(block(0), 1, resource=""))
        self.assert_code(bad, self.stub.Write, write_request(block(0), 1, container=""))
        self.assert_code(bad, self.stub.Write,
                         pb.WriteRequest(resource_name="a", container_name="b"), contains="chunk")

    def test_bad_chunks_are_invalid_and_store_nothing(self):
        bad = grpc.StatusCode.INVALID_ARGUMENT
        self.assert_code(bad, self.write, TOKENS[:127], 1, contains="128")
        self.assert_code(bad, self.write, TOKENS[:129], 1, contains="128")
        self.assert_code(bad, self.write, [], 1, contains="128")
        with self.assertRaises(grpc.RpcError) as caught:
            self.write(block(0), 1, buffer=b"")
        self.assertEqual(caught.exception.code(), bad)
        with self.assertRaises(grpc.RpcError) as caught:
            self.write(block(0), 1, digest=b"short")
        self.assertEqual(caught.exception.code(), bad)
        self.assertEqual(self.lookup(block(0)).cached_blocks, 0)

    def test_locations_that_are_not_there(self):
        self.write(block(0), 1)
        location = self.lookup(block(0)).locations[0].location
        for other in ("nonsense", "x" * 96, location[:-1], location + "A", location[::-1],
                      "../../etc/passwd", "a/b"):
            read = self.stub.Read(read_request(other))
            self.assertTrue(read.success, other)
            self.assertFalse(read.found, other)
            self.assertFalse(read.HasField("chunk"))

    def test_streaming_read_answers_in_order(self):
        locations = []
        parent = 0
        for i in range(5):
            self.write(block(i), 200 + i, parent=parent, buffer=bytes([i]) * (1 << (4 * i)))
            parent = 200 + i
        locations = [l.location for l in self.lookup(TOKENS).locations]
        self.assertEqual(len(locations), 5)
        rng = random.Random(5)
        asked = [rng.choice(locations + ["nonsense"]) for _ in range(300)]
        answers = list(self.stub.StreamingRead(read_request(l) for l in asked))
        self.assertEqual(len(answers), len(asked))
        for location, answer in zip(asked, answers):
            self.assertTrue(answer.success)
            self.assertEqual(answer.found, location != "nonsense")
            if answer.found:
                i = locations.index(location)
                self.assertEqual(answer.chunk.hash, 200 + i)
                self.assertEqual(answer.chunk.buffer, bytes([i]) * (1 << (4 * i)))

    def test_streaming_read_with_a_bad_request_answers_what_came_before(self):
        self.write(block(0), 1)
        location = self.lookup(block(0)).locations[0].location
        stream = self.stub.StreamingRead(iter([read_request(location), read_request("")]))
        self.assertTrue(next(stream).found)
        self.assert_code(grpc.StatusCode.INVALID_ARGUMENT, next, stream, contains="location")

    def test_streams_that_are_left_do_no_harm(self):
        self.write(block(0), 1, buffer=b"x" * 1_000_000)
        location = self.lookup(block(0)).locations[0].location
        for _ in range(20):
            stream = self.stub.StreamingRead(read_request(location) for _ in range(200))
            self.assertTrue(next(stream).found)
            stream.cancel()
        self.assertEqual(self.lookup(block(0)).cached_blocks, 1)

    def test_calls_without_a_message_or_cancelled_before_it(self):
        """A raw handler sees these too; they must not reach a parser as anything."""
        channel = self.server.channel()
        for method in ("Lookup", "Read", "Write"):
            call = channel.stream_unary(f"/kvstore.KVStoreService/{method}")
            with self.assertRaises(grpc.RpcError):
                call(iter([]), timeout=30)
        self.write(block(0), 1)
        tokens = list(range(20_000))
        for _ in range(300):
            self.stub.Lookup.future(lookup_request(tokens, partition=self.partition)).cancel()
            self.stub.Write.future(write_request(block(1), 2, buffer=b"x" * 100_000)).cancel()
        self.assertEqual(self.lookup(block(0)).cached_blocks, 1)

    def test_garbage_is_invalid(self):
        rng = random.Random(9)
        channel = self.server.channel()
        for method in ("Lookup", "Read", "Write"):
            call = channel.unary_unary(f"/kvstore.KVStoreService/{method}")
            for size in list(range(1, 40)) + [1000, 100_000]:
                self.assert_code(grpc.StatusCode.INVALID_ARGUMENT, call, b"\xff" + rng.randbytes(size))

    def test_many_short_runs_of_tokens_cost_no_more_than_one_long_one(self):
        """Quadratic work would take minutes, and the deadline."""
        call = self.server.channel().unary_unary("/kvstore.KVStoreService/Lookup")
        head = lookup_request([]).SerializeToString()
        call(head + b"\x2a\x01\x01" * 1_000_000, timeout=30)

    def test_long_names_are_invalid(self):
        bad = grpc.StatusCode.INVALID_ARGUMENT
        long = "n" * 5000
        for request in (lookup_request(TOKENS, partition=long), lookup_request(TOKENS, resource=long),
                        lookup_request(TOKENS, container=long)):
            self.assert_code(bad, self.stub.Lookup, request, contains="longer")
        self.assert_code(bad, self.stub.Read, read_request("x", container=long), contains="longer")

    def test_sizes_from_one_byte_to_forty_megabytes(self):
        for i, size in enumerate((1, 4096, 65536, 1258291, 8 << 20, 40 << 20)):
            tokens = [size] * BLOCK
            buffer = random.Random(size).randbytes(size)
            self.assertTrue(self.write(tokens, 300 + i, buffer=buffer).success)
            location = self.lookup(tokens).locations[0].location
            self.assertEqual(self.stub.Read(read_request(location)).chunk.buffer, buffer)

    def test_odd_integers_survive(self):
        tokens = [0, -1, 2**63 - 1, -2**63] * 32
        self.write(tokens, 2**64 - 1)
        found = self.lookup(tokens, [2**64 - 1])
        self.assertEqual(found.cached_blocks, 1)
        read = self.stub.Read(read_request(found.locations[0].location))
        self.assertEqual(list(read.chunk.tokens), tokens)
        self.assertEqual(read.chunk.hash, 2**64 - 1)

    def test_hundreds_of_writers_of_overlapping_chains(self):
        """Every writer writes the same chain in its own order; one buffer a block wins."""
        writers, length = 200, 8
        tokens = list(range(7_000, 7_000 + length * BLOCK))
        p = digests(tokens)
        errors = []

        def run(writer):
            order = list(range(length))
            random.Random(writer).shuffle(order)
            try:
                for i in order:
                    self.write(block(i, tokens), 400 + i, parent=399 + i if i else 0,
                               buffer=b"writer %d block %d" % (writer, i) * 100, digest=p[i])
            except grpc.RpcError as error:
                errors.append(error)

        threads = [threading.Thread(target=run, args=(w,)) for w in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])
        found = self.lookup(tokens)
        self.assertEqual([l.hash for l in found.locations], [400 + i for i in range(length)])
        for i, location in enumerate(found.locations):
            buffer = self.stub.Read(read_request(location.location)).chunk.buffer
            writer = int(buffer.split()[1])
            self.assertEqual(buffer, b"writer %d block %d" % (writer, i) * 100)
            again = self.stub.Read(read_request(location.location)).chunk.buffer
            self.assertEqual(again, buffer)


class ServerTest(unittest.TestCase):
    """The program itself: options, metrics lines, restart, locking."""

    def run_server(self, *options):
        return subprocess.run([os.environ["KVSTORE_SERVER"], *options], capture_output=True,
                              text=True, timeout=60)

    def test_what_was_acknowledged_is_there_after_a_restart(self):
        for durability in ("none", "batch", "each"):
            with Server("--durability", durability) as first:
                stub = first.stub()
                stub.Write(write_request(block(0), 1, buffer=b"kept"))
                stub.Write(write_request(block(1), 2, parent=1, buffer=b"kept too"))
                location = stub.Lookup(lookup_request(TOKENS)).locations[1].location
                self.assertEqual(first.stop(), 0)
                with Server(data_dir=first.data_dir) as second:
                    stub = second.stub()
                    self.assertEqual(stub.Lookup(lookup_request(TOKENS)).cached_blocks, 2)
                    read = stub.Read(read_request(location))
                    self.assertEqual(read.chunk.buffer, b"kept too", "locations outlive a restart")

    def test_sigint_lets_running_calls_finish(self):
        with Server() as server:
            stub = server.stub()
            stub.Write(write_request(block(0), 1, buffer=b"x" * 1_000_000))
            location = stub.Lookup(lookup_request(block(0))).locations[0].location
            go_on = threading.Event()

            def requests():
                for i in range(50):
                    if i == 10:
                        go_on.wait(30)
                    yield read_request(location)

            stream = stub.StreamingRead(requests())
            self.assertTrue(next(stream).found)
            server.process.send_signal(signal.SIGINT)
            go_on.set()
            self.assertEqual(sum(1 for answer in stream if answer.found), 49)
            self.assertEqual(server.wait(), 0)
            self.assertIn("signal=SIGINT", "".join(server.log))

    def test_one_json_line_a_call_unless_disabled(self):
        for options, lines in (((), 4), (("--disable-metrics",), 0)):
            with Server(*options) as server:
                stub = server.stub()
                stub.Write(write_request(block(0), 1, completion='say "hi"\n'))
                found = stub.Lookup(lookup_request(block(0)))
                location = found.locations[0].location
                stub.Read(read_request(location))
                list(stub.StreamingRead(read_request(location) for _ in range(3)))
                server.stop()
                self.assertEqual(len(server.rpc_lines), lines, server.rpc_lines)
                records = [json.loads(line) for line in server.rpc_lines]
                if not lines:
                    continue
                self.assertEqual([r["rpc"] for r in records],
                                 ["Write", "Lookup", "Read", "StreamingRead"])
                for record in records:
                    self.assertEqual(record["code"], "OK")
                    self.assertEqual(record["overhead_us"],
                                     record["total_latency_us"] - record["storage_latency_us"])
                self.assertEqual(records[0]["completion_id"], 'say "hi"\n')
                self.assertEqual(records[3]["blocks"], 3)

    def test_a_console_that_nobody_reads_stops_nothing(self):
        with Server("--log-level", "verbose") as server:
            # Another server's, with its own pipe that is never read.
            process = subprocess.Popen(
                [os.environ["KVSTORE_SERVER"], "--host", "127.0.0.1", "--port", "0", "--data-dir",
                 server.data_dir + "-unread"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True)
            try:
                port = None
                for line in process.stderr:
                    if " serving " in line:
                        port = line.split("port=")[1].split()[0]
                        break
                stub = kvstore_pb2_grpc.KVStoreServiceStub(
                    grpc.insecure_channel(f"127.0.0.1:{port}"))
                for _ in range(1500):  # more lines than a pipe holds
                    stub.Lookup(lookup_request(block(0)), timeout=30)
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(30), 0)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
                process.stdout.close()
                process.stderr.close()
                subprocess.run(["rm", "-rf", server.data_dir + "-unread"], check=True)

    def test_log_level_works_as_named(self):
        with Server("--log-level", "info") as server:
            server.stop()
            self.assertIn(" info ", "".join(server.log))
        result = self.run_server("--log-level", "error", "--data-dir", "/proc/nowhere")
        self.assertEqual(result.returncode, 1)
        self.assertNotIn(" info ", result.stderr)
        self.assertIn(" error ", result.stderr)

    def test_the_log_as_json(self):
        with Server("--log-format", "json", "--log-level", "verbose") as server:
            with self.assertRaises(grpc.RpcError):
                server.stub().Lookup(lookup_request([]), metadata=[("x-request-id", 'a"b\\c')])
            self.assertEqual(server.stop(), 0)
            lines = [json.loads(line) for line in server.log]
            self.assertGreater(len(lines), 5)
            for line in lines:
                self.assertEqual(set(line), {"time", "level", "message"})
                self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            refused = [line for line in lines if "call refused" in line["message"]]
            self.assertEqual([line["level"] for line in refused], ["debug"])
            self.assertIn('a"b\\c', refused[0]["message"])

    def test_a_directory_is_locked_against_a_second_process(self):
        with Server() as server:
            result = self.run_server("--port", "0", "--data-dir", server.data_dir)
            self.assertEqual(result.returncode, 1)
            self.assertIn(server.data_dir, result.stderr)
            self.assertIn(str(server.process.pid), result.stderr)

    def test_a_taken_port_is_a_clear_error(self):
        with Server() as server:
            result = self.run_server("--host", "127.0.0.1", "--port", str(server.port),
                                     "--data-dir", server.data_dir + "-2")
            self.assertEqual(result.returncode, 1)
            self.assertIn(str(server.port), result.stderr)
            subprocess.run(["rm", "-rf", server.data_dir + "-2"], check=True)

    def test_help_and_bad_options(self):
        result = self.run_server("--help")
        self.assertEqual(result.returncode, 0)
        for option in ("--port", "--host", "--threads", "--log-level", "--transport",
                       "--disable-metrics", "--enable-sdk-logging", "--disable-multi-nic",
                       "--data-dir", "--capacity", "--memory", "--durability", "--config"):
            self.assertIn(option, result.stdout)
        for options in (("--port", "x"), ("--port", "70000"), ("--durability", "maybe"),
                        ("--capacity", "lots"), ("--capacity", "1MiB"), ("--no-such-option",), ("--log-level", "loud"),
                        ("--config", "/no/such/file"), ("--transport", "winhttp"),
                        ("--processor-group", "0"), ("--service", "install")):
            result = self.run_server(*options)
            self.assertNotEqual(result.returncode, 0, options)
            said = result.stderr + result.stdout
            self.assertTrue(options[0].lstrip("-") in said or options[-1] in said, said)

    def test_config_file(self):
        with Server() as donor:
            path = donor.data_dir + ".toml"
            with open(path, "w") as config:
                config.write('durability = "each"\nmemory = "5MiB"\ncapacity = "1GiB"\n')
            try:
                donor.stop()
                with Server("--config", path, "--memory", "6MiB", data_dir=donor.data_dir) as server:
                    log = "".join(server.log)
                    self.assertIn("durability=each", log)
                    self.assertIn(f"memory_bytes={6 << 20}", log, "the command line wins")
                    self.assertIn(f"capacity_bytes={1 << 30}", log)
                with open(path, "w") as config:
                    config.write("no-such-option = 1\n")
                result = self.run_server("--config", path)
                self.assertNotEqual(result.returncode, 0)
                self.assertIn("no-such-option", result.stderr + result.stdout)
            finally:
                os.remove(path)

    def test_capacity_is_kept_and_what_is_evicted_is_a_plain_miss(self):
        with Server("--capacity", "64MiB", "--memory", "0", "--durability", "none") as server:
            stub = server.stub()
            prompts = 40
            for n in range(prompts):
                tokens = [n] * (2 * BLOCK)
                p = digests(tokens)
                for i in range(2):
                    stub.Write(write_request(block(i, tokens), 1 + i, digest=p[i],
                                             buffer=bytes([n]) * 1_258_291))
            kept = [stub.Lookup(lookup_request([n] * (2 * BLOCK))).cached_blocks
                    for n in range(prompts)]
            self.assertEqual(kept[-1], 2)
            self.assertEqual(kept[0], 0)
            self.assertGreater(sum(kept), 40, "most of the capacity is used")
            self.assertEqual(kept, sorted(kept), "the oldest went first")
            used = int(subprocess.run(["du", "-sk", server.data_dir], capture_output=True, text=True,
                                      check=True).stdout.split()[0])
            self.assertLess(used, 90 * 1024)


if __name__ == "__main__":
    unittest.main()
