"""Start-up time, the replay of a trace, and what other programs measure: ours alone."""
import json
import os
import statistics
import subprocess
import time

import plan
from contenders import HOST

STORED_BLOCKS = 100_000
PROMPTS = 100
STARTS = 3
INDEX_PROGRAM = "prefix_index_benchmark"
INDEX_SECONDS = 900


def start_up(options, everyone, root):
    """From the start of a process that finds so many blocks stored to its first Lookup's answer."""
    blocks = STORED_BLOCKS // PROMPTS
    program = os.path.join(options.programs, "bench_client")
    server = everyone["ours"].start(os.path.join(root, "start-up"))
    asked = ["--op", "lookup", "--bytes", str(plan.LOOKUP_BYTES), "--blocks", str(blocks)]
    seconds = []
    try:
        subprocess.run([program, "ours", server.target, *asked, "--prepare",
                        "--prompts", str(PROMPTS)], check=True, timeout=600)
        for _ in range(STARTS):
            server.stop()
            begin = time.monotonic()
            server = everyone["ours"].start(server.root)
            listening = time.monotonic() - begin
            subprocess.run([program, "ours", server.target, *asked, "--in-flight", "1",
                            "--warmup", "0", "--max-ops", "1"], check=True, timeout=60,
                           stdout=subprocess.DEVNULL)
            seconds.append((listening, time.monotonic() - begin))
    finally:
        server.stop()
    return {"blocks": STORED_BLOCKS,
            "listening_s": statistics.median(s for s, _ in seconds),
            "first_lookup_s": statistics.median(s for _, s in seconds)}


def replay(options, everyone, root):
    server = everyone["ours batch"].start(os.path.join(root, "replay"))
    path = os.path.join(root, "replay.json")
    try:
        subprocess.run([os.path.join(options.programs, "KVPlayground"), "--trace", options.trace,
                        "--server", f"{HOST}:{server.port}", "--concurrency", "4",
                        "--iterations", "3", "--json", path],
                       check=True, timeout=1800, stdout=subprocess.DEVNULL)
        with open(path) as file:
            return json.load(file)
    finally:
        server.stop()


def index(options):
    """What the index's benchmark says, a line of JSON for each size; none where it was not built."""
    program = os.path.join(options.programs, INDEX_PROGRAM)
    if not os.path.exists(program):
        return None
    done = subprocess.run([program], capture_output=True, text=True, timeout=INDEX_SECONDS)
    if done.returncode != 0:
        return {"error": done.stderr[-300:]}
    return [json.loads(line) for line in done.stdout.splitlines()]


def run(options, everyone, root):
    """What of it was asked for: all where the run is a full one."""
    wanted = {"start-up": lambda: start_up(options, everyone, root),
              "trace replay": lambda: replay(options, everyone, root),
              "index": lambda: index(options)}
    results = {}
    for name, measure in wanted.items():
        if options.only.search(name) if options.only else not options.quick:
            result = measure()
            if result is not None:
                results[name] = result
                print(f"{name}: {json.dumps(result)[:600]}", flush=True)
    return results
