"""kvctl against real servers: everything it can do, as text and as JSON, and who may do it."""
import hashlib
import json
import os
import shutil
import stat
import struct
import subprocess
import tempfile
import unittest

import grpc
from kvserver import BLOCK, Server, lookup_request, read_request, write_request
from tls_certs import Authority
from zsh import Zsh

LONG_S = 60
TARGET, PARTITION = "acct/box", "acct/box/p"
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
NO_SUCH_BLOCK = 3


def tokens_of(n):
    return [1000 * n + i for i in range(BLOCK)]


def prefix_digests(blocks):
    digests, last = [], b""
    for tokens in blocks:
        last = hashlib.sha256(last + struct.pack(f"<{BLOCK}q", *tokens)).digest()
        digests.append(last)
    return digests


class KvctlTest(unittest.TestCase):
    def setUp(self):
        self.directory = self.enterContext(tempfile.TemporaryDirectory())
        self.socket = os.path.join(self.directory, "admin.sock")

    def path(self, name, content=None):
        path = os.path.join(self.directory, name)
        if content is not None:
            with open(path, "wb" if isinstance(content, bytes) else "w") as file:
                file.write(content)
        return path

    def server(self, *options, address=None, **more):
        return Server("--capacity", "512MiB", "--memory", "64MiB", "--scrub-rate", "0",
                      "--disable-metrics", "--admin", address or "unix:" + self.socket, *options,
                      **more)

    def run_kvctl(self, *arguments, server=None, **more):
        return subprocess.run(
            [os.environ["KVSTORE_KVCTL"], "--server", server or "unix:" + self.socket, *arguments],
            capture_output=True, text=True, timeout=LONG_S, **more)

    def kvctl(self, *arguments, code=0, **more):
        """What it says, as text."""
        ran = self.run_kvctl(*arguments, **more)
        self.assertEqual(ran.returncode, code, (arguments, ran.stdout, ran.stderr))
        return ran.stdout if code == 0 else ran.stderr

    def json(self, *arguments, code=0, **more):
        ran = self.run_kvctl("--json", *arguments, **more)
        self.assertEqual(ran.returncode, code, (arguments, ran.stdout, ran.stderr))
        return json.loads(ran.stdout)

    def write_prompt(self, stub, blocks, partition="p", size=1000, start=0):
        """A prompt of so many blocks, whose hashes are 1, 2, … + start."""
        prompt = [tokens_of(start + n) for n in range(blocks)]
        digests = prefix_digests(prompt)
        for n, tokens in enumerate(prompt):
            stub.Write(write_request(tokens, start + n + 1, parent=start + n if n else 0,
                                     buffer=bytes([n]) * size, digest=digests[n],
                                     partition=partition), timeout=LONG_S)
        return [token for tokens in prompt for token in tokens]

    def tokens_file(self, tokens):
        return self.path("tokens.json", json.dumps(tokens))

    def test_stats_and_top(self):
        with self.server() as server:
            prompt = self.write_prompt(server.stub(), 3)
            server.stub().Lookup(lookup_request(prompt), timeout=LONG_S)
            text = self.kvctl("stats")
            self.assertRegex(text, r"state +serving")
            self.assertRegex(text, r"hit ratio +100.0 % of 3 blocks")
            self.assertRegex(text, r"index +3 blocks")
            stats = self.json("stats")
            self.assertTrue(stats["ready"])
            values = {(s["name"], s["labels"].get("method")): s["value"] for s in stats["samples"]}
            self.assertEqual(values["kvstore_index_blocks", None], 3)
            self.assertEqual(values["kvstore_rpc_duration_seconds_count", "Write"], 3)
            top = subprocess.Popen(
                [os.environ["KVSTORE_KVCTL"], "--server", "unix:" + self.socket, "--json", "top",
                 "--interval", "2", "--count", "1"], stdout=subprocess.PIPE, text=True)
            while top.poll() is None:
                server.stub().Lookup(lookup_request(prompt), timeout=LONG_S)
            now = json.loads(top.communicate()[0])
            self.assertGreater(now["methods"]["Lookup"]["calls_per_second"], 1)
            self.assertGreater(now["methods"]["Lookup"]["p50_ms"], 0)
            self.assertEqual(now["methods"]["Write"]["calls_per_second"], 0)
            self.assertEqual(now["hit_ratio"], 1)
            self.assertRegex(self.kvctl("top", "--interval", "0.1", "--count", "2"), r"Lookup +0\.0")

    def test_inspect(self):
        with self.server() as server:
            stub = server.stub()
            prompt = self.write_prompt(stub, 3)
            stub.Write(write_request(tokens_of(0), 77, buffer=b"of another model"), timeout=LONG_S)
            # What follows its parent's hash alone.
            stub.Write(write_request(tokens_of(9), 99, parent=3), timeout=LONG_S)
            seen = self.json("inspect", PARTITION, "--tokens",
                             self.tokens_file(prompt + tokens_of(9) + tokens_of(10)))
            self.assertEqual(seen["asked_blocks"], 5)
            versions = [block["versions"] for block in seen["blocks"]]
            self.assertEqual([len(v) for v in versions], [2, 1, 1, 1])
            self.assertEqual([v[0]["hash"] for v in versions], [1, 2, 3, 99])
            self.assertEqual([v[0]["parent_hash"] for v in versions], [0, 1, 2, 3])
            self.assertEqual([v[0]["by_parent"] for v in versions], [False, False, False, True])
            self.assertEqual(versions[0][1]["hash"], 77)
            self.assertTrue(all(v[0]["ram"] and v[0]["disk"] and not v[0]["shared"]
                                for v in versions))
            self.assertGreater(versions[0][0]["size"], 1000)
            self.assertEqual(versions[2][0]["digest"],
                             prefix_digests([tokens_of(n) for n in range(3)])[2].hex())
            one = self.json("inspect", TARGET, "--location", versions[0][1]["location"])
            self.assertEqual([v["hash"] for v in one["blocks"][0]["versions"]], [77, 1])
            text = self.kvctl("inspect", PARTITION, "--tokens", "-", input=json.dumps(prompt))
            self.assertIn("3 of 3 blocks are stored", text)
            self.assertRegex(text, r"0 +0 +0000000000000001 +- +\d.* ram\+disk")
            # Another container's, and none at all.
            for target, location in (("acct/other", versions[0][0]["location"]), (TARGET, "x" * 96)):
                self.assertIn("no block is there", self.kvctl(
                    "inspect", target, "--location", location, code=NO_SUCH_BLOCK))

    def test_put_get_and_delete(self):
        with self.server() as server:
            tokens = self.tokens_file(tokens_of(0) + tokens_of(1))
            first = self.path("first.json", json.dumps(tokens_of(0)))
            for buffer, file in ((b"one", first), (b"two", tokens)):
                self.assertEqual(self.kvctl("put", PARTITION, "--tokens", file, "--buffer",
                                            self.path("buffer", buffer)), "stored\n")
            self.assertFalse(self.json("put", PARTITION, "--tokens", tokens, "--buffer",
                                       self.path("buffer", b"two"))["stored"])
            # As any client finds it.
            found = server.stub().Lookup(lookup_request(tokens_of(0) + tokens_of(1)),
                                         timeout=LONG_S)
            self.assertEqual(found.cached_blocks, 2)
            digests = prefix_digests([tokens_of(0), tokens_of(1)])
            self.assertEqual(found.last_hash, struct.unpack("<Q", digests[1][:8])[0])
            location = found.locations[1].location
            got = self.json("get", TARGET, location, "--out", self.path("out"))
            self.assertEqual(got["prefix_digest"], digests[1].hex())
            self.assertEqual(got["parent_hash"], found.locations[0].hash)
            with open(self.path("out"), "rb") as file:
                self.assertEqual(file.read(), b"two")
            self.kvctl("get", TARGET, location, "--out", self.path("chunk"), "--chunk")
            self.assertEqual(self.kvctl("delete", TARGET, location), "1 block removed\n")
            self.assertFalse(server.stub().Read(read_request(location), timeout=LONG_S).found)
            self.kvctl("delete", TARGET, location, code=NO_SUCH_BLOCK)
            self.assertEqual(self.json("get", TARGET, location, "--out", self.path("out"),
                                       code=NO_SUCH_BLOCK)["error"]["code"], "NOT_FOUND")
            self.assertTrue(self.json("put", TARGET, "--chunk", self.path("chunk"))["stored"])
            answer = server.stub().Read(read_request(location), timeout=LONG_S)
            self.assertEqual(answer.chunk.buffer, b"two")
            # What is no chunk, and tokens that are no blocks.
            self.kvctl("put", TARGET, "--chunk", self.path("bad", b"\xff\xff"), code=2)
            self.assertIn("multiple of 128", self.kvctl(
                "put", PARTITION, "--tokens", self.path("few", "[1, 2]"), "--buffer",
                self.path("buffer"), code=2))
            self.assertIn("JSON array", self.kvctl(
                "put", PARTITION, "--tokens", self.path("text", '{"a": 1}'), "--buffer",
                self.path("buffer"), code=2))

    def test_delete_takes_what_is_found_only_through_it(self):
        with self.server() as server:
            stub = server.stub()
            stub.Write(write_request(tokens_of(0), 1), timeout=LONG_S)
            stub.Write(write_request(tokens_of(1), 2, parent=1), timeout=LONG_S)
            found = stub.Lookup(lookup_request(tokens_of(0) + tokens_of(1)), timeout=LONG_S)
            self.assertEqual(found.cached_blocks, 2)
            self.assertEqual(self.json("delete", TARGET, found.locations[0].location)["blocks"], 2)
            for block in found.locations:
                self.assertFalse(stub.Read(read_request(block.location), timeout=LONG_S).found)
            self.assertEqual(server.stop(), 0)
            with self.server(data_dir=server.data_dir) as again:  # nor after a restart
                found = again.stub().Lookup(lookup_request(tokens_of(0)), timeout=LONG_S)
                self.assertEqual(found.cached_blocks, 0)

    def test_purge(self):
        with self.server() as server:
            stub = server.stub()
            prompt = self.write_prompt(stub, 20)
            other = self.write_prompt(stub, 5, partition="p2")
            would = self.json("purge", PARTITION, "--dry-run")
            self.assertEqual((would["blocks"], would["dry_run"]), (20, True))
            self.assertIn("--yes", self.kvctl("purge", PARTITION, code=2))
            self.assertEqual(stub.Lookup(lookup_request(prompt)).cached_blocks, 20)
            done = self.json("purge", PARTITION, "--yes")
            self.assertEqual((done["blocks"], done["bytes"]), (20, would["bytes"]))
            self.assertEqual(stub.Lookup(lookup_request(prompt)).cached_blocks, 0)
            self.assertEqual(stub.Lookup(lookup_request(other, partition="p2")).cached_blocks, 5)
            self.assertEqual(self.json("purge", PARTITION, "--yes")["blocks"], 0)
            samples = self.json("stats")["samples"]
            asked = [s["value"] for s in samples if s["name"] == "kvstore_evicted_chunks_total"
                     and s["labels"]["reason"] == "asked"]
            self.assertEqual(asked, [20])

    def test_export_and_import(self):
        archive = self.path("p.kvarchive")
        with self.server() as server:
            prompt = self.write_prompt(server.stub(), 30, size=100_000)
            self.write_prompt(server.stub(), 3, partition="p2")
            self.assertEqual(self.json("export", PARTITION, "--out", archive)["blocks"], 30)
        with self.server() as server:
            self.assertEqual(self.json("import", TARGET, "--in", archive),
                             {"stored": 30, "there_already": 0})
            self.assertEqual(self.json("import", TARGET, "--in", archive)["there_already"], 30)
            found = server.stub().Lookup(lookup_request(prompt), timeout=LONG_S)
            self.assertEqual(found.cached_blocks, 30)
            for n, block in enumerate(found.locations):
                answer = server.stub().Read(read_request(block.location), timeout=LONG_S)
                self.assertEqual(answer.chunk.buffer, bytes([n]) * 100_000)
            with open(archive, "r+b") as file:
                file.truncate(1_000_000)
            self.assertIn("not whole", self.kvctl("import", TARGET, "--in", archive, code=1))
            self.assertIn("no archive", self.kvctl("import", TARGET, "--in",
                                                   self.path("bad", "bad"), code=2))
            self.kvctl("export", PARTITION, "--out", "/nowhere/file", code=1)
            self.assertEqual(os.listdir(self.directory).count("p.kvarchive.part"), 0)

    def test_set(self):
        with self.server() as server:
            stub = server.stub()
            for n in range(60):
                self.write_prompt(stub, 1, size=1_000_000, start=n)
            now = self.json("set")
            self.assertEqual((now["capacity_bytes"], now["memory_bytes"], now["log_level"]),
                             (512 << 20, 64 << 20, "info"))

            def sample(name):
                return sum(s["value"] for s in self.json("stats")["samples"] if s["name"] == name)
            self.assertEqual(sample("kvstore_index_blocks"), 60)
            self.assertGreater(sample("kvstore_ram_used_bytes"), 16 << 20)
            self.json("set", "--memory", "16MiB")
            self.assertLess(sample("kvstore_ram_used_bytes"), 16 << 20)
            self.json("set", "--capacity", "20MiB", "--log-level", "verbose")
            for _ in range(100):
                if sample("kvstore_storage_used_bytes") <= 20 << 20:
                    break
            self.assertLessEqual(sample("kvstore_storage_used_bytes"), 20 << 20)
            self.assertGreater(sample("kvstore_index_blocks"), 10)
            self.json("set", "--capacity", "512MiB", "--memory", "64MiB", "--log-level", "info")
            for n in range(60):
                self.write_prompt(stub, 1, size=1_000_000, start=n)
            self.assertEqual(sample("kvstore_index_blocks"), 60)
            self.assertIn("16MiB", self.kvctl("set", "--capacity", "1MiB", code=2))
            self.kvctl("set", "--memory", "-1", code=2)
            self.assertEqual(server.stop(), 0)
            self.assertIn("admin method=Set", "".join(server.log))

    def test_of_a_change_that_cannot_be_made_nothing_is(self):
        nowhere = ("DefaultEndpointsProtocol=http;AccountName=acct;AccountKey=a2V5;"
                   "BlobEndpoint=http://127.0.0.1:9/acct;")
        with Server("--storage", "azure", "--memory", "64MiB", "--admin", "unix:" + self.socket,
                    environment={"AZURE_STORAGE_CONNECTION_STRING": nowhere}):
            self.assertIn("no disk", self.kvctl("set", "--capacity", "1GiB", "--log-level",
                                                "verbose", "--memory", "1MiB", code=1))
            now = self.json("set")
            self.assertEqual((now["memory_bytes"], now["log_level"]), (64 << 20, "info"))
            self.assertIn("no disk", self.kvctl("verify", code=1))

    def test_drain_and_resume(self):
        with self.server() as server, server.channel() as channel:
            stub = server.stub()
            prompt = self.write_prompt(stub, 2)
            health = channel.unary_unary("/grpc.health.v1.Health/Check")
            self.assertEqual(health(b"", timeout=LONG_S), SERVING)
            state = self.json("drain", "--wait", "30")
            self.assertEqual(state, {"draining": True, "running_calls": 0, "unshared_blocks": 0})
            self.assertEqual(health(b"", timeout=LONG_S), NOT_SERVING)
            for call in (lambda: stub.Lookup(lookup_request(prompt), timeout=LONG_S),
                         lambda: stub.Write(write_request(tokens_of(5), 5), timeout=LONG_S),
                         lambda: list(stub.StreamingRead(iter([]), timeout=LONG_S))):
                with self.assertRaises(grpc.RpcError) as refused:
                    call()
                self.assertEqual(refused.exception.code(), grpc.StatusCode.UNAVAILABLE)
                self.assertIn("drained", refused.exception.details())
            self.assertIn("NOT SERVING", self.kvctl("stats"))
            self.assertEqual(self.kvctl("resume"), "taking calls\n")
            self.assertEqual(health(b"", timeout=LONG_S), SERVING)
            self.assertEqual(stub.Lookup(lookup_request(prompt), timeout=LONG_S).cached_blocks, 2)
            self.assertEqual(server.stop(), 0)

    def test_verify(self):
        with self.server("--memory", "0") as server:
            stub = server.stub()
            for n in range(20):
                self.write_prompt(stub, 1, size=50_000, start=n)
            self.assertEqual(self.json("verify")["damaged"], 0)
            wanted = bytes([0]) * 50_000
            segments = os.path.join(server.data_dir, "segments")
            for segment in os.listdir(segments):
                with open(os.path.join(segments, segment), "r+b") as file:
                    at = file.read().find(wanted)
                    if at >= 0:
                        file.seek(at + 1000)
                        file.write(b"rot")
                        break
            else:
                self.fail("the tensors are in no segment")
            seen = self.run_kvctl("--json", "verify", "--rate", "1GiB")
            self.assertEqual(seen.returncode, 1)
            lines = [json.loads(line) for line in seen.stdout.splitlines()]
            self.assertEqual(lines[0]["damaged"], 1)
            self.assertEqual(lines[1]["error"]["code"], "DATA_LOSS")
            self.assertEqual(self.json("verify")["damaged"], 0)
            found = [stub.Lookup(lookup_request(tokens_of(n)), timeout=LONG_S).cached_blocks
                     for n in range(20)]
            self.assertEqual(sum(found), 19)

    def test_the_socket_is_this_users_alone(self):
        with self.server() as server:
            mode = os.stat(self.socket).st_mode
            self.assertEqual((stat.S_ISSOCK(mode), stat.S_IMODE(mode)), (True, 0o600))
            if os.geteuid() == 0:
                os.chmod(self.directory, 0o755)
                ran = self.run_kvctl("stats", preexec_fn=lambda: os.setuid(65534))
                self.assertEqual(ran.returncode, 1, ran.stdout)
                self.assertIn("ermission denied", ran.stderr)
            # A second server does not take it from the first.
            with self.assertRaisesRegex(RuntimeError, "another process listens there"):
                self.server()
            self.kvctl("stats")
            server.kill()
            self.assertIn("does a server listen", self.kvctl("stats", code=1))
        with self.server():  # what a killed one left is no obstacle
            self.kvctl("stats")
        self.assertFalse(os.path.exists(self.socket) and not stat.S_ISSOCK(
            os.stat(self.socket).st_mode))
        self.path("file", "of somebody")
        with self.assertRaisesRegex(RuntimeError, "no socket"):
            self.server(address="unix:" + self.path("file"))
        with open(self.path("file")) as file:
            self.assertEqual(file.read(), "of somebody")

    def port_of(self, server):
        for line in server.log:
            if " administrators " in line:
                return f"127.0.0.1:{line.split('port=')[1].split()[0]}"
        self.fail("no line about administrators")

    def test_a_port_asks_who_calls(self):
        token = "secret-of-the-administrators"
        auth = self.path("auth.json", json.dumps({"identities": [
            {"name": "ops", "token_sha256": [hashlib.sha256(token.encode()).hexdigest()],
             "rules": []}]}))
        for options, wrong in ((("--admin", "127.0.0.1:0"), "--admin-auth"),
                               (("--admin", "0.0.0.0:0", "--admin-auth", auth), "unencrypted"),
                               (("--admin", "127.example.net:0", "--admin-auth", auth),
                                "unencrypted")):
            with self.assertRaisesRegex(RuntimeError, wrong):
                Server(*options)
        good, bad = self.path("good", token + "\n"), self.path("wrong", "guess")
        with self.server("--admin-auth", auth, address="127.0.0.1:0") as server:
            address = self.port_of(server)
            self.kvctl("--token-file", good, "stats", server=address)
            for arguments in (("stats",), ("--token-file", bad, "stats"),
                              ("--token-file", bad, "purge", PARTITION, "--yes"),
                              ("--token-file", bad, "drain"), ("--token-file", bad, "verify")):
                self.assertIn("--token-file", self.kvctl(*arguments, server=address, code=1))
            # The data service's port has no such methods, and the other way round.
            self.assertIn("no address of --admin", self.kvctl(
                "stats", server=f"127.0.0.1:{server.port}", code=1))
            with grpc.insecure_channel(address) as channel:
                with self.assertRaises(grpc.RpcError) as failed:
                    channel.unary_unary("/kvstore.KVStoreService/Lookup")(b"", timeout=LONG_S)
                self.assertEqual(failed.exception.code(), grpc.StatusCode.UNIMPLEMENTED)
            self.assertEqual(server.stop(), 0)
            log = "".join(server.log)
            self.assertIn('method=Drain identity="unknown"', log)
            self.assertIn("code=UNAUTHENTICATED", log)
            self.assertNotIn(token, log)
            self.assertNotIn("draining", log)

    def test_tls(self):
        authority = Authority(self.directory, "authority")
        certificate, key = authority.issue("server", "localhost", "IP:127.0.0.1")
        client = authority.issue("client", "ops")
        auth = self.path("auth.json", json.dumps({"identities": [
            {"name": "ops", "certificate_names": ["ops"], "rules": []}]}))
        with self.server("--tls-cert", certificate, "--tls-key", key, "--tls-client-ca",
                         authority.certificate, "--admin-auth", auth,
                         address="127.0.0.1:0") as server:
            address = self.port_of(server)
            tls = ("--tls-ca", authority.certificate, "--tls-cert", client[0], "--tls-key",
                   client[1])
            self.assertIn("serving", self.kvctl(*tls, "stats", server=address))
            self.kvctl("stats", server=address, code=1)

    def test_completion(self):
        script = self.kvctl("completion", "bash")
        ask = script + """
COMP_WORDS=(kvctl "$@") COMP_CWORD=$#
_kvctl
printf '%s\\n' "${COMPREPLY[@]}"
"""

        def completed(*words):
            return subprocess.run(["bash", "-c", ask, "bash", *words], check=True, text=True,
                                  capture_output=True, timeout=LONG_S).stdout.split()
        self.assertEqual(completed("ex"), ["export"])
        self.assertEqual(completed("--json", "pur"), ["purge"])
        self.assertEqual(completed("purge", "--dr"), ["--dry-run"])
        self.assertEqual(completed("set", "--cap"), ["--capacity"])
        self.assertEqual(completed("completion", ""), ["bash", "zsh"])
        zsh = self.kvctl("completion", "zsh")
        self.assertTrue(zsh.startswith("#compdef kvctl"))

    @unittest.skipIf(shutil.which("zsh") is None, "zsh is not installed")
    def test_completion_in_a_real_zsh(self):
        self.path("_kvctl", self.kvctl("completion", "zsh"))
        self.path("tensors.bin", "")
        cases = {"kvctl ex": "kvctl export ", "kvctl pur": "kvctl purge ",
                 "kvctl purge --dr": "kvctl purge --dry-run ",
                 "kvctl --json res": "kvctl --json resume ",
                 "kvctl set --cap": "kvctl set --capacity ",
                 "kvctl completion z": "kvctl completion zsh ",
                 "kvctl put a/b/c --buffer ten": "kvctl put a/b/c --buffer tensors.bin "}
        # As the packages install it, and as a user's own file reads it.
        ways = {"fpath": (f"fpath=({self.directory} $fpath)", "autoload -Uz compinit", "compinit -u -D"),
                "source": ("autoload -Uz compinit", "compinit -u -D", "source ./_kvctl")}
        for way, setup in ways.items():
            with Zsh(self.directory, *setup) as shell:
                for line, completed in cases.items():
                    with self.subTest(way=way, line=line):
                        self.assertEqual(shell.completed(line), completed)


if __name__ == "__main__":
    unittest.main()
