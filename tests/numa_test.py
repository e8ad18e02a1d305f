"""--numa-node and --numa auto: a real launcher over recorded /sys trees, pinned by CPU sets.

The trees say that each of this machine's processors is a node, so that two servers can be seen to
keep to one each.
"""
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import grpc

from kvserver import (BLOCK, MESSAGE_OPTIONS, Server, kvstore_pb2_grpc, lookup_request,
                      read_request, write_request)
from metrics import Metrics, free_port

CPUS = sorted(os.sched_getaffinity(0))
PATIENCE_S = 60
SMALL = ["--memory", "64MiB", "--capacity", "256MiB"]


def sys_tree(nodes, online=None):
    """A folder as /sys/devices/system/node: of node number -> its list of processors."""
    root = tempfile.mkdtemp(prefix="kvstore-nodes-")
    with open(os.path.join(root, "online"), "w") as file:
        file.write((online or ",".join(map(str, sorted(nodes)))) + "\n")
    for number, cpus in nodes.items():
        folder = os.path.join(root, f"node{number}")
        os.mkdir(folder)
        with open(os.path.join(folder, "cpulist"), "w") as file:
            file.write(f"{cpus}\n")
        with open(os.path.join(folder, "meminfo"), "w") as file:
            file.write(f"Node {number} MemTotal:       8388608 kB\n")
    return root


def ports_in_a_row(count):
    for _ in range(100):
        first = free_port()
        probes = []
        try:
            for i in range(count):
                probe = socket.socket()
                probes.append(probe)
                probe.bind(("127.0.0.1", first + i))
            return first
        except (OSError, OverflowError):
            continue
        finally:
            for probe in probes:
                probe.close()
    raise RuntimeError(f"no {count} free ports in a row")


def allowed(pid):
    """Which processors each thread of a process may run on."""
    sets = {}
    for status in glob.glob(f"/proc/{pid}/task/*/status"):
        try:
            with open(status) as file:
                text = file.read()
        except OSError:
            continue  # that thread has just ended
        name = re.search(r"^Name:\t(.*)", text).group(1)
        sets[status.split("/")[4], name] = re.search(r"Cpus_allowed_list:\t(.*)", text).group(1)
    return sets


def gone(pid):
    """Whether the process has ended; a zombie, which nobody may wait for here, has."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def until(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"in {PATIENCE_S} s not: {what}")


class Launcher:
    """`--numa auto` on a tree; `with` ends it."""

    def __init__(self, tree, *options, read_calls=True):
        self.tree, self.data_dir = tree, tempfile.mkdtemp(prefix="kvstore-numa-")
        self.port = ports_in_a_row(2)
        self.lines = {"stdout": [], "stderr": []}
        self.process = subprocess.Popen(
            [os.environ["KVSTORE_SERVER"], "--numa", "auto", "--numa-sysfs", tree, "--host",
             "127.0.0.1", "--port", str(self.port), "--data-dir", self.data_dir, *SMALL, *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.readers = [threading.Thread(target=self._read, args=(name,), daemon=True)
                        for name in self.lines if read_calls or name != "stdout"]
        for reader in self.readers:
            reader.start()

    def _read(self, name):
        for line in getattr(self.process, name):
            self.lines[name].append(line)

    def log(self):
        return "".join(self.lines["stderr"])

    def matches(self, pattern):
        return re.findall(pattern, self.log(), re.MULTILINE)

    def pids(self, node):
        """Of all processes that were started for it, in order."""
        return [int(pid) for pid in self.matches(rf"info server started node={node} pid=(\d+)")]

    def await_log(self, pattern, count=1):
        return until(lambda: len(self.matches(pattern)) >= count,
                     f"{count} times {pattern} in:\n{self.log()}")

    def await_up(self, servers=2):
        self.await_log(rf" launcher servers={servers} up={servers}$")

    def stub(self, i):
        channel = grpc.insecure_channel(f"127.0.0.1:{self.port + i}", options=MESSAGE_OPTIONS)
        return kvstore_pb2_grpc.KVStoreServiceStub(channel)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.wait()

    def wait(self):
        code = self.process.wait(PATIENCE_S)
        for reader in self.readers:
            reader.join(PATIENCE_S)
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()  # its servers end with it
            self.wait()
        started = [int(pid) for pid in self.matches(r"info server started node=\d+ pid=(\d+)")]
        until(lambda: all(gone(pid) for pid in started), "servers end with their launcher")
        self.process.stdout.close()
        self.process.stderr.close()
        shutil.rmtree(self.data_dir, ignore_errors=True)
        shutil.rmtree(self.tree, ignore_errors=True)


def write(stub, token):
    """Writes a block of that token and reads it back."""
    stub.Write(write_request([token] * BLOCK, 7, buffer=b"%d" % token), timeout=30)
    return read(stub, token)


def read(stub, token):
    found = stub.Lookup(lookup_request([token] * BLOCK, [7]), timeout=30)
    if found.cached_blocks == 0:
        return None
    return stub.Read(read_request(found.locations[0].location), timeout=30).chunk.buffer


class NodeTest(unittest.TestCase):
    def setUp(self):
        self.tree = sys_tree({0: CPUS[0], 2: CPUS[-1], 3: ""})
        self.addCleanup(shutil.rmtree, self.tree, ignore_errors=True)

    def fails(self, *options):
        with tempfile.TemporaryDirectory() as directory:
            result = subprocess.run(
                [os.environ["KVSTORE_SERVER"], "--port", "0", "--data-dir", directory,
                 "--numa-sysfs", self.tree, *options],
                capture_output=True, text=True, timeout=PATIENCE_S)
        self.assertNotEqual(result.returncode, 0, options)
        return result.stderr + result.stdout

    def test_every_thread_runs_on_the_nodes_processors(self):
        for node, cpu in ((0, CPUS[0]), (2, CPUS[-1])):
            with Server("--numa-node", str(node), "--numa-sysfs", self.tree,
                        "--metrics-port", str(free_port())) as server:
                self.assertEqual(write(server.stub(), 5), b"5")
                sets = allowed(server.process.pid)
                self.assertGreater(len(sets), 10)
                self.assertEqual(set(sets.values()), {str(cpu)}, sets)
                self.assertIn(f"pinned node={node} processors=1 ", "".join(server.log))
                # A quarter of the node's memory, or of the machine's if that is less.
                memory = int(re.search(r"memory_bytes=(\d+)", "".join(server.log)).group(1))
                self.assertLessEqual(memory, 2 << 30)
                self.assertEqual(server.stop(), 0)

    def test_memory_is_the_nodes(self):
        with open("/sys/devices/system/node/online") as file:
            node = re.match(r"\d+", file.read()).group()
        with Server("--numa-node", node, *SMALL) as server:
            if "memory=\"of the node\"" not in "".join(server.log):
                self.skipTest("no policy here: " + "".join(server.log))
            with open(f"/proc/{server.process.pid}/numa_maps") as file:
                self.assertIn(f"prefer:{node}", file.read())

    def test_says_which_nodes_there_are(self):
        self.assertIn("this machine has 0, 2, 3", self.fails("--numa-node", "1"))
        self.assertIn("widen the CPU set", self.fails("--numa-node", "3"))

    def test_options_that_cannot_be(self):
        self.assertIn("one of them", self.fails("--numa", "auto", "--numa-node", "0"))
        self.assertIn("--numa", self.fails("--numa", "maybe"))
        self.assertIn("--numa-node", self.fails("--numa-node", "-1"))
        self.assertIn("at least 3", self.fails("--threads", "2"))
        self.assertIn("16MiB is the least", self.fails("--numa", "auto", "--capacity", "17MiB"))
        self.assertIn("take 65534 or less", self.fails("--numa", "auto", "--port", "65535"))


class ThreadsTest(unittest.TestCase):
    def counted(self, *options):
        with Server(*SMALL, *options) as server:
            server.stub().Lookup(lookup_request([1] * BLOCK))
            until(lambda: " threads queues=" in "".join(server.log), "the line on threads")
            names = [name for _, name in allowed(server.process.pid)]
            said = re.search(r" threads (.*)", "".join(server.log)).group(1)
            self.assertEqual(server.stop(), 0)
            return said, names.count("kv-read"), names.count("kv-write")

    def test_bounds_all_pools_together(self):
        self.assertEqual(self.counted("--threads", "8"),
                         ("queues=1 http=0 disk_reads=6 disk_writes=1", 6, 1)
                         if len(CPUS) < 4 else
                         ("queues=2 http=0 disk_reads=5 disk_writes=1", 5, 1))

    @unittest.skipIf(len(CPUS) != 2, "says what it is on two processors")
    def test_by_the_processors(self):
        self.assertEqual(self.counted(), ("queues=1 http=0 disk_reads=10 disk_writes=2", 10, 2))


class AutoTest(unittest.TestCase):
    def test_on_one_node_it_runs_one_server_itself(self):
        tree = sys_tree({0: f"{CPUS[0]}-{CPUS[-1]}", 1: ""})  # and memory alone
        with Launcher(tree) as launcher:
            launcher.await_log(rf" serving host=127.0.0.1 port={launcher.port} ")
            self.assertEqual(write(launcher.stub(0), 5), b"5")
            self.assertNotIn("launcher", launcher.log())
            self.assertNotIn("[node", launcher.log())
            self.assertTrue(os.path.exists(os.path.join(launcher.data_dir, "FORMAT")))
            self.assertEqual(launcher.stop(), 0)

    def test_without_nodes_it_runs_one_server_itself(self):
        with Launcher(tempfile.mkdtemp(prefix="kvstore-nodes-")) as launcher:
            launcher.await_log(r" serving ")
            self.assertIn("no NUMA nodes, one server", launcher.log())
            self.assertEqual(launcher.stop(), 0)


@unittest.skipIf(len(CPUS) < 2, "needs two processors")
class LauncherTest(unittest.TestCase):
    def start(self, *options):
        launcher = Launcher(sys_tree({0: CPUS[0], 1: CPUS[1], 4: ""}), *options)
        self.addCleanup(launcher.__exit__)
        launcher.await_up()
        return launcher

    def test_two_servers_on_a_node_each(self):
        launcher = self.start("--threads", "16")
        for node in range(2):
            self.assertEqual(write(launcher.stub(node), 10 + node), b"%d" % (10 + node))
            [pid] = launcher.pids(node)
            sets = allowed(pid)
            self.assertGreater(len(sets), 5)
            self.assertEqual(set(sets.values()), {str(CPUS[node])}, sets)
            names = [name for _, name in sets]
            self.assertEqual((names.count("kv-read"), names.count("kv-write")), (6, 1), names)
            launcher.await_log(rf"^\[node {node}\] .* serving .*port={launcher.port + node} .*"
                               rf"capacity_bytes={128 << 20} memory_bytes={32 << 20} ")
            self.assertTrue(os.path.exists(f"{launcher.data_dir}/node{node}/FORMAT"))
        self.assertIsNone(read(launcher.stub(0), 11), "each has its own blocks")
        self.assertEqual(len(set(allowed(launcher.process.pid).values())), 1)
        self.assertEqual(launcher.stop(), 0)
        for line in launcher.lines["stdout"]:
            self.assertRegex(line, r"^\[node [01]\] \{.*\}$")
        self.assertGreater(len(launcher.lines["stdout"]), 4)
        for line in launcher.lines["stderr"]:
            self.assertRegex(line, r"^(\[node [01]\] )?\d{4}-\d\d-\d\dT[\d:.]+Z (info|error) ")
        for node in range(2):
            self.assertEqual(len(launcher.matches(rf"^\[node {node}\] .* info stopped$")), 1)
        self.assertRegex(launcher.lines["stderr"][-1], "info launcher stopped$")

    def test_one_that_dies_comes_back_and_the_other_never_stops(self):
        metrics = ports_in_a_row(3)
        launcher = self.start("--metrics-port", str(metrics))
        health = metrics + 2
        self.assertEqual(Metrics(health)("launcher_servers", state="up"), 2)
        stub = launcher.stub(0)
        self.assertEqual(write(stub, 5), b"5")
        failures, reads, stop = [], [0], threading.Event()

        def keep_reading(other=launcher.stub(1)):
            write(other, 6)
            while not stop.is_set():
                try:
                    if read(other, 6) != b"6":
                        failures.append("wrong")
                except grpc.RpcError as error:
                    failures.append(error)
                reads[0] += 1

        reader = threading.Thread(target=keep_reading)
        reader.start()
        self.addCleanup(reader.join, PATIENCE_S)
        self.addCleanup(stop.set)
        for kills in range(1, 4):
            os.kill(launcher.pids(0)[-1], signal.SIGKILL)
            launcher.await_log(r" server ended node=0 pid=\d+ how=\"signal 9\"", kills)
            launcher.await_log(r" launcher servers=2 up=1$", kills + 1)  # one at the start
            launcher.await_log(r" launcher servers=2 up=2$", kills + 1)
            self.assertEqual(read(launcher.stub(0), 5), b"5", "it has what it had")
        stop.set()
        reader.join(PATIENCE_S)
        self.assertEqual(failures, [])
        self.assertGreater(reads[0], 10)
        self.assertEqual(launcher.matches(r"starts again node=0 in_ms=(\d+)"),
                         ["100", "200", "400"])
        self.assertEqual(len(launcher.pids(0)), 4)
        self.assertEqual(len(launcher.pids(1)), 1)
        after = Metrics(health)
        self.assertEqual(after("launcher_servers", state="up"), 2)
        self.assertEqual(after("launcher_servers", state="down"), 0)
        self.assertEqual(after("launcher_restarts_total", node="0"), 3)
        self.assertEqual(after("launcher_restarts_total", node="1"), 0)
        for node in range(2):
            self.assertIsNotNone(Metrics(metrics + node)("ram_capacity_bytes"))
        self.assertEqual(launcher.stop(signal.SIGINT), 0)

    def test_one_that_cannot_start_is_tried_again_and_a_stop_ends_that(self):
        launcher = Launcher(sys_tree({0: CPUS[0], 1: CPUS[1]}))
        self.addCleanup(launcher.__exit__)
        launcher.await_up()
        os.kill(launcher.pids(1)[0], signal.SIGTERM)
        launcher.await_log(r" server ended node=1 .* how=\"exit code 0\"")
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind(("127.0.0.1", launcher.port + 1))
                taken.listen()
            except OSError:
                self.skipTest("the server was back already")
            launcher.await_log(r"^\[node 1\] .* error failed cannot listen on ", 2)
            self.assertEqual(write(launcher.stub(0), 5), b"5")
            self.assertEqual(launcher.stop(), 0)

    def test_reload_is_passed_on(self):
        launcher = self.start()
        launcher.process.send_signal(signal.SIGHUP)
        for node in range(2):
            launcher.await_log(rf"^\[node {node}\] .* info nothing to read again")
        self.assertEqual(launcher.stop(), 0)

    def test_servers_end_with_a_launcher_that_is_killed(self):
        launcher = self.start()
        pids = launcher.pids(0) + launcher.pids(1)
        self.assertEqual(len(pids), 2)
        launcher.process.kill()
        launcher.process.wait(PATIENCE_S)
        until(lambda: all(gone(pid) for pid in pids), "the servers end")

    def test_nobody_reads_the_calls_and_all_stop_the_same(self):
        with Launcher(sys_tree({0: CPUS[0], 1: CPUS[1]}), read_calls=False) as launcher:
            launcher.await_up()
            stubs = [launcher.stub(0), launcher.stub(1)]
            request = lookup_request([1] * BLOCK)
            for _ in range(8):  # some 300 bytes a call, against two pipes' 128 KiB
                calls = [stubs[i % 2].Lookup.future(request, timeout=30) for i in range(200)]
                for call in calls:
                    call.result()
            self.assertEqual(launcher.stop(), 0)
            self.assertIn("nobody reads the console", launcher.log())

    def test_a_stop_while_they_start(self):
        with Launcher(sys_tree({0: CPUS[0], 1: CPUS[1]})) as launcher:
            launcher.await_log(r" server started node=1 ")
            self.assertEqual(launcher.stop(), 0)

    def test_a_second_signal_ends_all_at_once(self):
        launcher = self.start()
        pids = launcher.pids(0) + launcher.pids(1)
        os.kill(pids[0], signal.SIGSTOP)  # so that it cannot end well
        launcher.process.send_signal(signal.SIGTERM)
        launcher.await_log(r" server ended node=1 .* how=\"exit code 0\"")
        self.assertIsNone(launcher.process.poll(), "it waits for the other one")
        launcher.process.send_signal(signal.SIGTERM)
        os.kill(pids[0], signal.SIGCONT)
        self.assertIn(launcher.wait(), (0, 1))
        self.assertTrue(all(gone(pid) for pid in pids))


if __name__ == "__main__":
    unittest.main()
