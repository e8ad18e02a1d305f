"""What the numbers were measured on and with."""
import os
import platform
import subprocess
import sys

from contenders import find


def read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def say(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        return (done.stdout or done.stderr).strip().split("\n")[0]
    except (OSError, subprocess.TimeoutExpired):
        return "not there"


def field(path, key):
    for line in read(path).split("\n"):
        if line.startswith(key):
            return line.split(":", 1)[1].strip()
    return ""


def describe(programs):
    memory_kb = int(field("/proc/meminfo", "MemTotal").split()[0])
    return {
        "command": " ".join(["scripts/run/bench.sh"] + shown_arguments()),
        "processor": f"{field('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores",
        "memory": f"{memory_kb / 1e6:.0f} GB",
        "kernel": platform.release(),
        "congestion control": read("/proc/sys/net/ipv4/tcp_congestion_control")
        + " (the same for all)",
        "KVStore": say(os.path.join(programs, "KVStoreServer"), "--version") + ", commit "
        + say("git", "rev-parse", "--short", "HEAD"),
        "gRPC": say("pkg-config", "--modversion", "grpc++"),
        "Redis": say(find("redis-server") or "redis-server", "--version"),
        "hiredis": say("pkg-config", "--modversion", "hiredis"),
        "memcached": say(find("memcached") or "memcached", "-V"),
        "nginx": say(find("nginx") or "nginx", "-v"),
        "load at the start": "%.1f %.1f %.1f" % os.getloadavg(),
    }


def shown_arguments():
    """The command line without what bench.sh adds."""
    arguments, shown = iter(sys.argv[1:]), []
    for argument in arguments:
        if argument == "--programs":
            next(arguments)
        else:
            shown.append(argument)
    return shown
