"""Runs the contestants of scripts/run/bench_azure.sh in turn, several rounds, and reports medians.

Each run is a process of its own; time and CPU are those of the whole process, start included, as
wait4 gives them. Every run of a contestant moves the same bytes and must move all of them.
"""
import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests"))
from azurite import ACCOUNT, Azurite, account_sas  # noqa: E402

BYTES = 1258291
IN_FLIGHT = [1, 16, 64]
SDK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "azure_sdk_client.py")

NGINX_CONFIG = """
daemon off;
worker_processes 1;
pid {root}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  client_max_body_size 64m;
  client_body_buffer_size 2m;
  client_body_temp_path {root}/body;
  proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
  uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    root {root}/files;
    location /put/ {{ dav_methods PUT; }}
  }}
}}
"""


class Nginx:
    """Serves one file of BYTES, and takes PUTs, from memory where /dev/shm is."""

    def __init__(self):
        self.root = tempfile.mkdtemp(prefix="kvstore-nginx-",
                                     dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        os.chmod(self.root, 0o755)
        os.makedirs(self.root + "/files/put", mode=0o777)
        os.chmod(self.root + "/files/put", 0o777)
        with open(self.root + "/files/blob", "wb") as file:
            file.write(os.urandom(BYTES))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        with open(self.root + "/nginx.conf", "w") as file:
            file.write(NGINX_CONFIG.format(root=self.root, port=self.port))
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        self.process = subprocess.Popen([nginx, "-p", self.root, "-c", self.root + "/nginx.conf"])
        deadline = time.monotonic() + 10
        while socket.socket().connect_ex(("127.0.0.1", self.port)) != 0:
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.stop()
                raise RuntimeError("nginx did not start")
            time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.root, ignore_errors=True)


def run(command):
    """Seconds, CPU seconds and standard output of a process."""
    with tempfile.TemporaryFile() as output:
        begin = time.monotonic()
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode()
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    return seconds, usage.ru_utime + usage.ru_stime, text


class Case:
    """One kind of request to one server."""

    def __init__(self, server, method, url, requests):
        self.server, self.method, self.url, self.requests = server, method, url, requests

    def result(self, requests, seconds, cpu, succeeded, moved):
        """What one request takes of either; all of them must have moved all their bytes."""
        expected = 0 if self.method == "HEAD" else BYTES * requests
        if (succeeded, moved) != (requests, expected):
            raise RuntimeError(f"{self.server} {self.method}: {succeeded} requests, {moved} bytes; "
                               f"not {requests}, {expected}")
        return seconds / requests, cpu / requests

    def ours(self, program, in_flight):
        seconds, cpu, text = run([
            program, self.url, "--method", self.method, "--requests", str(self.requests),
            "--in-flight", str(in_flight), "--put-bytes", str(BYTES),
            *(["--header", "x-ms-blob-type:BlockBlob"] if self.method == "PUT" else [])])
        result = json.loads(text)
        return self.result(self.requests, seconds, cpu, result["succeeded"], result["bytes"])

    def curl(self, in_flight):
        separator = "&" if "?" in self.url else "?"
        seconds, cpu, text = run([
            "curl", "--silent", "--no-progress-meter", "--fail", "--parallel",
            "--parallel-immediate", "--parallel-max", str(in_flight), "--output", "/dev/null",
            "--write-out", "%{size_download}\n",
            f"{self.url}{separator}n=[1-{self.requests}]"])
        sizes = [int(line) for line in text.split()]
        return self.result(self.requests, seconds, cpu, len(sizes), sum(sizes))

    def sdk(self, in_flight):
        requests = max(self.requests // 4, 60)  # it is slow
        _, _, text = run(["/usr/bin/python3", "-B", SDK, self.url, self.method, str(requests),
                          str(in_flight), str(BYTES)])
        result = json.loads(text)
        # Without what Python takes to start, which is seconds.
        return self.result(requests, result["seconds"], result["cpu"], result["succeeded"],
                           result["bytes"])


def measure(case, contestants, rounds, in_flight):
    samples = {name: [] for name in contestants}
    for number in range(rounds):
        # The order turns too, so that nobody always comes first.
        names = list(contestants)
        for name in names[number % len(names):] + names[:number % len(names)]:
            samples[name].append(contestants[name](in_flight))
    rows = []
    for name, runs in samples.items():
        seconds = statistics.median(s for s, _ in runs)
        cpu = statistics.median(c for _, c in runs)
        gigabytes = 0 if case.method == "HEAD" else BYTES / 1e9
        rows.append({
            "server": case.server, "method": case.method, "in_flight": in_flight, "client": name,
            "requests_per_s": 1 / seconds, "gb_per_s": gigabytes / seconds,
            "cpu_s_per_gb": cpu / gigabytes if gigabytes else None,
            "cpu_us_per_request": cpu * 1e6,
            "runs": [{"seconds_per_request": s, "cpu_seconds_per_request": c} for s, c in runs]})
    # Of each round by itself: what disturbs the machine then disturbs both.
    if "curl" in samples:
        for place, field in enumerate(("speed_to_curl", "cpu_to_curl")):
            rows[0][field] = statistics.median(
                ours[place] / curl[place] for ours, curl in zip(samples["ours"], samples["curl"]))
        rows[0]["speed_to_curl"] = 1 / rows[0]["speed_to_curl"]
    return rows


def show(row):
    per_gb = f"{row['cpu_s_per_gb']:.3f}" if row["cpu_s_per_gb"] is not None else "-"
    ratios = ""
    if "speed_to_curl" in row:
        ratios = (f"{row['speed_to_curl']:.2f} x the speed, "
                  f"{row['cpu_to_curl']:.2f} x the CPU of curl")
    print(f"{row['server']:8} {row['method']:4} {row['in_flight']:3} {row['client']:5} "
          f"{row['requests_per_s']:8.0f} {row['gb_per_s']:6.2f} {per_gb:>8} "
          f"{row['cpu_us_per_request']:8.0f}  {ratios}", flush=True)


def cases(nginx, azurite, quick):
    # Many GETs, since touching the memory for the first responses is a cost of the start.
    scale = 1 if quick else 2
    file = f"http://127.0.0.1:{nginx.port}/blob"
    put = f"http://127.0.0.1:{nginx.port}/put/blob"
    for method, requests in (("GET", 4000), ("PUT", 400), ("HEAD", 4000)):
        yield Case("nginx", method, put if method == "PUT" else file, requests * scale)
    blob = f"http://127.0.0.1:{azurite.port}/{ACCOUNT}/box/blob?{account_sas()}"
    for method, requests in (("PUT", 60), ("GET", 400), ("HEAD", 200)):
        yield Case("Azurite", method, blob, requests * scale)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--client", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", default="build/bench", metavar="FOLDER")
    options = parser.parse_args()
    rounds = 3 if options.quick else 5

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers end too
    rows, nginx, azurite = [], None, None
    try:
        nginx, azurite = Nginx(), Azurite()
        container = f"http://127.0.0.1:{azurite.port}/{ACCOUNT}/box?restype=container&"
        run([options.client, container + account_sas(), "--method", "PUT", "--put-bytes", "0",
             "--requests", "1"])
        print("server   what  at once     requests/s   GB/s CPU s/GB CPU us/request")
        for case in cases(nginx, azurite, options.quick):
            contestants = {"ours": lambda n, c=case: c.ours(options.client, n)}
            if case.method == "GET":
                contestants["curl"] = case.curl
            if case.server == "Azurite":
                contestants["SDK"] = case.sdk
            for in_flight in IN_FLIGHT:
                for row in measure(case, contestants, rounds, in_flight):
                    rows.append(row)
                    show(row)
    finally:
        for server in (nginx, azurite):
            if server is not None:
                server.stop()
    os.makedirs(options.output, exist_ok=True)
    path = os.path.join(options.output, "azure_http.json")
    with open(path, "w") as file:
        json.dump({"bytes": BYTES, "rounds": rounds, "rows": rows}, file, indent=1)
    print("written to", path)


if __name__ == "__main__":
    main()
