"""Azurite, Microsoft's emulator of Azure Blob Storage, for tests of whole servers."""
import os
import re
import subprocess
import threading

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ACCOUNT = "devstoreaccount1"
KEY = ("Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/"
       "KBHBeksoGMGw==")
START_TIMEOUT_S = 60


class Azurite:
    """Starts it on a free port of the loopback, in memory or in a directory; `with` stops it."""

    def __init__(self, directory=None, port=0, certificate=None, host="127.0.0.1", prefix=()):
        main = subprocess.run([os.path.join(SOURCE, "scripts/init/install_azurite.sh")],
                              check=True, capture_output=True, text=True).stdout.strip()
        command = [*prefix, "node", main, "--silent", "--blobHost", host, "--blobPort", str(port),
                   "--skipApiVersionCheck", "--disableTelemetry"]
        command += ["--location", directory] if directory else ["--inMemoryPersistence"]
        if certificate:
            command += ["--cert", certificate[0], "--key", certificate[1]]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.started = threading.Event()
        self.port = None
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if not self.started.wait(START_TIMEOUT_S) or self.port is None:
            self.stop()
            raise RuntimeError("Azurite did not start")
        scheme = "https" if certificate else "http"
        self.endpoint = f"{scheme}://{host}:{self.port}/{ACCOUNT}"

    def _read(self):
        for line in self.process.stdout:
            match = re.search(r"listens on https?://[^:]+:(\d+)", line)
            if match:
                self.port = int(match.group(1))
                self.started.set()
        self.started.set()

    def connection_string(self):
        return (f"DefaultEndpointsProtocol={self.endpoint.split(':')[0]};AccountName={ACCOUNT};"
                f"AccountKey={KEY};BlobEndpoint={self.endpoint};")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()  # killed, it would forget what it has in its directory
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join(10)
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
