"""What is measured, and the bars it is held against."""
import dataclasses
from dataclasses import dataclass, field

BLOCK = 1_258_291
# A block's size, its name, and how many different ones are read: more than the caches hold.
SIZES = {"64KiB": (65_536, 64), "1.2MB": (BLOCK, 64), "8MB": (8_000_000, 16),
         "40MB": (40_000_000, 4)}
IN_FLIGHT = [1, 4, 8, 32]
LOOKUP_BYTES = 64  # of a block that only Lookups are after
MOST_WRITTEN = 500_000_000  # bytes a sample, so that a long run fits on the disk


@dataclass
class Case:
    """One workload, which all of its contenders do in turn."""
    name: str
    op: str
    size: str
    bytes: int
    blocks: int
    in_flight: int
    contenders: list
    seconds: float = 1.0
    warmup: float = 0.2
    max_ops: int = 0
    rounds: int = 5
    cold: bool = False  # read from the disk, not from the page cache
    prepared: int = 0   # blocks that are stored before, where that is not `blocks`


@dataclass
class Group:
    """Cases that share their servers, which live as long as the group runs."""
    name: str
    cases: list = field(default_factory=list)


@dataclass
class Bar:
    """`ours` must reach `least` times `other` in the case."""
    name: str
    case: str
    ours: str
    other: str
    least: float


READ, WRITE, BATCH = "read 1.2MB x8", "write 1.2MB x8", "write durably 1.2MB x8"
STREAM, DISK, LOOKUP = "stream 64 x 1.2MB x1", "read disk 1.2MB x8", "lookup 64 x8"

BARS = [
    Bar("Read 1.2 MB x 8 : bare gRPC", READ, "ours", "raw", 0.90),
    Bar("Read 1.2 MB x 8 : Redis GET", READ, "ours", "redis", 1.0),
    Bar("Read 1.2 MB x 8 : protobuf by default", READ, "ours", "protobuf", 2.5),
    Bar("StreamingRead of 64 : bare stream", STREAM, "ours", "raw", 0.90),
    Bar("Write 1.2 MB x 8, none : bare gRPC", WRITE, "ours full", "raw", 0.85),
    Bar("Write 1.2 MB x 8, none : Redis SET", WRITE, "ours full", "redis", 1.0),
    Bar("Write 1.2 MB x 8, none, not full yet : bare gRPC", WRITE, "ours", "raw", 0.85),
    Bar("Write 1.2 MB x 8, none, not full yet : Redis SET", WRITE, "ours", "redis", 1.0),
    Bar("Write 1.2 MB x 8, batch : file loop", BATCH, "ours batch", "file loop", 0.8),
    Bar("Write 1.2 MB x 8, batch : Redis AOF", BATCH, "ours batch", "redis aof", 3.0),
    Bar("Lookup of 64 x 8 : bare echo", LOOKUP, "ours", "raw", 0.7),
    Bar("Lookup of 64 x 8 : protobuf by default", LOOKUP, "ours", "protobuf", 1.2),
]


def bar_cases(rounds):
    """Those that a bar is for, with those it names."""
    block = dict(size="1.2MB", bytes=BLOCK, rounds=rounds)
    written = MOST_WRITTEN // BLOCK
    return {
        "reads": [Case(READ, "read", blocks=64, in_flight=8,
                       contenders=["ours", "raw", "redis", "protobuf"], **block)],
        "streams": [Case(STREAM, "stream", blocks=64, in_flight=1, contenders=["ours", "raw"],
                         **block)],
        "lookups": [Case(LOOKUP, "lookup", "64", LOOKUP_BYTES, 64, 8,
                         ["ours", "raw", "protobuf"], rounds=rounds)],
        "writes": [Case(WRITE, "write", blocks=64, in_flight=8, max_ops=written,
                        contenders=["ours full", "raw", "redis", "ours"], **block)],
        "durable writes": [Case(BATCH, "write", blocks=1000, in_flight=8, max_ops=written,
                                contenders=["ours batch", "file loop", "redis aof"], **block)],
        # No block twice a sample.
        "disk": [Case(DISK, "read", blocks=800, in_flight=8, max_ops=750, warmup=0, cold=True,
                      contenders=["ours disk", "file loop", "ours", "raw"], **block)],
    }


def matrix(cases):
    """All sizes, depths and contenders; what a bar is for keeps its longer time."""
    others = ["raw", "redis", "protobuf", "tcp", "memcached"]
    short = dict(seconds=0.5, warmup=0.15)
    for op, names in (("read", ["ours", *others, "nginx"]),
                      ("write", ["ours full", *others, "ours"])):
        for size, (size_bytes, blocks) in SIZES.items():
            for depth in IN_FLIGHT:
                most = max(MOST_WRITTEN // size_bytes, 2 * depth) if op == "write" else 0
                add(cases[op + "s"], Case(f"{op} {size} x{depth}", op, size, size_bytes, blocks,
                                          depth, names, max_ops=most, **short))
    add(cases["streams"], Case("stream 64 x 1.2MB x2", "stream", "1.2MB", BLOCK, 64, 2,
                               ["ours", "raw"]))
    for blocks in (8, 94, 1000):
        for depth in (1, 8, 64):
            add(cases["lookups"], Case(f"lookup {blocks} x{depth}", "lookup", str(blocks),
                                       LOOKUP_BYTES, blocks, depth, ["ours", "raw", "protobuf"],
                                       prepared=1000, **short))


def add(cases, case):
    """Where a bar's case has that name, that one gets the further contenders."""
    for known in cases:
        if known.name == case.name:
            known.contenders = case.contenders
            return
    cases.append(case)


def groups(quick, only):
    """`only`: a compiled pattern that a case's name must match, or none."""
    cases = bar_cases(rounds=5 if quick else 9)
    if not quick:
        matrix(cases)
    result = []
    for name, members in cases.items():
        chosen = [case for case in members if only is None or only.search(case.name)]
        if chosen:
            result.append(Group(name, chosen))
    return result


def as_json(case):
    return dataclasses.asdict(case)
