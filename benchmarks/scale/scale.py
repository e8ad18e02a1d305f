"""Fleets of 1 to 8 servers over one container, at round-trip times of 0 to 20 ms: correctness, balance,
what a change of the list moves, failover, throughput and load time. Started by scripts/run/scale.sh."""
import argparse
import json
import multiprocessing
import multiprocessing.pool
import os
import statistics
import subprocess
import sys
import tempfile
import time

from fleet import Fleet

BLOCK = 1_258_291
PROMPT = 94  # blocks
WORKERS, SMALL = 16, 4096  # partitions of the playground, and bytes of its blocks
RUN_TIMEOUT_S = 300
MOST_TO_MEAN = 1.25
MOST_CONNECTIONS, MOST_CLIENTS = 256, 32
LEFT_WITHIN_S = 1.0
ROUNDS = 5
BLOCKS = ("--bytes", str(BLOCK), "--blocks", str(PROMPT))
LOOKUPS = ("--op", "lookup", "--bytes", "64", "--blocks", str(PROMPT))


class Checks:
    def __init__(self):
        self.rows, self.failed = [], 0

    def add(self, what, value, bound, good):
        self.failed += not good
        self.rows.append({"what": what, "value": value, "bound": bound, "good": good})
        print(f"  {what:<58} {value:>12}  {bound:<14} {'ok' if good else 'MISSED'}", flush=True)


def playground(programs, data, servers, account, during=None, rounds=3, timeout_s=30):
    """Its report; `during` runs beside it."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "report.json")
        process = subprocess.Popen(
            [os.path.join(programs, "KVPlayground"), data, str(rounds), str(WORKERS),
             "--buffer-bytes", str(SMALL), "--server", servers, "--storage", account,
             "--timeout", str(timeout_s), "--json", path],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if during:
            during()
        try:
            output, _ = process.communicate(timeout=RUN_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
        if process.returncode not in (0, 1):
            raise RuntimeError(f"KVPlayground ended with {process.returncode}:\n{output}")
        with open(path) as file:
            return process.returncode, json.load(file), output


def bench(programs, servers, account, *options):
    result = subprocess.run(
        [os.path.join(programs, "bench_client"), "ours", servers, "--storage", account, *options],
        stdout=subprocess.PIPE, text=True, timeout=RUN_TIMEOUT_S, check=True).stdout
    return json.loads(result) if result.strip() else None


def counts(fleet, name):
    return [server.metric(name) for server in fleet.servers]


def delta(after, before):
    return [a - b for a, b in zip(after, before)]


def check_correctness(fleet, programs, data, checks):
    account = fleet.azurite.endpoint
    read = "kvstore_read_blocks_total"
    before = counts(fleet, read)
    code, report, output = playground(programs, data, fleet.names(), account)
    blocks = delta(counts(fleet, read), before)
    checks.add("playground: exit code", code, "0", code == 0)
    checks.add("playground: mismatches", report["mismatches"], "0", report["mismatches"] == 0)
    mean = sum(blocks) / len(blocks)
    ratio = max(blocks) / mean if mean else float("inf")
    checks.add(f"reads: max/mean of {int(sum(blocks))}", f"{ratio:.3f}", f"<= {MOST_TO_MEAN}",
               ratio <= MOST_TO_MEAN)
    if code != 0:
        print(output)


def check_moved(fleet, programs, data, checks):
    """Without one server only its blocks are fetched anew, by their next homes."""
    account, misses, read = fleet.azurite.endpoint, "kvstore_ram_misses_total", "kvstore_read_blocks_total"
    playground(programs, data, fleet.names(), account, rounds=1)
    gone = fleet.servers[-1].number
    before, reads_before = counts(fleet, misses), counts(fleet, read)
    playground(programs, data, fleet.names(without={gone}), account, rounds=1)
    missed = sum(delta(counts(fleet, misses), before))
    reads = sum(delta(counts(fleet, read), reads_before))
    share = missed / max(reads, 1)
    servers = len(fleet.servers)
    # Blocks are read once a round but for those that prompts share, and placed at random.
    checks.add("one server less: share of reads that went to a new home", f"{share:.3f}",
               f"<= 1.5/{servers}", 0 < share <= 1.5 / servers)


def check_failover(fleet, programs, data, checks):
    victim = fleet.servers[0]

    def kill():
        time.sleep(1.5)
        victim.kill()
    code, report, output = playground(programs, data, fleet.names(), fleet.azurite.endpoint, kill,
                                      rounds=10)
    fleet.start(0)
    checks.add("one server killed: exit code", code, "0", code == 0)
    checks.add("one server killed: mismatches", report["mismatches"], "0",
               report["mismatches"] == 0)
    longest = report["longest_call_us"] / 1e6
    checks.add("one server killed: longest call, s", f"{longest:.2f}", f"<= {LEFT_WITHIN_S} + call",
               longest <= LEFT_WITHIN_S + 1.0)
    if code != 0:
        print(output)


def established():
    lines = subprocess.run(["ss", "-Htn"], stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return sum(line.split()[4].endswith(":50051") for line in lines)


def check_connections(fleet, programs, checks):
    # Each is a process with memory of its own.
    clients = min(MOST_CONNECTIONS // (2 * len(fleet.servers)), MOST_CLIENTS)
    options = ("--op", "read", "--bytes", str(SMALL), "--blocks", "64", "--in-flight", "2",
               "--seconds", "8")
    bench(programs, fleet.names(), fleet.azurite.endpoint, *options, "--prepare")
    with multiprocessing.pool.ThreadPool(clients) as pool:
        running = [pool.apply_async(bench, (programs, fleet.names(), fleet.azurite.endpoint, *options))
                   for _ in range(clients)]
        connections = 0
        while not all(each.ready() for each in running):
            connections = max(connections, established())
            time.sleep(0.2)
        results = [each.get(RUN_TIMEOUT_S) for each in running]
    failures = sum(result["failures"] for result in results)
    checks.add(f"{clients} clients, {connections} connections: failed reads", failures, "0",
               failures == 0 and connections >= 0.9 * 2 * clients * len(fleet.servers))


def load_us(fleet, programs, rtt):
    """Of a Lookup and a StreamingRead of a prompt's blocks, medians of some seconds."""
    fleet.network.set_rtt(rtt)
    account = fleet.azurite.endpoint
    lookup = bench(programs, fleet.names(), account, *LOOKUPS, "--in-flight", "1", "--seconds",
                   "0.5", "--warmup", "0.5")
    stream = bench(programs, fleet.names(), account, "--op", "stream", *BLOCKS, "--in-flight", "1",
                   "--seconds", "2", "--warmup", "1.5")
    return lookup["p50_us"] + stream["p50_us"]


def measure(fleet, programs, rtts, depths, checks):
    """Load time of a prompt, and throughput, at each round-trip time."""
    account, rows = fleet.azurite.endpoint, []
    bench(programs, fleet.names(), account, "--op", "read", *BLOCKS, "--prepare")
    bench(programs, fleet.names(), account, *LOOKUPS, "--prepare", "--prompts", "8")
    for rtt in rtts:
        # In turn with what the transfer takes alone, since the machine's pace changes.
        pairs = [(load_us(fleet, programs, 0), load_us(fleet, programs, rtt)) for _ in range(ROUNDS)]
        at_home = statistics.median(near for near, _ in pairs)
        away = statistics.median(far for _, far in pairs)
        row = {"rtt_ms": rtt, "transfer_us": at_home, "load_us": away, "gb_per_s": {}}
        for depth in depths:
            result = bench(programs, fleet.names(), account, "--op", "read", *BLOCKS, "--in-flight",
                           str(depth), "--seconds", "2", "--warmup", "1")
            row["gb_per_s"][depth] = result["bytes_per_s"] / 1e9
        rows.append(row)
        print(f"  RTT {rtt:>2} ms: {PROMPT} blocks {away / 1e3:.1f} ms (transfer {at_home / 1e3:.1f}); GB/s " +
              ", ".join(f"x{d} {g:.2f}" for d, g in row["gb_per_s"].items()), flush=True)
        if rtt > 0:
            bound = 3 * rtt * 1000 + at_home
            checks.add(f"RTT {rtt} ms: Lookup and load of {PROMPT} blocks, ms", f"{away / 1e3:.1f}",
                       f"<= {bound / 1e3:.1f}", away <= bound)
    fleet.network.set_rtt(0)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--quick", action="store_true", help="4 servers; RTT 0 and 20 ms")
    parser.add_argument("--json", help="write the results there, too")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("scale: network namespaces need root")
    sizes, rtts = ([4], [0, 20]) if options.quick else ([1, 2, 4, 8], [0, 1, 5, 20])
    depths = [1, 8, 32] if options.quick else [1, 4, 16, 64]
    results, failed = [], 0
    for servers in sizes:
        # A process of its own, since it enters a namespace.
        queue = multiprocessing.Queue()
        child = multiprocessing.Process(target=one_size, args=(servers, options, rtts, depths,
                                                               queue))
        child.start()
        child.join()
        if child.exitcode != 0:
            sys.exit(f"scale: the run with {servers} servers broke off")
        result = queue.get()
        results.append(result)
        failed += result["missed"]
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)
    print(f"scale: {failed} missed" if failed else "scale: all met")
    sys.exit(1 if failed else 0)


def one_size(servers, options, rtts, depths, queue):
    print(f"{servers} server{'s' if servers > 1 else ''}", flush=True)
    checks = Checks()
    with Fleet(servers, options.programs) as fleet:
        check_correctness(fleet, options.programs, options.data, checks)
        rows = measure(fleet, options.programs, rtts, depths, checks)
        check_connections(fleet, options.programs, checks)
        if servers > 1:
            check_moved(fleet, options.programs, options.data, checks)
            check_failover(fleet, options.programs, options.data, checks)
    queue.put({"servers": servers, "checks": checks.rows, "rtts": rows, "missed": checks.failed})


if __name__ == "__main__":
    main()
