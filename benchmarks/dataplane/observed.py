"""What metrics and console lines cost a hot Read: servers with and without them, in turn, many times.

scripts/run/bench_metrics.sh builds what it needs and starts it. One server after the other gets a
short run, in an order that turns each round, so that what else the machine does falls on all alike.
A pair is two runs of one round; medians are over all rounds.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import contenders  # noqa: E402
import machine  # noqa: E402

BLOCK = 1_258_291
BLOCKS = 64
RUN_SECONDS = 120  # most that a client may take
BAR = 0.98


def server(kind, programs, root, metrics_port):
    """`kind`: off; on (--metrics-port); lines (a JSON line a call); both."""
    options = ["--durability", "none", "--memory", "512MiB", "--capacity", "2GiB",
               "--log-level", "error"]
    if kind in ("on", "both"):
        options += ["--metrics-port", str(metrics_port)]
    if kind in ("off", "on"):
        options += ["--disable-metrics"]
    return contenders.Server(kind, root, lambda port: [
        os.path.join(programs, "KVStoreServer"), "--host", contenders.HOST, "--port", str(port),
        "--data-dir", os.path.join(root, "data"), *options])


class Scraper:
    """Asks the ports for their metrics every so often, as Prometheus would."""

    def __init__(self, ports, seconds):
        self.ports, self.seconds = ports, seconds
        self.scrapes = 0
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.ends.wait(self.seconds):
            for port in self.ports:
                with urllib.request.urlopen(f"http://{contenders.HOST}:{port}/metrics",
                                            timeout=30) as answer:
                    answer.read()
                self.scrapes += 1

    def stop(self):
        self.ends.set()
        self.thread.join()


def run(options, running, *further):
    command = [os.path.join(options.programs, "bench_client"), "ours", running.target,
               "--op", "read", "--bytes", str(options.bytes), "--blocks", str(BLOCKS),
               "--in-flight", str(options.in_flight), "--server-pid", str(running.pid), *further]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, check=True)
    return json.loads(done.stdout) if done.stdout.strip() else {}


def measure(options, servers):
    samples = {kind: [] for kind in servers}
    kinds = list(servers)
    for number in range(options.rounds):
        turn = number % len(kinds)
        for kind in kinds[turn:] + kinds[:turn]:
            sample = run(options, servers[kind], "--seconds", str(options.seconds),
                         "--warmup", "0.2")
            samples[kind].append({"gb_s": sample["bytes_per_s"] / 1e9,
                                  "server_us": sample["server_cpu_s"] / sample["ops"] * 1e6,
                                  "p50_us": sample["p50_us"]})
        print(".", end="", flush=True, file=sys.stderr)
    print(file=sys.stderr)
    return samples


def quartiles(values):
    return statistics.quantiles(values, n=4, method="inclusive")


def report(samples):
    """Prints the table; whether the bar is met, where it was measured."""
    base = samples["off"]
    print("| | GB/s: median (quartiles) | server's CPU a call | throughput: median of pairs (quartiles) "
          "| ratio of medians | CPU: median of pairs |")
    print("|---|---|---|---|---|---|")
    met = None
    for kind, mine in samples.items():
        low, mid, high = quartiles([each["gb_s"] for each in mine])
        cpu = statistics.median(each["server_us"] for each in mine)
        pairs = quartiles([a["gb_s"] / b["gb_s"] for a, b in zip(mine, base)])
        cpus = statistics.median(a["server_us"] / b["server_us"] for a, b in zip(mine, base))
        ratio = mid / statistics.median(each["gb_s"] for each in base)
        print(f"| {kind} | {mid:.2f} ({low:.2f}, {high:.2f}) | {cpu:.0f} µs | {pairs[1]:.3f} "
              f"({pairs[0]:.3f}, {pairs[2]:.3f}) | {ratio:.3f} | {cpus:.3f} |")
        if kind == "on":
            met = pairs[1] >= BAR
    if met is None:
        return True
    print(f"\nmetrics on / off ≥ {BAR}, median of pairs: {'PASS' if met else 'FAIL'}")
    return met


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", required=True)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a run")
    parser.add_argument("--bytes", type=int, default=BLOCK, help="of a block")
    parser.add_argument("--in-flight", type=int, default=8)
    parser.add_argument("--scrape", type=float, default=2.0, help="seconds between scrapes")
    parser.add_argument("--kinds", default="off,on,lines,both")
    options = parser.parse_args()
    options.programs = os.path.abspath(options.programs)
    root = tempfile.mkdtemp(prefix="kvstore-observed-")
    servers, ports, scraper = {}, [], None
    try:
        for kind in options.kinds.split(","):
            port = contenders.free_port()
            servers[kind] = server(kind, options.programs, os.path.join(root, kind), port)
            if kind in ("on", "both"):
                ports.append(port)
            run(options, servers[kind], "--prepare")
        scraper = Scraper(ports, options.scrape)
        samples = measure(options, servers)
    finally:
        if scraper is not None:
            scraper.stop()
        for each in servers.values():
            each.stop()
        shutil.rmtree(root, ignore_errors=True)
    print(f"{options.bytes} bytes, {options.rounds} rounds of {options.seconds} s a server, "
          f"{options.in_flight} in flight, "
          f"{scraper.scrapes} scrapes; {machine.field('/proc/cpuinfo', 'model name')}, "
          f"{os.cpu_count()} cores\n")
    return 0 if report(samples) else 1


if __name__ == "__main__":
    sys.exit(main())
