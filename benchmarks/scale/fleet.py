"""Servers that share a container, each a host of its own at a round-trip time from the clients: network
namespaces, with a link that takes time from that of the clients to each. Needs root."""
import ctypes
import os
import re
import subprocess
import sys
import threading
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests"))
import processes  # noqa: E402
from azurite import Azurite  # noqa: E402

CLIENT_ADDRESS = "10.77.0.1"
PORT, METRICS_PORT = 50051, 9464
START_TIMEOUT_S, STOP_TIMEOUT_S = 60, 30
CLONE_NEWNET = 0x40000000
MTU = 65000  # so that links in user space carry gigabytes a second
# What a path of 20 ms at 20 Gbit/s holds, and blocks at once where a connection has been idle;
# docs/OPERATIONS.md tells operators the same.
SYSCTLS = {"net/ipv4/tcp_rmem": "4096 8388608 67108864", "net/ipv4/tcp_wmem": "4096 8388608 67108864",
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
    """Makes the clients' namespace and one for each server, with a link to each that takes time
    (delay_link.cc); this process enters the clients'."""

    def __init__(self, servers, programs):
        name = f"kvscale-{os.getpid()}"
        self.clients = f"{name}-c"
        self.hosts = [f"{name}-{i}" for i in range(servers)]
        self.made, self.links = [], []
        try:
            self._make(os.path.join(programs, "delay_link"))
        except BaseException:
            self.remove()
            raise

    def _make(self, program):
        for namespace in (self.clients, *self.hosts):
            run("ip", "netns", "add", namespace)
            self.made.append(namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
            tune(namespace)
        run("ip", "-n", self.clients, "addr", "add", CLIENT_ADDRESS + "/32", "dev", "lo")
        for i, host in enumerate(self.hosts):
            link = subprocess.Popen([program, self.clients, f"to{i}", host, "net"],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self.links.append(link)
            if link.stdout.readline() != "ready\n":
                raise RuntimeError("delay_link did not start")
            for namespace, device, own, peer in (
                    (self.clients, f"to{i}", CLIENT_ADDRESS, self.address(i)),
                    (host, "net", self.address(i), CLIENT_ADDRESS)):
                run("ip", "-n", namespace, "addr", "add", own, "peer", peer, "dev", device)
                run("ip", "-n", namespace, "link", "set", device, "mtu", str(MTU), "txqueuelen",
                    "10000", "up")
        enter_namespace(self.clients)

    @staticmethod
    def address(server):
        return f"10.77.0.{10 + server}"

    def set_rtt(self, milliseconds):
        """Half of it each way."""
        for link in self.links:
            link.stdin.write(f"{milliseconds * 500}\n")
            link.stdin.flush()

    def remove(self):
        for link in self.links:
            link.stdin.close()
            processes.end(link, STOP_TIMEOUT_S)
            link.stdout.close()
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

    def kill(self):
        self.process.kill()
        self.stop()

    def stop(self):
        processes.end(self.process, STOP_TIMEOUT_S)
        self.reader.join()
        self.process.stderr.close()


class Fleet:
    """`with` ends all of it."""

    def __init__(self, servers, programs):
        self.servers, self.azurite, self.network = [], None, None
        self.program = os.path.join(programs, "KVStoreServer")
        try:
            self.network = Network(servers, programs)
            self.azurite = Azurite(host=CLIENT_ADDRESS, port=10000)
            for i in range(servers):
                self.start(i)
        except BaseException:
            self.__exit__()
            raise

    def start(self, number):
        server = Server(self.network, number, self.program, self.azurite.connection_string())
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
