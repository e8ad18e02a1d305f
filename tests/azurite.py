"""Azurite, Microsoft's emulator of Azure Storage, for tests and benchmarks: install, start, sign."""
import base64
import hashlib
import hmac
import os
import re
import subprocess
import threading
import urllib.parse

import processes

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 20


def account_sas():
    """A query that lets its bearer do everything, so that requests need no signature each."""
    values = {"sv": "2020-08-04", "ss": "b", "srt": "sco", "sp": "rwdlac", "se": "2099-01-01",
              "spr": "https,http"}
    text = "\n".join([ACCOUNT, values["sp"], values["ss"], values["srt"], "", values["se"], "",
                      values["spr"], values["sv"], ""])
    digest = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    return urllib.parse.urlencode({**values, "sig": base64.b64encode(digest).decode()})


class Azurite:
    """Keeps blobs in memory, or in a directory; `with` stops it. `certificate` is its file and its
    key's, for HTTPS. `prefix` is a command that runs the server, such as one that changes the
    network namespace; `on_line` gets each line of its access log."""

    def __init__(self, directory=None, host="127.0.0.1", port=0, certificate=None, prefix=(),
                 on_line=None):
        main = subprocess.run([os.path.join(SOURCE, "scripts/init/install_azurite.sh")], check=True,
                              stdout=subprocess.PIPE, text=True).stdout.strip()
        options = [] if on_line else ["--silent"]
        options += ["--location", directory] if directory else ["--inMemoryPersistence"]
        if certificate:
            options += ["--cert", certificate[0], "--key", certificate[1]]
        self.on_line = on_line
        self.port = None
        self.started = threading.Event()
        self.process = subprocess.Popen(
            [*prefix, "node", main, "--blobHost", host, "--blobPort", str(port),
             "--skipApiVersionCheck", "--disableTelemetry", *options],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if not self.started.wait(START_TIMEOUT_S) or self.port is None:
            self.stop()
            raise RuntimeError("Azurite did not start")
        self.scheme = "https" if certificate else "http"
        self.endpoint = f"{self.scheme}://{host}:{self.port}/{ACCOUNT}"

    def _read(self):
        for line in self.process.stdout:
            if match := re.search(r"successfully listens on https?://.*:(\d+)", line):
                self.port = int(match.group(1))
                self.started.set()
            elif self.on_line:
                self.on_line(line)
        self.started.set()

    def connection_string(self):
        return (f"DefaultEndpointsProtocol={self.scheme};AccountName={ACCOUNT};AccountKey={KEY};"
                f"BlobEndpoint={self.endpoint};")

    def stop(self):
        processes.end(self.process, STOP_TIMEOUT_S)  # killed, it would forget what its directory has
        self.reader.join()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
