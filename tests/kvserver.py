"""A real KVStoreServer for tests, and the client that plain protoc generates for it.

Needs the environment's KVSTORE_SERVER (the program) and KVSTORE_GENERATED (where protoc put
kvstore_pb2.py and kvstore_pb2_grpc.py); CTest sets both.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.environ["KVSTORE_GENERATED"])

import grpc  # noqa: E402
import kvstore_pb2 as pb  # noqa: E402
import kvstore_pb2_grpc  # noqa: E402

BLOCK = 128
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 60
MESSAGE_OPTIONS = [
    ("grpc.max_receive_message_length", 100 << 20),
    ("grpc.max_send_message_length", 100 << 20),
    # A client of a server that was killed must not wait out a long back-off.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 2000),  # an attempt's least time, on a busy machine
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.use_local_subchannel_pool", 1),  # a channel is a connection
]


class Server:
    """Starts KVStoreServer on a free port of the loopback; `with` stops it."""

    def __init__(self, *options, data_dir=None, port=0, environment=None):
        self.own_dir = data_dir is None
        self.data_dir = data_dir or tempfile.mkdtemp(prefix="kvstore-test-")
        self.log = []
        self.rpc_lines = []
        self.process = subprocess.Popen(
            [os.environ["KVSTORE_SERVER"], "--host", "127.0.0.1", "--port", str(port),
             "--data-dir", self.data_dir, *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
            env={**os.environ, **(environment or {})})
        self.started = threading.Event()
        self.port = None
        self.ended = False  # as we asked it to
        self.readers = [threading.Thread(target=self._read_log, daemon=True),
                        threading.Thread(target=self._read_rpc_lines, daemon=True)]
        for reader in self.readers:
            reader.start()
        if not self.started.wait(START_TIMEOUT_S) or self.port is None:
            self.kill()
            raise RuntimeError("the server did not start:\n" + "".join(self.log))

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line)
            match = re.search(r"[ \"]serving .*port=(\d+)", line)
            if match:
                self.port = int(match.group(1))
                self.started.set()
        self.started.set()

    def _read_rpc_lines(self):
        for line in self.process.stdout:
            self.rpc_lines.append(line)

    def channel(self):
        return grpc.insecure_channel(f"127.0.0.1:{self.port}", options=MESSAGE_OPTIONS)

    def stub(self):
        return kvstore_pb2_grpc.KVStoreServiceStub(self.channel())

    def kill(self):
        """As the power of the process would fail: SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.wait()

    def stop(self, signal_number=signal.SIGTERM):
        """Gracefully; returns the exit code."""
        self.process.send_signal(signal_number)
        return self.wait()

    def wait(self):
        """For its end, which was asked for; returns the exit code."""
        code = self.process.wait(STOP_TIMEOUT_S)
        self.ended = True
        for reader in self.readers:
            reader.join(STOP_TIMEOUT_S)
        self.process.stdout.close()
        self.process.stderr.close()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        died = self.process.poll() if not self.ended else None
        if not self.ended and "KVSTORE_COUNTS" in os.environ and died is None:
            self.stop()  # a build that counts what it executes writes that at the end
        elif not self.ended:
            self.kill()
        if self.own_dir:
            shutil.rmtree(self.data_dir, ignore_errors=True)
        if died is not None:
            raise RuntimeError(f"the server ended by itself, code {died}:\n" + "".join(self.log))


def chunk(tokens, hash, parent=0, buffer=b"tensors", partition="p", digest=b"", completion=""):
    return pb.PromptChunk(hash=hash, partition_key=partition, parent_hash=parent, buffer=buffer,
                          tokens=tokens, completion_id=completion, prefix_digest=digest)


def write_request(*args, resource="acct", container="box", **kwargs):
    return pb.WriteRequest(resource_name=resource, container_name=container,
                           chunk=chunk(*args, **kwargs))


def lookup_request(tokens, hashes=(), partition="p", resource="acct", container="box"):
    return pb.LookupRequest(resource_name=resource, container_name=container,
                            partition_key=partition, completion_id="test", tokens=tokens,
                            precomputed_hashes=hashes)


def read_request(location, resource="acct", container="box"):
    return pb.ReadRequest(resource_name=resource, container_name=container, location=location)
