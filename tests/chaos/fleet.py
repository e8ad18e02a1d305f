"""What a chaos run torments: servers on one Azurite, and clients. Needs root."""
import ctypes
import errno
import os
import signal
import subprocess
import sys

from network import SOURCE, STORAGE, Network

sys.path.insert(0, os.path.join(SOURCE, "tests"))
import processes  # noqa: E402
from azurite import Azurite  # noqa: E402

PORT, STORAGE_PORT = 50051, 10000
STOP_TIMEOUT_S = 60
CACHE_BYTES, CACHE_CAPACITY = 128 << 20, "64MiB"
MEMORY = "96MiB"
# Of each server: how it keeps blocks beside its RAM.
SERVERS = ("", "cache", "cache, write-back")
DISKS = tuple(i for i, kind in enumerate(SERVERS) if "cache" in kind)
FILL_PIECE = 1 << 20


def die_with_parent():
    """SIGTERM when the driver dies, however it does."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Process:
    """One that is expected to run until we end it."""

    def __init__(self, command, log, environment=None, **options):
        with open(log, "ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output,
                                            env={**os.environ, **(environment or {})},
                                            start_new_session=True, preexec_fn=die_with_parent,
                                            **options)
        self.ours_to_end = False

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.ours_to_end = True
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.ours_to_end = True
        self.process.send_signal(signal.SIGCONT)
        processes.end(self.process, STOP_TIMEOUT_S)

    def died(self):
        return not self.ours_to_end and self.process.poll() is not None


class Server:
    def __init__(self, fleet, number):
        self.fleet, self.number = fleet, number
        self.name = f"{Network.address(number)}:{PORT}"
        self.log = os.path.join(fleet.directory, f"server-{number}.log")
        self.cache = os.path.join(fleet.directory, f"cache-{number}") if number in DISKS else None
        self.clock = os.path.join(fleet.directory, f"clock-{number}")
        self.filling = None
        self.set_clock(0)
        if self.cache:
            os.mkdir(self.cache)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={CACHE_BYTES}", "kvchaos", self.cache],
                           check=True)
        self.start()

    def start(self):
        options = []
        if self.cache:
            options += ["--cache-dir", os.path.join(self.cache, "blocks"), "--cache-capacity",
                        CACHE_CAPACITY]
        if "write-back" in SERVERS[self.number]:
            options.append("--write-back")
        programs = self.fleet.programs
        self.process = Process(
            [*self.fleet.network.inside(self.number), os.path.join(programs, "KVStoreServer"),
             "--storage", "azure", "--host", "0.0.0.0", "--port", str(PORT), "--memory", MEMORY,
             "--disable-metrics", "--disable-multi-nic", *options], self.log,
            {"AZURE_STORAGE_CONNECTION_STRING": self.fleet.connection_string,
             "LD_PRELOAD": os.path.join(programs, "clock_shim.so"), "KV_CLOCK_OFFSET": self.clock},
            cwd=self.fleet.directory)

    def set_clock(self, seconds):
        # In place, since the server has it mapped.
        with open(self.clock, "r+b" if os.path.exists(self.clock) else "wb") as file:
            file.write((seconds * 10**9).to_bytes(8, "little", signed=True))

    def fill_disk(self):
        self.filling = os.path.join(self.cache, "filling")
        with open(self.filling, "wb", buffering=0) as file:
            piece = FILL_PIECE
            while piece:
                try:
                    file.write(bytes(piece))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    piece //= 2

    def free_disk(self):
        os.remove(self.filling)

    def remove(self):
        self.process.stop()
        if self.cache:
            subprocess.run(["umount", "-l", self.cache], check=True)


class Fleet:
    """`with` ends all of it, each by its process."""

    def __init__(self, directory, programs, seed, clients, threads, pause_ms):
        self.directory, self.programs, self.seed = directory, programs, seed
        self.threads, self.pause_ms = threads, pause_ms
        self.network, self.azurite, self.probe = None, None, None
        self.servers, self.clients, self.generations = [], [None] * clients, [0] * clients
        self.killed = set()  # clients' names
        try:
            self.network = Network(len(SERVERS), programs)
            self.start_azurite()
            self.connection_string = self.azurite.connection_string()
            for number in range(len(SERVERS)):
                self.servers.append(Server(self, number))
            self.probe = self._client("probe", "probe", self.names())
            for number in range(clients):
                self.start_client(number)
        except BaseException:
            self.__exit__()
            raise

    def start_azurite(self):
        self.azurite = Azurite(directory=os.path.join(self.directory, "azurite"), host=STORAGE,
                               port=STORAGE_PORT, prefix=self.network.inside("storage"))

    def names(self):
        return ",".join(server.name for server in self.servers)

    def history(self, name):
        return os.path.join(self.directory, f"{name}.history")

    def _client(self, mode, name, servers, *options, **popen):
        return Process(
            [*self.network.inside("clients"), os.path.join(self.programs, "chaos_client"), mode,
             "--name", name, "--servers", servers, "--resource", self.azurite.endpoint,
             "--container", "chaos", "--history", self.history(name), "--seed", str(self.seed),
             *options], os.path.join(self.directory, f"{name}.log"), **popen)

    def client_name(self, number):
        return f"client-{number}-{self.generations[number]}"

    def start_client(self, number):
        self.clients[number] = self._client(
            "load", self.client_name(number), self.names(), "--client", str(number), "--clients",
            str(len(self.clients)), "--threads", str(self.threads), "--pause-ms", str(self.pause_ms))

    def kill_client(self, number):
        self.clients[number].kill()
        self.killed.add(self.client_name(number))
        self.generations[number] += 1

    def stop_clients(self):
        running = [client for client in (*self.clients, self.probe) if client]
        for client in running:
            client.ours_to_end = client.ours_to_end or not client.died()
            client.process.send_signal(signal.SIGTERM)
        for client in running:
            client.stop()

    def verify(self, server, prompts, round_number, timeout_s):
        """Reads these prompts through one server, as the history will tell."""
        lines = "".join(f"{kind} {owner} {number} {blocks}\n"
                        for (kind, owner, number), blocks in sorted(prompts.items()))
        name = f"final-{server}-{round_number}"
        process = self._client("verify", name, self.servers[server].name, "--client", str(server),
                               stdin=subprocess.PIPE).process
        try:
            process.communicate(lines.encode(), timeout=timeout_s)
        finally:
            processes.end(process, STOP_TIMEOUT_S)
        return self.history(name)

    def died(self):
        """Who has ended by itself."""
        named = [(f"server {s.number}", s.process) for s in self.servers]
        named += [(f"client {i}", c) for i, c in enumerate(self.clients) if c]
        named += [("probe", self.probe)] if self.probe else []
        found = [f"{name} ended by itself, code {process.process.returncode}"
                 for name, process in named if process.died()]
        if self.azurite and self.azurite.process.poll() is not None:
            found.append("Azurite is down")
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in (*self.clients, self.probe):
            if client:
                client.stop()
        for server in self.servers:
            server.remove()
        if self.azurite:
            self.azurite.process.send_signal(signal.SIGCONT)
            self.azurite.stop()
        if self.network:
            self.network.remove()
