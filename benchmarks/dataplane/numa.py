"""Two servers of `--numa auto`, a processor each, against one with as many threads and both
processors. Two clients at a time, which run where the system puts them: both of the one server, or
one of each.

    numa.py --programs build/release/bin [--rounds 5] [--seconds 1] [--threads 12]

The nodes are recorded ones: each processor of this machine is one. So it measures that servers
share nothing, not what memory of another node costs. In turn, medians; the ratio is that of each
round, and the bar that its median is not below 1.
"""
import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from contenders import HOST, START_SECONDS, Server

BLOCKS = "64"
OPS = {"read": ["--in-flight", "4"], "stream": ["--in-flight", "1"], "lookup": ["--in-flight", "4"],
       "write": ["--in-flight", "4"]}
CLIENT_SECONDS = 120  # on a machine that is busy with other things


def tree_of_processors(root, processors):
    """A folder as /sys/devices/system/node, in which each of these processors is a node."""
    os.mkdir(root)
    with open(os.path.join(root, "online"), "w") as file:
        file.write(f"0-{len(processors) - 1}\n")
    for node, processor in enumerate(processors):
        os.mkdir(os.path.join(root, f"node{node}"))
        with open(os.path.join(root, f"node{node}", "cpulist"), "w") as file:
            file.write(f"{processor}\n")
    return root


def start(name, root, options, extra):
    program = os.path.join(options.programs, "KVStoreServer")
    return Server(name, os.path.join(root, name), lambda port: [
        program, "--host", HOST, "--port", str(port), "--data-dir", "data", "--memory", "4GiB",
        "--capacity", "8GiB", "--durability", "none", "--log-level", "error", "--disable-metrics",
        "--threads", str(options.threads), *extra])


def await_listening(port):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.01)
    raise RuntimeError(f"nothing listens on port {port}")


def clients(options, ports, arguments):
    """One a port, at the same time; what each of them prints."""
    running = [subprocess.Popen(
        [os.path.join(options.programs, "bench_client"), "ours", f"{HOST}:{port}", "--blocks",
         BLOCKS, *arguments], stdout=subprocess.PIPE, text=True) for port in ports]
    printed = [client.communicate(timeout=CLIENT_SECONDS)[0] for client in running]
    if any(client.returncode for client in running):
        raise RuntimeError(f"clients failed: {arguments}")
    return printed


def rate(options, ports, op):
    """GB/s, or thousands of Lookups a second, of the clients together."""
    reports = map(json.loads, clients(
        options, ports, ["--op", op, "--seconds", str(options.seconds), *OPS[op]]))
    return sum(report["ops_per_s"] / 1e3 if op == "lookup" else report["bytes_per_s"] / 1e9
               for report in reports)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--programs", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--threads", type=int, default=12)
    options = parser.parse_args()
    options.programs = os.path.abspath(options.programs)
    processors = sorted(os.sched_getaffinity(0))[:2]
    if len(processors) < 2:
        sys.exit("numa.py: needs two processors")

    root = tempfile.mkdtemp(prefix="kvstore-numa-")
    servers = []
    failed = False
    try:
        tree = tree_of_processors(os.path.join(root, "node"), processors)
        one = start("one", root, options, [])
        servers.append(one)
        two = start("two", root, options, ["--numa", "auto", "--numa-sysfs", tree])
        servers.append(two)
        await_listening(two.port + 1)
        for port in (one.port, two.port, two.port + 1):
            clients(options, [port], ["--prepare"])
        ports = {"one": [one.port] * 2, "two": [two.port, two.port + 1]}
        print("| | one server | two | two : one | bar |\n|---|---|---|---|---|")
        for op in OPS:
            rates = {"one": [], "two": []}
            for turn in range(options.rounds):
                for name in sorted(rates, reverse=turn % 2 == 1):
                    rates[name].append(rate(options, ports[name], op))
            one_rate, two_rate = (statistics.median(rates[name]) for name in ("one", "two"))
            ratio = statistics.median(b / a for a, b in zip(rates["one"], rates["two"]))
            failed = failed or ratio < 1
            print(f"| {op}, {'1,000/s' if op == 'lookup' else 'GB/s'} "
                  f"| {one_rate:.2f} | {two_rate:.2f} | {ratio:.2f} "
                  f"| {'FAIL' if ratio < 1 else 'PASS'} |", flush=True)
        print("load", " ".join(f"{load:.1f}" for load in os.getloadavg()))
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(root, ignore_errors=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
