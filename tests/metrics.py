"""Reads a server's metrics as Prometheus would, for tests."""
import re
import shutil
import socket
import subprocess
import urllib.request

SAMPLE = re.compile(r'([a-z_:]+)(?:\{([^}]*)\})? (\S+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"(?:,|$)')
TYPES = {"counter", "gauge", "histogram", "summary"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain"), answer.headers
        return answer.read().decode()


def check(text):
    """Raises on what is no exposition, or against the conventions for names."""
    kinds = {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            assert line.split(" ", 3)[3].strip(), line
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert kind in TYPES and name not in kinds, line
            kinds[name] = kind
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample, line
            float(sample.group(3))
            name = re.sub(r"_(bucket|sum|count)$", "", sample.group(1))
            kind = kinds.get(sample.group(1)) or kinds.get(name)
            assert kind, f"no TYPE before {line}"
            assert (kind == "counter") == sample.group(1).endswith("_total"), line
    # The library adds some of its own.
    assert all(name.startswith(("kvstore_", "exposer_")) for name in kinds), kinds


def promtool(text):
    """What promtool finds wrong with our metrics; empty where it is not installed."""
    tool = shutil.which("promtool")
    if tool is None:
        return ""
    ours = "".join(line + "\n" for line in text.splitlines() if "exposer_" not in line)
    run = subprocess.run([tool, "check", "metrics"], input=ours, capture_output=True, text=True)
    return run.stdout + run.stderr + (f"exit code {run.returncode}" if run.returncode else "")


class Metrics:
    """All samples of one moment."""

    def __init__(self, port):
        self.text = fetch(port)
        check(self.text)
        self.values = {}
        for line in self.text.splitlines():
            if sample := SAMPLE.fullmatch(line):
                labels = frozenset(LABEL.findall(sample.group(2) or ""))
                self.values[sample.group(1), labels] = float(sample.group(3))

    def __call__(self, name, **labels):
        """The value of `kvstore_<name>`; None where there is none."""
        return self.values.get(("kvstore_" + name, frozenset(labels.items())))
