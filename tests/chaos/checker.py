"""What a chaos run's history proves. Histories are those that history.h tells of: a "begin" and an
"end" for every operation, of all clients.

An operation: id, op (lookup, read, stream, prompt, single), phase (load, probe, final), keys (names of
blocks: equal names are equal blocks), prompt and first (what keys are the blocks of), timeout_ms; and
once it has ended: status, found (lookup), blocks (reads: a letter a key, 'o' right, 'm' not there, 'f'
failed, 'w' wrong bytes). Times are in nanoseconds of the machine's monotonic clock.
"""
import collections
import json

READS, WRITES = ("read", "stream"), ("prompt", "single")
SLACK_S = 5.0           # of a machine that is busy with servers, clients, and all links between them
MOST_MISSES_IN_A_ROW = 3
SHORT_TIMEOUT_MS = 1000  # reads with less are meant to end early
MOST_SHOWN = 10


class Operation(dict):
    @property
    def client(self):
        return self["id"].rsplit(".", 1)[0]

    @property
    def ended(self):
        return "end_t" in self

    @property
    def ok(self):
        """Did what it was asked to do; of reads, all blocks came."""
        return self.ended and self["status"] == "OK" and set(self.get("blocks", "")) <= {"o"}


def load(lines):
    """Operations in the order in which they began. A client that was killed may have left half a
    line; of what began before the first line nothing is told."""
    operations = {}
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry["e"] == "begin":
            operations[entry["id"]] = Operation(entry)
        elif operation := operations.get(entry["id"]):
            operation["end_t"] = entry["t"]
            operation.update({k: v for k, v in entry.items() if k not in ("e", "id", "t")})
    return sorted(operations.values(), key=lambda operation: operation["t"])


def wrong_bytes(operations):
    return [f"{op['id']} {op['op']}: wrong bytes for {key}"
            for op in operations if op["op"] in READS
            for key, letter in zip(op["keys"], op.get("blocks", "")) if letter == "w"]


def acknowledged(operations):
    """Blocks that some client was told are stored: {key: id of the first that was}."""
    keys = {}
    for op in operations:
        if op["op"] in WRITES and op.ended and op["status"] == "OK":
            for key in op["keys"]:
                keys.setdefault(key, op["id"])
    return keys


def prompts_to_verify(operations):
    """{(kind, owner, number): blocks} that cover all that was acknowledged."""
    prompts = {}
    for op in operations:
        if op["op"] in WRITES and op.ended and op["status"] == "OK":
            name = tuple(op["prompt"])
            prompts[name] = max(prompts.get(name, 0), op["first"] + len(op["keys"]))
    return prompts


def lost_writes(operations, servers):
    """Acknowledged blocks that a server did not give back at the end."""
    read = collections.defaultdict(set)
    for op in operations:
        if op["phase"] == "final" and op["op"] in READS:
            read[op["server"]].update(
                key for key, letter in zip(op["keys"], op.get("blocks", "")) if letter == "o")
    return [f"{key}, acknowledged by {writer}, was not read through server {server} at the end"
            for key, writer in acknowledged(operations).items()
            for server in range(servers) if key not in read[server]]


def hit_fail_loops(operations, most=MOST_MISSES_IN_A_ROW):
    """Blocks that a client found by Lookup and not by Read, over and over."""
    loops, row = [], collections.Counter()
    for op in operations:
        if op["op"] == "lookup" and op.ended and op["status"] == "OK":
            for key in op["keys"][op["found"]:]:
                row.pop((op.client, key), None)  # told as it is
        if op["op"] not in READS:
            continue
        for key, letter in zip(op["keys"], op.get("blocks", "")):
            at = (op.client, key)
            if letter == "m":
                row[at] += 1
                if row[at] == most + 1:
                    loops.append(f"{op['id']}: {key} was found and then not there, "
                                 f"{row[at]} times in a row")
            elif letter in "ow":
                row.pop(at, None)
    return loops


def hangs(operations, killed=(), slack_s=SLACK_S):
    """Operations that took longer than they may, or never ended though their client lived."""
    found = []
    for op in operations:
        may = op["timeout_ms"] / 1e3 + slack_s
        if not op.ended:
            if op.client not in killed:
                found.append(f"{op['id']} {op['op']} never ended")
        elif (took := (op["end_t"] - op["t"]) / 1e9) > may:
            found.append(f"{op['id']} {op['op']} took {took:.1f} s of {may:.1f} s")
    return found


def never_verified(operations, servers):
    """A verification that did not run proves nothing."""
    seen = {op["server"] for op in operations if op["phase"] == "final"}
    return [f"server {server} was not verified" for server in range(servers)
            if server not in seen and acknowledged(operations)]


def check(operations, servers, killed=()):
    """{what: violations}, all of which must be empty."""
    return {"wrong bytes": wrong_bytes(operations),
            "acknowledged writes lost": lost_writes(operations, servers),
            "servers not verified": never_verified(operations, servers),
            "hit/fail loops": hit_fail_loops(operations),
            "operations that hung": hangs(operations, killed)}


def _kind(op):
    return "write" if op["op"] in WRITES else "lookup" if op["op"] == "lookup" else "read"


def availability(operations, begin=0, end=float("inf")):
    """{kind: (good, all)} of the load's operations that ran in a time and were not meant to end early."""
    counts = {kind: [0, 0] for kind in ("lookup", "read", "write")}
    for op in operations:
        if op["phase"] != "load" or op["timeout_ms"] < SHORT_TIMEOUT_MS or not op.ended:
            continue
        if op["t"] <= end and op["end_t"] >= begin:
            counts[_kind(op)][0] += op.ok
            counts[_kind(op)][1] += 1
    return {kind: tuple(count) for kind, count in counts.items()}


def recovery(operations, ended, servers):
    """{kind: seconds} from a fault's end to the end of the first probe that began behind it and did
    well, at the slowest of these servers; None where there was none. "shared": a block that was
    written behind it through another server is found."""
    first = {(server, kind): None for server in servers
             for kind in ("lookup", "read", "write", "shared")}
    written = {}  # {key: server}
    for op in sorted((op for op in operations if op["phase"] == "probe" and op["t"] >= ended
                      and op.ok), key=lambda op: op["end_t"]):
        kind = _kind(op)
        if kind == "write":
            written.update((key, op["server"]) for key in op["keys"])
        elif kind == "lookup" and not op["found"]:
            continue
        elif kind == "lookup" and written.get(op["keys"][0], op["server"]) != op["server"]:
            kind = "shared"
        at = (op["server"], kind)
        if at in first and first[at] is None:
            first[at] = op["end_t"]
    result = {}
    for (_, kind), when in first.items():
        took = None if when is None else (when - ended) / 1e9
        if kind not in result or took is None or (result[kind] is not None and took > result[kind]):
            result[kind] = took
    return result
