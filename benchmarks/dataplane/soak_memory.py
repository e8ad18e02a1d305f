"""Resident memory of a server under hours of blocks of mixed sizes, against its --memory."""
import argparse
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time

SIZES = [32 << 10, 64 << 10, 100_000, 300_000, 1_258_291, 2 << 20, 5_000_000, 8 << 20, 20_000_000,
         40 << 20]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        fields = dict(line.split(":", 1) for line in status)
    return int(fields["VmRSS"].split()[0]) * 1024


def wait_for(port, server):
    for _ in range(300):
        if server.poll() is not None:
            sys.exit("the server ended")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    sys.exit("the server does not listen")


def churn(options, port, server, end):
    """One size after another, some seconds each; the most resident memory seen."""
    client = os.path.join(options.programs, "bench_client")
    order = random.Random(1)
    most = 0
    while time.monotonic() < end:
        size = order.choice(SIZES)
        blocks = max(8, min(4000, 2 * options.memory // size))
        load = subprocess.Popen(
            [client, "ours", f"127.0.0.1:{port}", "--op", order.choice(["write", "write", "read"]),
             "--bytes", str(size), "--blocks", str(blocks), "--in-flight", "4",
             "--seconds", str(options.slice), *order.choice([["--prepare"], []])],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while load.poll() is None:
            most = max(most, resident(server.pid))
            time.sleep(0.2)
        now = resident(server.pid)
        print(f"size={size} resident_mib={now >> 20} most_mib={most >> 20} "
              f"ratio={most / options.memory:.3f}", flush=True)
    return most


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--memory", type=int, default=1 << 30)
    parser.add_argument("--slice", type=float, default=5)
    options, server_arguments = parser.parse_known_args()
    root = tempfile.mkdtemp(prefix="kvstore-soak-")
    port = free_port()
    server = subprocess.Popen(
        [os.path.join(options.programs, "KVStoreServer"), "--host", "127.0.0.1", "--port", str(port),
         "--data-dir", os.path.join(root, "data"), "--memory", str(options.memory),
         "--capacity", str(4 * options.memory), "--disable-metrics", *server_arguments],
        stdout=subprocess.DEVNULL)
    try:
        wait_for(port, server)
        most = churn(options, port, server, time.monotonic() + 60 * options.minutes)
        print(f"memory={options.memory} most_resident={most} ratio={most / options.memory:.3f}")
    finally:
        server.terminate()
        server.wait(60)
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
