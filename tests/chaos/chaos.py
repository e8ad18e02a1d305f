"""The chaos run: docs/CHAOS.md. Started by scripts/run/chaos.sh."""
import argparse
import concurrent.futures
import glob
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time

import checker
import schedule
from fleet import DISKS, SERVERS, Fleet

TICK_S = 0.1
WATCH_S = 0.5
MOST_RECOVERY_S = 30.0
RECOVERIES = ("lookup", "read", "write", "shared")
VERIFY_ROUNDS, VERIFY_REST_S, VERIFY_TIMEOUT_S = 4, 5, 1800


def begin_fault(fleet, fault):
    server = fleet.servers[fault.victim % len(fleet.servers)]
    links = {"clients": fleet.network.to_clients, "storage": fleet.network.to_storage}
    if fault.kind == "kill_server":
        server.process.kill()
    elif fault.kind == "stop_server":
        server.process.signal(signal.SIGSTOP)
    elif fault.kind == "full_disk":
        server.fill_disk()
    elif fault.kind == "clock_jump":
        server.set_clock(int(fault.detail.split()[0]))
    elif fault.kind.startswith("delay_"):
        links[fault.kind[6:]][fault.victim].set(rtt_ms=int(fault.detail.split()[0]))
    elif fault.kind.startswith("partition_"):
        links[fault.kind[10:]][fault.victim].set(to_server_lost=fault.detail != "out",
                                                 from_server_lost=fault.detail != "in")
    elif fault.kind == "restart_azurite":
        fleet.azurite.stop()
    elif fault.kind == "stop_azurite":
        fleet.azurite.process.send_signal(signal.SIGSTOP)
    elif fault.kind == "kill_client":
        fleet.kill_client(fault.victim)


def end_fault(fleet, fault):
    server = fleet.servers[fault.victim % len(fleet.servers)]
    if fault.kind == "kill_server":
        server.start()
    elif fault.kind == "stop_server":
        server.process.signal(signal.SIGCONT)
    elif fault.kind == "full_disk":
        server.free_disk()
    elif fault.kind == "clock_jump":
        server.set_clock(0)
    elif fault.kind.startswith("delay_"):
        fleet.network.__dict__["to_" + fault.kind[6:]][fault.victim].set()
    elif fault.kind.startswith("partition_"):
        fleet.network.__dict__["to_" + fault.kind[10:]][fault.victim].set()
    elif fault.kind == "restart_azurite":
        fleet.start_azurite()
    elif fault.kind == "stop_azurite":
        fleet.azurite.process.send_signal(signal.SIGCONT)
    elif fault.kind == "kill_client":
        fleet.start_client(fault.victim)


def seconds(value):
    return "never" if value is None else f"{value:.1f} s"


class Run:
    """Injects a schedule's faults, and watches how each is recovered from."""

    def __init__(self, fleet, faults):
        self.fleet, self.faults = fleet, faults
        self.start = time.monotonic()
        self.rows = [{"fault": fault, "begun": None, "ended": None, "recovery": None}
                     for fault in faults]
        self.watched, self.violations = [], []

    def say(self, text):
        print(f"{time.monotonic() - self.start:7.1f} s  {text}", flush=True)

    def run(self, until):
        actions = sorted([(f.at, i, begin_fault) for i, f in enumerate(self.faults)] +
                         [(f.at + f.duration, i, end_fault) for i, f in enumerate(self.faults)],
                         key=lambda action: action[:2])
        next_watch = 0
        while time.monotonic() - self.start < until or actions or self.watched:
            now = time.monotonic() - self.start
            if actions and actions[0][0] <= now:
                self._act(*actions.pop(0)[1:])
            elif now >= next_watch:
                next_watch = now + WATCH_S
                self._watch()
                self._look_for_dead()
            else:
                time.sleep(TICK_S)

    def _act(self, number, action):
        row = self.rows[number]
        action(self.fleet, row["fault"])
        now = time.monotonic_ns()
        if action is begin_fault:
            row["begun"] = now
            self.say(f"#{number} {row['fault'].what()} for {row['fault'].duration} s")
            return
        row["ended"] = row["healthy"] = now
        # What waits for another fault to end is measured from there.
        for other in self.watched:
            other["healthy"] = now
        row["position"] = os.path.getsize(self.fleet.history("probe"))
        self.watched.append(row)

    def _watch(self):
        if not self.watched or any(row["begun"] and not row["ended"] for row in self.rows):
            return
        for row in list(self.watched):
            with open(self.fleet.history("probe"), "rb") as file:
                file.seek(row["position"])
                file.readline()  # half of one, perhaps
                probes = checker.load(file.read().decode().splitlines(keepends=False)[:-1])
            fault = row["fault"]
            every = schedule.KINDS[fault.kind] in ("azurite", "client")
            victims = range(len(self.fleet.servers)) if every else [fault.victim]
            row["recovery"] = checker.recovery(probes, row["healthy"], victims)
            late = (time.monotonic_ns() - row["healthy"]) / 1e9 > MOST_RECOVERY_S
            if None not in row["recovery"].values() or late:
                self.watched.remove(row)
                self.say(f"#{self.rows.index(row)} {fault.what()}: over; recovered " + ", ".join(
                    f"{kind} {seconds(took)}" for kind, took in row["recovery"].items()))

    def _look_for_dead(self):
        for death in self.fleet.died():
            running = any(row["fault"].kind == "restart_azurite" and row["begun"] and not row["ended"]
                          for row in self.rows)
            if death not in self.violations and not (running and "Azurite" in death):
                self.violations.append(death)
                self.say(death)


def read_histories(paths):
    lines = []
    for path in paths:
        with open(path, errors="replace") as file:
            lines += file.read().splitlines()
    return checker.load(lines)


def verify(fleet, run):
    """After a restart of all servers, whose RAM must not stand in for storage: until all is found, as
    uploads and the log may lag a little, or it is too late."""
    operations = read_histories(glob.glob(os.path.join(fleet.directory, "*.history")))
    prompts = checker.prompts_to_verify(operations)
    run.say(f"verifying {len(checker.acknowledged(operations))} acknowledged blocks of "
            f"{len(prompts)} prompts through each server")
    for server in fleet.servers:
        server.process.stop()
        server.start()
    finals, time_left = [], VERIFY_ROUNDS
    while True:
        time.sleep(VERIFY_REST_S)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            finals += pool.map(lambda server: fleet.verify(
                server.number, prompts, VERIFY_ROUNDS - time_left, VERIFY_TIMEOUT_S), fleet.servers)
        operations += read_histories(finals[-len(fleet.servers):])
        lost = checker.lost_writes(operations, len(fleet.servers))
        time_left -= 1
        if not lost or not time_left:
            return operations
        run.say(f"{len(lost)} not found yet, such as: {lost[0]}")


def share(counts):
    good, total = counts
    return f"{100 * good / total:.2f} % of {total}" if total else "-"


def report(run, operations, fleet, seed, length):
    """Prints and returns it, and what is violated."""
    violations = checker.check(operations, len(SERVERS), fleet.killed)
    violations["ended by themselves"] = run.violations
    violations[f"recovery beyond {MOST_RECOVERY_S:.0f} s"] = [
        f"#{i} {row['fault'].what()}: {row['recovery']}" for i, row in enumerate(run.rows)
        if row["recovery"] is None or any(took is None or took > MOST_RECOVERY_S
                                          for took in row["recovery"].values())]
    lines = [f"Seed {seed}, {length:.0f} s, {len(SERVERS)} servers, {len(fleet.clients)} clients of "
             f"{fleet.threads} threads: {len(operations)} operations, "
             f"{len(checker.acknowledged(operations))} blocks acknowledged.", "",
             "| at | fault | for | ok during it: lookup | read | write | recovered: lookup | read | write | shared |",
             "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for row in run.rows:
        during = checker.availability(operations, row["begun"], row["ended"])
        fault = row["fault"]
        lines.append(
            f"| {fault.at:.0f} s | {fault.what()} | {fault.duration} s | " +
            " | ".join(share(during[kind]) for kind in ("lookup", "read", "write")) + " | " +
            " | ".join(seconds(row["recovery"][kind]) for kind in RECOVERIES) + " |")
    overall = checker.availability(operations)
    lines += ["", "Overall: " + ", ".join(f"{kind} {share(overall[kind])}" for kind in overall), ""]
    lines += [f"- {what}: {len(found)}" for what, found in violations.items()]
    print("\n".join(lines))
    for what, found in violations.items():
        for each in found[:checker.MOST_SHOWN]:
            print(f"VIOLATION, {what}: {each}")
    return "\n".join(lines) + "\n", violations


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, default=30)
    parser.add_argument("--seed", type=int, default=None, help="of a run to be repeated")
    parser.add_argument("--programs", required=True)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--pause-ms", type=int, default=1000)
    parser.add_argument("--only", help="kinds of faults, by commas: all others are left out")
    parser.add_argument("--report", help="write the table there, too")
    parser.add_argument("--keep", help="keep histories and logs in this directory")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("chaos: network namespaces need root")
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**9)
    length = options.minutes * 60
    faults = schedule.make(seed, length, len(SERVERS), DISKS, options.clients)
    if options.only:
        faults = [fault for fault in faults if fault.kind in options.only.split(",")]
    print(f"chaos: seed {seed}, {length:.0f} s, {len(faults)} faults", flush=True)
    directory = options.keep or tempfile.mkdtemp(prefix="kvchaos-")
    os.makedirs(directory, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        with Fleet(directory, os.path.abspath(options.programs), seed, options.clients, options.threads,
                   options.pause_ms) as fleet:
            run = Run(fleet, faults)
            run.run(length)
            fleet.stop_clients()
            operations = verify(fleet, run)
        text, violations = report(run, operations, fleet, seed, length)
        if options.report:
            with open(options.report, "w") as file:
                file.write(text)
        if any(violations.values()):
            print(f"chaos: FAILED; `scripts/run/chaos.sh {options.minutes:g} --seed {seed}` repeats it")
            sys.exit(1)
        print("chaos: all held")
    finally:
        if not options.keep:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
