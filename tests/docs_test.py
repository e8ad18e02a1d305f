"""What the documents say can be done, done: every block of commands in README.md and docs/.

A copy of the repository's files stands for a fresh clone, with the build's programs in it, in a network
namespace of its own where that may be made, so that the ports that documents name are free. A document's
blocks run in order, each by bash, and any command that fails ends the test. A comment before a block
changes that:

  <!-- docs_test: background PORT -->   runs on, until that port's next; the others wait until it listens
  <!-- docs_test: stop -->              ends what runs in the background first
  <!-- docs_test: file PATH -->         is no command: saved there
  <!-- docs_test: run PROGRAM -->       is a file for that program
  <!-- docs_test: printed -->           is what the block before it printed, among other things
  <!-- docs_test: usage -->             is a synopsis: the script is there and knows these options
  <!-- docs_test: npm -->               needs npm, and is left out without
  <!-- docs_test: elsewhere REASON -->  cannot run here

Links between the documents must lead somewhere, too.
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import processes

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("KVSTORE_BUILD", os.path.join(ROOT, "build/release"))
BLOCK_S = 240
START_S = 60
COMMANDS = {"sh"}
NAMESPACE = "KVSTORE_DOCS_NAMESPACE"
AZURITE = "KVSTORE_AZURITE_DIR"

# Asks only whether the packages are there; what installs them is scripts/init/install_deps.sh.
SUDO = """#!/bin/sh
[ "$1 $2" = "apt-get install" ] || { echo "sudo $*: not in a test" >&2; exit 1; }
shift 2
exec dpkg -s "$@" >/dev/null
"""


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def documents():
    names = ["README.md"] + sorted("docs/" + name for name in os.listdir(os.path.join(ROOT, "docs")))
    return [name for name in names if name.endswith(".md")]


def repository_files():
    """As git knows them; without git all that no build has made."""
    listed = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=ROOT,
                            capture_output=True, text=True)
    if listed.returncode == 0:
        return list(filter(None, listed.stdout.split("\0")))
    files = []
    for directory, names, inside in os.walk(ROOT):
        names[:] = [name for name in names if name not in ("build", ".git", "node_modules")]
        files += [os.path.relpath(os.path.join(directory, name), ROOT) for name in inside]
    return files


class Block:
    def __init__(self, where, language, rule, argument, text):
        self.where, self.language, self.rule = where, language, rule
        self.argument, self.text = argument, text


def blocks(document):
    """Of a document, with what the comment before each says."""
    found, lines = [], read(document).split("\n")
    comment, start = ("", ""), None
    for number, line in enumerate(lines, 1):
        fence = re.fullmatch(r"```(\w*)", line)
        said = re.fullmatch(r"<!-- docs_test: (\w+) ?(.*?) -->", line)
        if start is None and said:
            comment = said.groups()
        elif start is None and fence:
            start, language, text = number, fence.group(1), []
        elif start is not None and line == "```":
            found.append(Block(f"{document}:{start}", language, *comment, "\n".join(text)))
            comment, start = ("", ""), None
        elif start is not None:
            text.append(line)
    return found


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Clone:
    """The repository's files in a directory of their own; what documents make goes there."""

    def __init__(self, root):
        self.root, self.background, self.printed = os.path.join(root, "kvstore"), None, ""
        for name in repository_files():
            if os.path.isfile(os.path.join(ROOT, name)):
                into = os.path.join(self.root, name)
                os.makedirs(os.path.dirname(into), exist_ok=True)
                shutil.copy(os.path.join(ROOT, name), into)
        os.makedirs(os.path.join(self.root, "build"))
        os.symlink(BUILD, os.path.join(self.root, "build/release"))
        programs = os.path.join(root, "programs")
        os.makedirs(programs)
        os.makedirs(os.path.join(root, "home"))
        with open(os.path.join(programs, "sudo"), "w") as sudo:
            sudo.write(SUDO)
        os.chmod(os.path.join(programs, "sudo"), 0o755)
        self.environment = {**os.environ, "HOME": os.path.join(root, "home"),
                            "PATH": programs + ":" + os.environ["PATH"]}
        for name in list(self.environment):
            if name.startswith(("KVSTORE_", "AZURE_")) and name != AZURITE:
                del self.environment[name]

    def stop(self):
        """The block in the background, if there is one: its shell became the server."""
        if self.background is not None:
            processes.end(self.background, 20)
        self.background = None

    def start(self, command, port):
        """Until it listens there."""
        self.stop()
        log = os.path.join(self.root, "background.log")
        with open(log, "w") as output:
            self.background = subprocess.Popen(
                ["bash", "-ec", "exec " + command], cwd=self.root, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_S
        while not listens(port):
            if self.background.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"nothing listens on {port}\n{read(log)}")
            time.sleep(0.05)

    def run(self, arguments):
        process = subprocess.Popen(arguments, cwd=self.root, env=self.environment,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, start_new_session=True)
        try:
            self.printed, _ = process.communicate(timeout=BLOCK_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError("took longer than "
                                 f"{BLOCK_S} s\n{process.communicate()[0]}") from None
        if process.returncode != 0:
            raise AssertionError(f"exit code {process.returncode}\n{self.printed}")

    def save(self, path, text):
        into = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(into), exist_ok=True)
        with open(into, "w", encoding="utf-8") as file:
            file.write(text + "\n")


def check_usage(text):
    """The scripts of a synopsis are there, and they or what they start know the options."""
    for line in filter(None, text.split("\n")):
        line = line.split("#")[0]
        words = re.findall(r"[\w./-]+", line)
        scripts = [word for word in words if re.fullmatch(r"[\w/]+\.(sh|py)", word)]
        assert scripts, f"no script in {line!r}"
        known = ""
        for script in scripts:
            known += read(script)
        for started in re.findall(r"[\w/]+\.py", known):
            if os.path.isfile(os.path.join(ROOT, started)):
                known += read(started)
        for option in re.findall(r"(?<=[\s\[])--[\w-]+", line):
            assert option in known, f"{scripts[0]} knows no {option}"


class Documents(unittest.TestCase):
    def play(self, document):
        if document not in documents():
            self.skipTest("no such document")
        with tempfile.TemporaryDirectory() as root:
            clone = Clone(root)
            try:
                for block in blocks(document):
                    self.play_block(clone, block)
            finally:
                clone.stop()

    def play_block(self, clone, block):
        rule = block.rule
        self.assertIn(rule, {"", "background", "stop", "file", "run", "printed", "usage", "npm",
                             "elsewhere"}, block.where)
        if rule == "elsewhere":
            self.assertTrue(block.argument, f"{block.where}: why?")
            return
        if rule == "npm" and shutil.which("npm") is None:
            print(f"{block.where}: left out, there is no npm", file=sys.stderr)
            return
        try:
            if rule == "file":
                clone.save(block.argument, block.text)
            elif rule == "run":
                clone.save("block", block.text)
                clone.run([block.argument, "block"])
            elif rule == "printed":
                for line in block.text.split("\n"):
                    self.assertIn(line.rstrip(), clone.printed)
            elif rule == "usage":
                check_usage(block.text)
            elif block.language in COMMANDS and rule == "background":
                clone.start(block.text, int(block.argument))
            elif block.language in COMMANDS:
                if rule in ("stop", "npm"):
                    clone.stop()
                # -m: with jobs, which %1 names, as at a terminal.
                clone.run(["bash", "-emc", block.text])
            else:
                self.assertEqual(rule, "", block.where)
        except (AssertionError, OSError, subprocess.CalledProcessError) as error:
            self.fail(f"{block.where}: {error}")

    def test_links_lead_somewhere(self):
        def anchors(path):
            text = read(path)
            heads = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
            return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}

        for document in documents():
            here = os.path.join(ROOT, document)
            text = re.sub(r"```.*?```", "", read(here), flags=re.S)
            for target in re.findall(r"\]\(([^)\s]+)\)", text):
                if "://" in target:
                    continue
                path, _, anchor = target.partition("#")
                path = os.path.normpath(os.path.join(os.path.dirname(here), path)) if path else here
                self.assertTrue(os.path.exists(path), f"{document}: {target}")
                if anchor:
                    self.assertIn(anchor, anchors(path), f"{document}: {target}")


def add_documents():
    for document in documents():
        if blocks(document):
            name = re.sub(r"\W", "_", document.lower())
            setattr(Documents, f"test_{name}", lambda self, document=document: self.play(document))


def own_network():
    """Starts anew where the ports that documents name are free; goes on as it is where it may not."""
    if os.environ.get(NAMESPACE) or shutil.which("unshare") is None:
        return
    if shutil.which("npm"):  # nothing can be fetched in there
        main = subprocess.run([os.path.join(ROOT, "scripts/init/install_azurite.sh")], check=True,
                              capture_output=True, text=True).stdout.strip()
        os.environ[AZURITE] = main.split("/node_modules/")[0]
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0:
        command = 'ip link set lo up && exec "$@"'
        os.environ[NAMESPACE] = "1"
        os.execvp("unshare", ["unshare", "-n", "sh", "-c", command, "-", sys.executable, *sys.argv])


if __name__ == "__main__":
    own_network()
    add_documents()
    unittest.main(verbosity=2)
