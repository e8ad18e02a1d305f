"""Runs KVStoreServer and the others in turn, in one run, and holds the ratios against the bars.

scripts/run/bench.sh builds what it needs and starts it. Servers live in a temporary folder on the
disk of --out and on free ports; only what was started here is ended.
"""
import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import contenders  # noqa: E402
import extras  # noqa: E402
import machine  # noqa: E402
import plan  # noqa: E402
import report  # noqa: E402

SAMPLE_SECONDS = 90  # most that a client may take for one
PREPARE_SECONDS = 330


def client(options, contender, server, case, *further):
    """Runs the client; its JSON line, or None and what it said."""
    command = [os.path.join(options.programs, "bench_client"), contender.client, server.target,
               "--op", case.op, "--bytes", str(case.bytes), "--in-flight", str(case.in_flight),
               "--server-pid", str(server.pid), *further]
    most = PREPARE_SECONDS if "--prepare" in further else SAMPLE_SECONDS
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=most)
    except subprocess.TimeoutExpired:
        return None, f"took longer than {most} s"
    if done.returncode != 0:
        return None, done.stderr.strip()[-300:]
    return done.stdout, ""


def fill(options, contender, server):
    """Writes so much once, whatever it takes."""
    case = plan.Case("fill", "write", "1.2MB", plan.BLOCK, 64, 8, [])
    if contender.fill_bytes:
        output, error = client(options, contender, server, case, "--warmup", "0", "--seconds", "25",
                               "--max-ops", str(contender.fill_bytes // plan.BLOCK))
        if output is None:
            raise RuntimeError(f"{contender.name} cannot be filled: {error}")


def prepare(options, contender, server, case):
    if case.op == "write" or contender.client in ("raw", "protobuf", "tcp", "nginx"):
        return
    blocks = case.prepared or case.blocks
    output, error = client(options, contender, server, case, "--prepare", "--blocks", str(blocks))
    if output is None:
        raise RuntimeError(f"{contender.name}, {case.name}: {error}")


def sample(options, contender, server, case):
    if case.op == "write" or case.cold:
        os.sync()  # what others left to write must not be this one's burden
    if case.cold and contender.name == "ours disk":
        contenders.drop_page_cache(server.root)
    output, error = client(options, contender, server, case, "--blocks", str(case.blocks),
                           "--seconds", str(case.seconds), "--warmup", str(case.warmup),
                           "--max-ops", str(case.max_ops))
    return json.loads(output) if output else {"error": error}


def measure(options, case, servers, everyone, broken):
    """One sample of each contender a round, the order turning."""
    names = case.contenders
    samples = {name: [{"error": broken[name]}] if name in broken else [] for name in names}
    for number in range(case.rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            if name not in broken:
                samples[name].append(sample(options, everyone[name], servers[name], case))
    return samples


def set_up(options, group, case, servers, everyone, root):
    """Starts whom the case needs and stores what it reads. Those that could not, with the reason."""
    broken = {}
    for name in case.contenders:
        try:
            if name not in servers:
                folder = os.path.join(root, f"{group.name}-{name}".replace(" ", "-"))
                servers[name] = everyone[name].start(folder)
                fill(options, everyone[name], servers[name])
            prepare(options, everyone[name], servers[name], case)
        except (RuntimeError, OSError, TypeError) as error:  # TypeError: no such program
            broken[name] = str(error)
    return broken


def run_group(options, group, everyone, root):
    servers, results = {}, []
    try:
        for case in group.cases:
            broken = set_up(options, group, case, servers, everyone, root)
            samples = measure(options, case, servers, everyone, broken)
            results.append(report.summarise(case, samples))
            report.print_case(results[-1])
    finally:
        for server in servers.values():
            server.stop()
        for entry in os.listdir(root):
            shutil.rmtree(os.path.join(root, entry), ignore_errors=True)
    return results


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--programs", required=True, help="folder of the built programs")
    parser.add_argument("--out", default="build/bench/dataplane", help="folder for the results")
    parser.add_argument("--quick", action="store_true", help="only what a bar is for")
    parser.add_argument("--only", type=re.compile, help="only cases whose name matches")
    parser.add_argument("--trace", default="KVPlayground/data/small_trace.jsonl")
    options = parser.parse_args()
    options.programs = os.path.abspath(options.programs)
    return options


def main():
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers end too
    os.makedirs(options.out, exist_ok=True)
    root = tempfile.mkdtemp(prefix="servers-", dir=os.path.abspath(options.out))
    os.chmod(root, 0o755)
    everyone = contenders.everyone(options.programs, list(plan.SIZES.values()))
    results = {"machine": machine.describe(options.programs), "cases": []}
    try:
        for group in plan.groups(options.quick, options.only):
            results["cases"] += run_group(options, group, everyone, root)
        results["extras"] = extras.run(options, everyone, root)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    results["machine"]["load at the end"] = "%.1f %.1f %.1f" % os.getloadavg()
    results["bars"] = report.bars(results["cases"])
    report.print_bars(results["bars"])
    report.write(results, options.out)
    print("written to", options.out)


if __name__ == "__main__":
    main()
