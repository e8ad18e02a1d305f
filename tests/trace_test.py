"""Request ids and traces through the real server: from a call's metadata to its log lines, to a
collector's OTLP/HTTP JSON, and to the requests that reach Azure."""
import http.client
import http.server
import json
import os
import re
import socket
import subprocess
import threading
import time
import unittest
import urllib.request

import grpc
from azurite import ACCOUNT, Azurite
from kvserver import BLOCK, Server, lookup_request, read_request, write_request
from metrics import Metrics, free_port

LONG_S = 60
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"
TOKENS = list(range(BLOCK))
ODD = 'chat-7:"x"/\\1'  # signed with the request, as Azure has it


class Local(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handler, **attributes):
        super().__init__(("127.0.0.1", 0), handler)
        self.__dict__.update(attributes)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Collecting(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status == 200:
            self.server.requests.append((self.path, self.headers["Content-Type"], json.loads(body)))
        self.send_response(status)
        answer = self.server.answer
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class Collector(Local):
    def __init__(self, statuses=(), answer=b"{}"):
        super().__init__(Collecting, requests=[], statuses=list(statuses), answer=answer)
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def spans(self):
        return [span for _, _, body in list(self.requests) for of in body["resourceSpans"]
                for scope in of["scopeSpans"] for span in scope["spans"]]

    def await_spans(self, name, count=1):
        end = time.monotonic() + LONG_S
        while time.monotonic() < end:
            found = [span for span in self.spans() if span["name"] == name]
            if len(found) >= count:
                return found
            time.sleep(0.05)
        raise AssertionError(f"no {count} spans {name}: {self.spans()}")

    def children(self, span):
        return {child["name"]: child for child in self.spans()
                if child.get("parentSpanId") == span["spanId"]}


class Forwarding(http.server.BaseHTTPRequestHandler):
    """Hands requests on, and remembers their heads."""
    protocol_version = "HTTP/1.1"

    def forward(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.heads.append((self.command, self.path, dict(self.headers.items())))
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream)
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            upstream.putheader(name, value)
        upstream.endheaders(body)
        answer = upstream.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "keep-alive", "date", "server",
                                    "content-length"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else len(content)
        self.send_header("Content-Length", str(length or 0))
        self.end_headers()
        self.wfile.write(content)
        upstream.close()

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = forward

    def log_message(self, *_):
        pass


def attributes(span):
    return {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]}


def call(method, request, **metadata):
    """The answer and the trailing metadata."""
    pairs = [(name.replace("_", "-"), value) for name, value in metadata.items()]
    answer, ended = method.with_call(request, timeout=LONG_S, metadata=pairs)
    return answer, {name: value for name, value in ended.trailing_metadata()}


def await_line(lines, part):
    end = time.monotonic() + LONG_S
    while time.monotonic() < end:
        for line in list(lines):
            if part in line:
                return line
        time.sleep(0.02)
    raise AssertionError(f"no line with {part}: {lines}")


class RequestIdTest(unittest.TestCase):
    def test_the_callers_id_is_in_every_record_of_the_call(self):
        port = free_port()
        with Server("--metrics-port", str(port), "--slow-request-ms", "1", "--durability",
                    "each") as server:
            mine = 'chat-7/"x"\\1'
            _, trailing = call(server.stub().Write, write_request(TOKENS, 7, buffer=b"x" * 2_000_000),
                               x_request_id=mine)
            self.assertNotIn("x-request-id", trailing, "a header costs every call")
            line = json.loads(await_line(server.rpc_lines, '"rpc":"Write"'))
            self.assertEqual(line["request_id"], mine)
            self.assertNotIn("trace_id", line)
            slow = await_line(server.log, "slow request rpc=Write")
            self.assertIn("request_id=" + json.dumps(mine), slow)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/status.json", timeout=30) as page:
                shown = json.load(page)["slow"]
            self.assertEqual([one["request_id"] for one in shown if one["rpc"] == "Write"], [mine])

    def test_without_one_that_is_fit_the_server_makes_one(self):
        """Told to the caller of a call that fails, and to the log."""
        with Server("--log-level", "verbose") as server:
            stub, seen = server.stub(), set()

            def failing(*metadata):
                with self.assertRaises(grpc.RpcError) as failed:
                    stub.Lookup(lookup_request([]), timeout=LONG_S, metadata=metadata)
                return dict(failed.exception.trailing_metadata())["x-request-id"]
            self.assertEqual(failing(("x-request-id", "mine")), "mine")
            for bad in ([], [""], ["two words"], ["x" * 65], ["one", "two"]):
                made = failing(*(("x-request-id", each) for each in bad))
                self.assertRegex(made, r"^[0-9a-f]{16}$")
                await_line(server.log, f"request_id={made} ")
                seen.add(made)
            self.assertEqual(len(seen), 5)


class SpansTest(unittest.TestCase):
    def check_times(self, span, began_ns, ended_ns):
        start, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
        self.assertIsInstance(span["startTimeUnixNano"], str)
        self.assertLessEqual(start, end)
        # The wall clock and the server's durations are two clocks.
        self.assertGreater(start, began_ns - 5_000_000)
        self.assertLess(end, ended_ns + 50_000_000)

    def test_a_sampled_call_gives_a_span_with_its_stages(self):
        with Collector() as collector, \
                Server("--otlp-endpoint", collector.endpoint + "/", "--memory", "0",
                       "--trace-sample", "0") as server:
            stub = server.stub()
            began = time.time_ns()
            call(stub.Write, write_request(TOKENS, 7, buffer=b"x" * 1_000_000, completion="chat-7"),
                 traceparent=SAMPLED, x_request_id="the-write")
            ended = time.time_ns()
            (span,) = collector.await_spans("kvstore.KVStoreService/Write")
            self.assertEqual((span["traceId"], span["parentSpanId"]), (TRACE, SPAN))
            self.assertRegex(span["spanId"], r"^[0-9a-f]{16}$")
            self.assertNotEqual(span["spanId"], SPAN)
            self.assertEqual(span["kind"], 2)
            self.assertNotIn("status", span)
            self.check_times(span, began, ended)
            told = attributes(span)
            self.assertEqual(told["rpc.system"], "grpc")
            self.assertEqual(told["rpc.service"], "kvstore.KVStoreService")
            self.assertEqual(told["rpc.method"], "Write")
            self.assertEqual(told["rpc.grpc.status_code"], "0")
            self.assertEqual(told["kvstore.request_id"], "the-write")
            self.assertEqual(told["kvstore.completion_id"], "chat-7")
            self.assertGreater(int(told["kvstore.bytes"]), 1_000_000)
            stages = collector.children(span)
            self.assertLessEqual({"disk", "sending"}, set(stages))
            self.assertLessEqual(set(stages), {"admission", "receiving", "disk", "sending"})
            for stage in stages.values():
                self.assertEqual((stage["traceId"], stage["kind"]), (TRACE, 1))
                self.assertGreaterEqual(int(stage["startTimeUnixNano"]),
                                        int(span["startTimeUnixNano"]))
                self.assertLessEqual(int(stage["endTimeUnixNano"]), int(span["endTimeUnixNano"]))
            self.assertLessEqual(int(stages["disk"]["endTimeUnixNano"]),
                                 int(stages["sending"]["startTimeUnixNano"]))
            self.assertEqual(json.loads(await_line(server.rpc_lines, '"Write"'))["trace_id"], TRACE)

            found, _ = call(stub.Lookup, lookup_request(TOKENS), traceparent=SAMPLED)
            (lookup,) = collector.await_spans("kvstore.KVStoreService/Lookup")
            self.assertEqual(attributes(lookup)["kvstore.found"], "1")
            location = found.locations[0].location
            call(stub.Read, read_request(location), traceparent=SAMPLED)
            (read,) = collector.await_spans("kvstore.KVStoreService/Read")
            self.assertEqual(attributes(read)["kvstore.tier"], "disk")
            self.assertIn("disk", collector.children(read))
            answers = stub.StreamingRead(iter([read_request(location)] * 3), timeout=LONG_S,
                                         metadata=[("traceparent", SAMPLED)])
            self.assertEqual([answer.found for answer in answers], [True] * 3)
            (stream,) = collector.await_spans("kvstore.KVStoreService/StreamingRead")
            self.assertEqual(attributes(stream)["kvstore.blocks"], "3")
            blocks = [child for child in collector.spans()
                      if child.get("parentSpanId") == stream["spanId"]]
            self.assertEqual([child["name"] for child in blocks], ["disk"] * 3)
            self.assertIn("index", collector.children(lookup))

            path, kind, body = collector.requests[0]
            self.assertEqual((path, kind), ("/v1/traces", "application/json"))
            resource = attributes(body["resourceSpans"][0]["resource"])
            self.assertEqual(resource["service.name"], "kvstore")
            self.assertEqual(resource["host.name"], socket.gethostname())
            ids = [span["spanId"] for span in collector.spans()]
            self.assertEqual(len(set(ids)), len(ids))

    def test_ram_is_a_tier_with_spans_too(self):
        with Collector() as collector, \
                Server("--otlp-endpoint", collector.endpoint, "--memory", "64MiB",
                       "--trace-sample", "0") as server:
            stub = server.stub()
            call(stub.Write, write_request(TOKENS, 7, buffer=b"x" * 100_000))
            found, _ = call(stub.Lookup, lookup_request(TOKENS))
            location = found.locations[0].location
            call(stub.Read, read_request(location), traceparent=SAMPLED)
            call(stub.Read, read_request("nowhere"), traceparent=SAMPLED)
            reads = collector.await_spans("kvstore.KVStoreService/Read", 2)
            hit, miss = sorted(reads, key=lambda span: attributes(span)["kvstore.found"],
                               reverse=True)
            self.assertEqual(attributes(hit)["kvstore.tier"], "ram")
            self.assertIn("ram", collector.children(hit))
            self.assertNotIn("disk", collector.children(hit))
            self.assertNotIn("ram", collector.children(miss))
            list(stub.StreamingRead(iter([read_request(location)] * 2), timeout=LONG_S,
                                    metadata=[("traceparent", SAMPLED)]))
            (stream,) = collector.await_spans("kvstore.KVStoreService/StreamingRead")
            self.assertEqual([child["name"] for child in collector.spans()
                              if child.get("parentSpanId") == stream["spanId"]], ["ram"] * 2)

    def test_a_tracestate_is_kept_where_it_is_one(self):
        with Collector() as collector, \
                Server("--otlp-endpoint", collector.endpoint, "--trace-sample", "1") as server:
            method = server.stub().Lookup

            def state(*metadata):
                before = len(collector.spans())
                method.with_call(lookup_request(TOKENS), timeout=LONG_S, metadata=metadata)
                end = time.monotonic() + LONG_S
                while time.monotonic() < end:
                    new = [span for span in collector.spans()[before:] if span["kind"] == 2]
                    if new:
                        return new[0].get("traceState")
                    time.sleep(0.02)
                raise AssertionError("no span")
            traced = ("traceparent", SAMPLED)
            self.assertEqual(state(traced, ("tracestate", "congo=t61rcWkgMzE, rojo=00f")),
                             "congo=t61rcWkgMzE,rojo=00f")
            self.assertEqual(state(traced, ("tracestate", "a=1"), ("tracestate", "b=2")), "a=1,b=2")
            self.assertIsNone(state(traced, ("tracestate", "a=1,a=2")))
            self.assertIsNone(state(traced, ("tracestate", "no state")))
            self.assertIsNone(state(traced))
            self.assertIsNone(state(("tracestate", "a=1")), "of no trace")
            long = ",".join(f"k{n}=" + "v" * 90 for n in range(10))
            self.assertEqual(state(traced, ("tracestate", long)), ",".join(long.split(",")[:5]))

    def test_what_is_not_sampled_is_not_sent(self):
        with Collector() as collector, \
                Server("--otlp-endpoint", collector.endpoint, "--trace-sample", "0") as server:
            stub = server.stub()
            for traceparent in (UNSAMPLED, SAMPLED.upper(), "00-" + "0" * 32 + f"-{SPAN}-01", "junk"):
                call(stub.Lookup, lookup_request(TOKENS), traceparent=traceparent)
            call(stub.Lookup, lookup_request(TOKENS))
            self.assertEqual(server.stop(), 0)
            self.assertEqual(collector.spans(), [])

    def test_new_traces_are_sampled_by_the_share(self):
        with Collector() as collector, \
                Server("--otlp-endpoint", collector.endpoint, "--trace-sample", "0.5") as server:
            stub = server.stub()
            for _ in range(400):
                call(stub.Lookup, lookup_request(TOKENS))
            # The spans that wait at the end are sent, too.
            self.assertEqual(server.stop(), 0)
            roots = [span for span in collector.spans() if span["kind"] == 2]
            self.assertGreater(len(roots), 120)
            self.assertLess(len(roots), 280)
            self.assertTrue(all("parentSpanId" not in span for span in roots))
            self.assertEqual(len({span["traceId"] for span in roots}), len(roots))

    def test_a_failure_of_the_server_is_an_error_and_one_of_the_caller_is_not(self):
        with Collector() as collector, \
                Server("--otlp-endpoint", collector.endpoint, "--trace-sample", "1") as server:
            with self.assertRaises(grpc.RpcError):
                call(server.stub().Lookup, lookup_request([]))
            (span,) = collector.await_spans("kvstore.KVStoreService/Lookup")
            self.assertEqual(attributes(span)["rpc.grpc.status_code"], "3")  # INVALID_ARGUMENT
            self.assertNotIn("status", span)

    def test_a_collector_that_passes_is_tried_again_and_refusals_are_counted(self):
        port = free_port()
        answer = b'{"partialSuccess":{"rejectedSpans":"1","errorMessage":"too old"}}'
        with Collector(statuses=[503], answer=answer) as collector, \
                Server("--otlp-endpoint", collector.endpoint, "--trace-sample", "1",
                       "--metrics-port", str(port)) as server:
            call(server.stub().Lookup, lookup_request(TOKENS))
            collector.await_spans("kvstore.KVStoreService/Lookup")
            self.assertEqual(len(collector.requests), 1)
            sent = len(collector.spans())
            end = time.monotonic() + LONG_S
            while Metrics(port)("spans_dropped_total") < 1:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.05)
            self.assertEqual(Metrics(port)("spans_exported_total"), sent - 1)

    def many_calls(self, server, count):
        stub, request = server.stub(), lookup_request(TOKENS)
        for _ in range(count):
            stub.Lookup(request, timeout=LONG_S)

    def rss(self, server):
        with open(f"/proc/{server.process.pid}/status", encoding="utf-8") as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1)) << 10

    def test_a_dead_collector_holds_nobody_up_and_takes_bounded_memory(self):
        # Takes connections and never answers: worse than one that refuses them.
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(64)
            port = free_port()
            with Server("--otlp-endpoint", f"http://127.0.0.1:{silent.getsockname()[1]}",
                        "--trace-sample", "1", "--memory", "16MiB", "--disable-metrics",
                        "--metrics-port", str(port)) as server:
                self.many_calls(server, 8_500)  # fills the queue of 8192 spans
                before = self.rss(server)
                dropped = Metrics(port)("spans_dropped_total")
                self.assertGreater(dropped, 0)
                self.many_calls(server, 2_000)
                self.assertLess(self.rss(server) - before, 4 << 20)
                self.assertGreater(Metrics(port)("spans_dropped_total") - dropped, 1_900)
                self.assertEqual(Metrics(port)("spans_exported_total"), 0)
                self.assertEqual(server.stop(), 0)

    def test_one_that_refuses_connections_does_not_hold_up_the_end(self):
        with Server("--otlp-endpoint", f"http://127.0.0.1:{free_port()}", "--trace-sample",
                    "1") as server:
            self.many_calls(server, 100)
            self.assertEqual(server.stop(), 0)

    def test_an_endpoint_that_is_none_is_refused(self):
        for bad in ("localhost:4318", "http://", "http://user:pass@host:1", "ftp://host"):
            run = subprocess.run([os.environ["KVSTORE_SERVER"], "--otlp-endpoint", bad],
                                 capture_output=True, text=True, timeout=LONG_S, check=False)
            self.assertNotEqual(run.returncode, 0)
            self.assertIn("no URL such as", run.stdout + run.stderr)


class AzureTest(unittest.TestCase):
    """What reaches Azure, by a proxy that remembers it."""

    def serve(self, test, *options):
        with Azurite() as azurite, Local(Forwarding, heads=[], upstream=azurite.port) as proxy:
            environment = {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string().replace(
                f":{azurite.port}/", f":{proxy.port}/")}
            with Server("--storage", "azure", "--memory", "0", *options,
                        environment=environment) as server:
                test(server, proxy)

    def of(self, proxy, method, request_id):
        return [(path, head) for verb, path, head in list(proxy.heads)
                if verb == method and head.get("x-ms-client-request-id") == request_id]

    def test_ids_and_spans_reach_azure(self):
        with Collector() as collector:
            def test(server, proxy):
                stub = server.stub()
                call(stub.Write, write_request(TOKENS, 7, resource=ACCOUNT), x_request_id=ODD,
                     traceparent=SAMPLED, tracestate="congo=t61")
                puts = self.of(proxy, "PUT", ODD)
                self.assertTrue(puts)
                (span,) = collector.await_spans("kvstore.KVStoreService/Write")
                self.assertIn("azure", collector.children(span))
                # Each names the span of that request, a child of the call's.
                requests = {child["spanId"]: child for child in collector.spans()
                            if child.get("parentSpanId") == span["spanId"] and child["kind"] == 3}
                for _, head in puts:
                    self.assertRegex(head["traceparent"], f"^00-{TRACE}-[0-9a-f]{{16}}-01$")
                    request = requests[head["traceparent"].split("-")[2]]
                    self.assertEqual(request["name"], "PUT")
                    told = attributes(request)
                    self.assertEqual(told["http.request.method"], "PUT")
                    self.assertEqual(told["server.address"], "127.0.0.1")
                    self.assertEqual(told["server.port"], str(proxy.port))
                    self.assertIn(told["http.response.status_code"], ("201", "404"))
                    self.assertEqual(head["tracestate"], "congo=t61")
                    self.assertEqual(request["traceState"], "congo=t61")
                self.assertEqual(len({head["traceparent"] for _, head in puts}), len(puts))
                found, _ = call(stub.Lookup, lookup_request(TOKENS, resource=ACCOUNT))
                call(stub.Read, read_request(found.locations[0].location, resource=ACCOUNT),
                     x_request_id="r-1", traceparent=UNSAMPLED)
                ((path, head),) = self.of(proxy, "GET", "r-1")
                self.assertNotIn("comp=", path)
                self.assertRegex(head["traceparent"], f"^00-{TRACE}-[0-9a-f]{{16}}-00$")
                self.assertNotIn(SPAN, head["traceparent"])
                # What is nobody's, such as the log that servers share, has ids of its own.
                others = [head for _, path, head in list(proxy.heads) if "comp=appendblock" in path]
                self.assertTrue(others)
                for head in others:
                    self.assertRegex(head["x-ms-client-request-id"], r"^[0-9a-f]{16}$")
                    self.assertNotIn("traceparent", head)
            self.serve(test, "--otlp-endpoint", collector.endpoint, "--trace-sample", "0")

    def test_without_a_collector_the_callers_span_is_passed_on(self):
        def test(server, proxy):
            stub = server.stub()
            call(stub.Write, write_request(TOKENS, 7, resource=ACCOUNT), x_request_id=ODD,
                 traceparent=SAMPLED)
            self.assertEqual({head["traceparent"] for _, head in self.of(proxy, "PUT", ODD)},
                             {SAMPLED})
            call(stub.Write, write_request([t + 1 for t in TOKENS], 8, resource=ACCOUNT),
                 x_request_id="no-trace")
            puts = self.of(proxy, "PUT", "no-trace")
            self.assertTrue(puts)
            self.assertTrue(all("traceparent" not in head for _, head in puts))
        self.serve(test)


if __name__ == "__main__":
    unittest.main(verbosity=2)
