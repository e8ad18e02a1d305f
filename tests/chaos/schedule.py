"""The faults of a chaos run, all of them from its seed."""
import random
from dataclasses import dataclass

WARM_UP_S = 12
QUIET_S = 15  # at the end: the last fault's recovery belongs to the run
SHORTEST_S, LONGEST_S = 4, 12  # of a fault
LEAST_GAP_S, MOST_GAP_S = 8, 14  # in which recovery is seen
OVERLAP = 0.25  # share of faults that begin while the one before lasts
DELAYS_MS = (5, 20, 100, 400)  # round trips
JUMPS_S = (-3600, -600, -30, 30, 600, 3600, 86400)
WAYS = ("both", "in", "out")  # what a partition loses, seen from the server

# Of each kind: whom it befalls. "disk" are the servers that have one of their own.
KINDS = {
    "kill_server": "server", "stop_server": "server", "full_disk": "disk", "clock_jump": "server",
    "delay_clients": "server", "partition_clients": "server",
    "delay_storage": "server", "partition_storage": "server",
    "restart_azurite": "azurite", "stop_azurite": "azurite", "kill_client": "client",
}


@dataclass(frozen=True)
class Fault:
    at: float        # seconds from the run's start
    kind: str
    victim: int      # server's or client's number; 0 for Azurite
    duration: float  # seconds
    detail: object = None

    def what(self):
        whom = "azurite" if KINDS[self.kind] == "azurite" else \
            f"{'client' if self.kind == 'kill_client' else 'server'} {self.victim}"
        return f"{self.kind} {whom}" + (f" {self.detail}" if self.detail is not None else "")


def _detail(chance, kind):
    if kind.startswith("delay"):
        return f"{chance.choice(DELAYS_MS)} ms"
    if kind.startswith("partition"):
        return chance.choice(WAYS)
    if kind == "clock_jump":
        return f"{chance.choice(JUMPS_S):+d} s"
    return None


def make(seed, seconds, servers, disks, clients):
    """The same list for the same arguments. `disks` are the numbers of servers with disks. Every kind
    comes before any comes again; one process or link has one fault at a time."""
    chance = random.Random(seed)
    faults, deck = [], []
    at = float(WARM_UP_S)
    while True:
        if not deck:
            deck = sorted(kind for kind, whom in KINDS.items() if whom != "disk" or disks)
            chance.shuffle(deck)
        kind = deck.pop()
        whom = KINDS[kind]
        victim = {"server": lambda: chance.randrange(servers), "disk": lambda: chance.choice(disks),
                  "azurite": lambda: 0, "client": lambda: chance.randrange(clients)}[whom]()
        duration = round(chance.uniform(SHORTEST_S, LONGEST_S), 1)
        before = faults[-1] if faults else None
        overlaps = chance.random() < OVERLAP
        gap = chance.uniform(LEAST_GAP_S, MOST_GAP_S)
        detail = _detail(chance, kind)
        if before:
            ended = max(fault.at + fault.duration for fault in faults)
            same = (KINDS[before.kind] == whom or {KINDS[before.kind], whom} == {"server", "disk"}) \
                and before.victim == victim
            running = sum(fault.at + fault.duration > before.at for fault in faults)
            if overlaps and not same and running == 1:
                at = before.at + before.duration / 2
            else:
                at = ended + gap
        if at + duration > seconds - QUIET_S:
            return faults
        faults.append(Fault(round(at, 1), kind, victim, duration, detail))
