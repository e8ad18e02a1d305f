"""Servers that share a container, each a host of its own on a network with a round-trip time: network
namespaces, joined by a bridge in that of the clients, with netem on every link. Needs root."""
import ctypes
import os
import re
import subprocess
import sys
import threading
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests"))
from azurite import Azurite  # noqa: E402

CLIENT_ADDRESS = "10.77.0.1"
PORT, METRICS_PORT = 50051, 9464
START_TIMEOUT_S, STOP_TIMEOUT_S = 60, 30
CLONE_NEWNET = 0x40000000
# What a path of 20 ms at 20 Gbit/s holds; docs/OPERATIONS.md tells operators the same.
SYSCTLS = {"net/ipv4/tcp_rmem": "4096 131072 67108864", "net/ipv4/tcp_wmem": "4096 131072 67108864",
           "net/ipv4/tcp_slow_start_after_idle": "0"}


def run(*command):
    subprocess.run(command, check=True, capture_output=True, text=True)


def enter_namespace(name):
    """For this thread and what it starts."""
    with open(f"/var/run/netns/{name}") as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


def tune(namespace):
    for name, value in SYSCTLS.items():
        run("ip", "netns", "exec", namespace, "sh", "-c", f"echo {value} > /proc/sys/{name}")


class Network:
    """Makes the clients' namespace and one for each server; this process enters the clients'."""

    def __init__(self, servers):
        name = f"kvscale-{os.getpid()}"
        self.clients = f"{name}-c"
        self.hosts = [f"{name}-{i}" for i in range(servers)]
        self.made = []
        try:
            self._make()
        except BaseException:
            self.remove()
            raise

    def _make(self):
        for namespace in (self.clients, *self.hosts):
            run("ip", "netns", "add", namespace)
            self.made.append(namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
            tune(namespace)
        run("ip", "-n", self.clients, "link", "add", "bridge", "type", "bridge")
        run("ip", "-n", self.clients, "addr", "add", CLIENT_ADDRESS + "/24", "dev", "bridge")
        run("ip", "-n", self.clients, "link", "set", "bridge", "up")
        for i, host in enumerate(self.hosts):
            run("ip", "link", "add", f"to{i}", "netns", self.clients, "type", "veth",
                "peer", "name", "net", "netns", host)
            run("ip", "-n", self.clients, "link", "set", f"to{i}", "master", "bridge", "up")
            run("ip", "-n", host, "addr", "add", self.address(i) + "/24", "dev", "net")
            run("ip", "-n", host, "link", "set", "net", "up")
        enter_namespace(self.clients)

    @staticmethod
    def address(server):
        return f"10.77.0.{10 + server}"

    def set_rtt(self, milliseconds):
        """Half of it each way."""
        for i, host in enumerate(self.hosts):
            for namespace, device in ((self.clients, f"to{i}"), (host, "net")):
                subprocess.run(["tc", "-n", namespace, "qdisc", "del", "dev", device, "root"],
                               capture_output=True)
                if milliseconds > 0:
                    run("tc", "-n", namespace, "qdisc", "add", "dev", device, "root", "netem",
                        "delay", f"{milliseconds * 500}us", "limit", "100000")

    def remove(self):
        for namespace in self.made:
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True)


class Server:
    """One host's KVStoreServer over the container at `storage`."""

    def __init__(self, network, number, program, storage):
        self.number = number
        self.name = f"{network.address(number)}:{PORT}"
        self.log = []
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", network.hosts[number], program, "--storage", "azure",
             "--port", str(PORT), "--memory", "512MiB", "--metrics-port", str(METRICS_PORT),
             "--metrics-host", "0.0.0.0", "--disable-metrics"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "AZURE_STORAGE_CONNECTION_STRING": storage})
        self.started = threading.Event()
        self.up = False
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if not self.started.wait(START_TIMEOUT_S) or not self.up:
            self.kill()
            raise RuntimeError("the server did not start:\n" + "".join(self.log))

    def _read(self):
        for line in self.process.stderr:
            self.log.append(line)
            if " serving " in line:
                self.up = True
                self.started.set()
        self.started.set()

    def metric(self, name):
        """The sum of what it says under that name; labels as they come."""
        url = f"http://{self.name.split(':')[0]}:{METRICS_PORT}/metrics"
        with urllib.request.urlopen(url, timeout=20) as answer:
            text = answer.read().decode()
        values = re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        return sum(float(value) for value in values)

    def _end(self):
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join()
        self.process.stderr.close()

    def kill(self):
        self.process.kill()
        self._end()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self._end()


class Fleet:
    """`with` ends all of it."""

    def __init__(self, servers, program):
        self.servers, self.azurite, self.network = [], None, None
        try:
            self.network = Network(servers)
            self.azurite = Azurite(host=CLIENT_ADDRESS, port=10000)
            for i in range(servers):
                self.start(i, program)
        except BaseException:
            self.__exit__()
            raise

    def start(self, number, program):
        server = Server(self.network, number, program, self.azurite.connection_string())
        self.servers[number:number + 1] = [server]

    def names(self, without=()):
        return ",".join(server.name for server in self.servers if server.number not in without)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.stop()
        if self.azurite:
            self.azurite.stop()
        if self.network:
            self.network.remove()
