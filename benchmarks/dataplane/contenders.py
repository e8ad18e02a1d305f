"""Starts and ends the servers that are measured, each on a free port of the loopback."""
import os
import shutil
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests"))
import processes  # noqa: E402

START_SECONDS = 60  # on a machine that is busy with other things
STOP_SECONDS = 20
HOST = "127.0.0.1"
FULL = 2_300_000_000  # bytes that more than fill 2 GiB

NGINX_CONFIG = """
daemon off;
master_process off;
pid {root}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  client_body_temp_path {root}/body;
  proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
  uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
  server {{
    listen {host}:{port} backlog=1024;
    root {root}/files;
  }}
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def find(program):
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")


class Server:
    """A process of ours; `target` is what the client is told."""

    def __init__(self, name, root, command):
        """`command` is made of a port, since each program takes it in its own way."""
        self.name, self.root = name, root
        os.makedirs(root, exist_ok=True)
        self.port = free_port()
        self.target = f"{HOST}:{self.port}"
        self.log = open(os.path.join(root, "server.log"), "ab")
        self.process = subprocess.Popen(command(self.port), stdout=subprocess.DEVNULL,
                                        stderr=self.log, cwd=root)
        self.pid = self.process.pid
        self.wait_until_listening()

    def wait_until_listening(self):
        deadline = time.monotonic() + START_SECONDS
        while True:
            with socket.socket() as probe:
                if probe.connect_ex((HOST, self.port)) == 0:
                    return
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.stop()
                raise RuntimeError(f"{self.name} did not start; see {self.root}/server.log")
            time.sleep(0.002)

    def stop(self):
        processes.end(self.process, STOP_SECONDS)
        self.log.close()


class NoServer:
    """For what runs in the client alone."""
    pid = 0

    def __init__(self, root):
        self.target = root
        os.makedirs(root, exist_ok=True)

    def stop(self):
        pass


class Contender:
    """One line of the tables: a server, and the client's name for it."""

    def __init__(self, name, client, start, fill_bytes=0):
        """`fill_bytes` are written before anything is measured."""
        self.name, self.client, self.start, self.fill_bytes = name, client, start, fill_bytes


def ours(name, programs, durability="none", memory="6GiB", capacity="16GiB", fill_bytes=0):
    def start(root):
        return Server(name, root, lambda port: [
            os.path.join(programs, "KVStoreServer"), "--host", HOST, "--port", str(port),
            "--data-dir", os.path.join(root, "data"), "--durability", durability,
            "--memory", memory, "--capacity", capacity, "--log-level", "error",
            "--disable-metrics"])
    return Contender(name, "ours", start, fill_bytes)


def bare(mode, programs):
    return Contender(mode, mode, lambda root: Server(mode, root, lambda port: [
        os.path.join(programs, "bench_server"), mode, str(port)]))


def redis(name, appendonly):
    def start(root):
        return Server(name, root, lambda port: [
            find("redis-server"), "--bind", HOST, "--port", str(port), "--dir", root,
            "--daemonize", "no", "--save", "", "--appendonly", appendonly, "--appendfsync",
            "everysec", "--auto-aof-rewrite-percentage", "0"])
    return Contender(name, "redis", start)


def memcached():
    def start(root):
        user = ["-u", "root"] if os.geteuid() == 0 else []
        return Server("memcached", root, lambda port: [
            find("memcached"), *user, "-l", HOST, "-p", str(port), "-U", "0", "-m", "2048",
            "-I", "128m", "-t", "2"])
    return Contender("memcached", "memcached", start)


def nginx(sizes):
    """`sizes`: (bytes, how many) of the files."""
    def start(root):
        files = os.path.join(root, "files")
        os.makedirs(files)
        os.chmod(root, 0o755)
        for size, count in sizes:
            for index in range(count):
                with open(f"{files}/{size}-{index}", "wb") as file:
                    file.write(os.urandom(size))

        def command(port):
            with open(f"{root}/nginx.conf", "w") as file:
                file.write(NGINX_CONFIG.format(root=root, host=HOST, port=port))
            return [find("nginx"), "-p", root, "-c", f"{root}/nginx.conf"]
        return Server("nginx", root, command)
    return Contender("nginx", "nginx", start)


def file_loop():
    return Contender("file loop", "file-loop", NoServer)


def everyone(programs, sizes):
    """All contenders by name."""
    contenders = [
        ours("ours", programs),
        # A cache that has run for a while: each write evicts, and memory is reused, as that of
        # Redis, memcached and the bare server is, who write over the same keys or keep nothing.
        ours("ours full", programs, memory="512MiB", capacity="2GiB", fill_bytes=FULL),
        ours("ours batch", programs, "batch", memory="512MiB", capacity="2GiB", fill_bytes=FULL),
        # Less than a hundredth of what is read fits into so little memory.
        ours("ours disk", programs, memory="16MiB"),
        bare("raw", programs), bare("protobuf", programs), bare("tcp", programs),
        redis("redis", "no"), redis("redis aof", "yes"), memcached(), nginx(sizes), file_loop()]
    return {contender.name: contender for contender in contenders}


def drop_page_cache(folder):
    """Of the files in it, so that the next read comes from the disk."""
    for path, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(path, name), "rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
