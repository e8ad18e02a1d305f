"""What a flooding tenant does to another's latency: the quiet one's reads alone and beside a flood, in
turn, in one run. Called by scripts/run/fairness.sh."""
import argparse
import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

FLOODS = {
    "reads, 64 connections": ["--method", "read", "--connections", "64"],
    "reads, 4 connections of 16": ["--method", "read", "--connections", "4", "--in-flight", "16"],
    "writes, 4 connections of 16": ["--method", "write", "--connections", "4", "--in-flight", "16"],
}
BOUND = 2.0  # times its p99 alone


def nice(level):
    """The flood's client has a machine of its own in earnest: here it may take what is left."""
    return lambda: os.nice(level)


def identity(name, **limits):
    return {"name": name, "token_sha256": [hashlib.sha256(name.encode()).hexdigest()],
            "rules": [{"accounts": ["*"], "containers": ["*"], "partitions": [name],
                       "allow": ["read", "write"]}], **({"limits": limits} if limits else {})}


class Run:
    def __init__(self, options, directory, limits):
        auth = os.path.join(directory, "auth.json")
        with open(auth, "w") as file:
            json.dump({"identities": [identity("quiet"), identity("loud", **limits)]}, file)
        self.client = os.path.join(options.programs, "load_client")
        self.server = subprocess.Popen(
            [os.path.join(options.programs, "KVStoreServer"), "--host", "127.0.0.1", "--port", "0",
             "--data-dir", os.path.join(directory, "data"), "--capacity", "8GiB", "--memory",
             "1GiB", "--auth", auth, "--disable-metrics", "--scrub-rate", "0"],
            stderr=subprocess.PIPE, text=True)
        for line in self.server.stderr:
            if match := re.search(r" serving .*port=(\d+)", line):
                self.port = match.group(1)
                break

    def load(self, tenant, *arguments, level=0):
        process = subprocess.Popen(
            [self.client, "--server", f"127.0.0.1:{self.port}", "--token", tenant, "--partition",
             tenant, *arguments], stdout=subprocess.PIPE, text=True, preexec_fn=nice(level))
        if process.stdout.readline() != "running\n":
            sys.exit("the load did not start")
        return process

    def quiet(self, seconds):
        process = self.load("quiet", "--rate", "50", "--seconds", str(seconds))
        report = json.loads(process.communicate()[0])
        if set(report["codes"]) != {"0"}:
            sys.exit(f"the quiet tenant's calls failed: {report}")
        return report

    def stop(self):
        self.server.terminate()
        self.server.communicate()


def measure(options, name, arguments, limits):
    with tempfile.TemporaryDirectory() as directory:
        run = Run(options, directory, limits)
        alone, beside = [], []
        try:
            for _ in range(options.rounds):
                alone.append(run.quiet(options.seconds))
                flood = run.load("loud", *arguments, "--seconds", str(options.seconds + 1), level=19)
                beside.append(run.quiet(options.seconds))
                codes = json.loads(flood.communicate()[0])["codes"]
        finally:
            run.stop()
    median = {key: (statistics.median(r[key] for r in alone),
                    statistics.median(r[key] for r in beside)) for key in ("p50_us", "p99_us")}
    ratio = median["p99_us"][1] / median["p99_us"][0]
    print(f"{name:42} p50 {median['p50_us'][0] / 1e3:6.2f} -> {median['p50_us'][1] / 1e3:6.2f} ms   "
          f"p99 {median['p99_us'][0] / 1e3:6.2f} -> {median['p99_us'][1] / 1e3:6.2f} ms   "
          f"x {ratio:.2f}   flood: {codes}", flush=True)
    return ratio


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    options = parser.parse_args()
    ratios = []
    for name, arguments in FLOODS.items():
        ratios.append(measure(options, name, arguments, {}))
    for name, arguments in FLOODS.items():
        ratios.append(measure(options, name + ", 4 calls at a time", arguments, {"calls": 4}))
    missed = sum(ratio > BOUND for ratio in ratios)
    print(f"{len(ratios) - missed} of {len(ratios)} within {BOUND} x")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
