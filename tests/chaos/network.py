"""A network of the chaos run: a namespace for the clients, one for the storage, one for each server, and
a link that can be slow or lossy (benchmarks/scale/delay_link.cc) from every server to both. Needs root."""
import os
import subprocess
import sys

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(SOURCE, "tests"))
import processes  # noqa: E402

CLIENTS, STORAGE = "10.78.0.1", "10.78.1.1"
MTU = 16000
STOP_TIMEOUT_S = 10


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Link:
    """From a hub's namespace to a server's, on the loss and delay last set."""

    def __init__(self, program, hub, hub_address, host, host_address, device):
        self.process = subprocess.Popen(
            [program, hub, f"{device}-{host[-1]}", host, device], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, start_new_session=True)
        if self.process.stdout.readline() != "ready\n":
            self.remove()
            raise RuntimeError("delay_link did not start")
        for namespace, name, own, peer in ((hub, f"{device}-{host[-1]}", hub_address, host_address),
                                           (host, device, host_address, hub_address)):
            ip("-n", namespace, "addr", "add", own, "peer", peer, "dev", name)
            ip("-n", namespace, "link", "set", name, "mtu", str(MTU), "txqueuelen", "10000", "up")

    def set(self, rtt_ms=0, to_server_lost=False, from_server_lost=False):
        self.process.stdin.write(f"{rtt_ms * 500} {int(to_server_lost)} {int(from_server_lost)}\n")
        self.process.stdin.flush()

    def remove(self):
        try:
            self.process.stdin.close()
        except OSError:
            pass  # it has died, and said why
        processes.end(self.process, STOP_TIMEOUT_S)
        self.process.stdout.close()


class Network:
    def __init__(self, servers, programs):
        self.name = f"kvchaos-{os.getpid()}"
        self.made, self.to_clients, self.to_storage = [], [], []
        try:
            self._make(servers, os.path.join(programs, "delay_link"))
        except BaseException:
            self.remove()
            raise

    def _make(self, servers, program):
        hubs = {"clients": CLIENTS, "storage": STORAGE}
        for namespace in (*map(self.namespace, hubs), *map(self.namespace, range(servers))):
            ip("netns", "add", namespace)
            self.made.append(namespace)
            ip("-n", namespace, "link", "set", "lo", "up")
        for hub, address in hubs.items():
            ip("-n", self.namespace(hub), "addr", "add", address + "/32", "dev", "lo")
        for i in range(servers):
            self.to_clients.append(Link(program, self.namespace("clients"), CLIENTS,
                                        self.namespace(i), self.address(i), "net"))
            self.to_storage.append(Link(program, self.namespace("storage"), STORAGE,
                                        self.namespace(i), f"10.78.1.{10 + i}", "blob"))

    def namespace(self, which):
        return f"{self.name}-{which}"

    def inside(self, which):
        """What a command begins with that is to run there."""
        return ["ip", "netns", "exec", self.namespace(which)]

    @staticmethod
    def address(server):
        return f"10.78.0.{10 + server}"

    def remove(self):
        for link in (*self.to_clients, *self.to_storage):
            link.remove()
        for namespace in self.made:
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True)
