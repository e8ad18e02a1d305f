"""An interactive zsh in a terminal of its own, for tests of what its Tab key does."""
import os
import pty
import select
import signal
import time

LONG_S = 60
# Shows the line in brackets and clears it, where ^X p is pressed.
SHOW = """show() { zle -I; print -r -- '[''['$BUFFER']'']'; BUFFER=; }"""


class Zsh:
    def __init__(self, directory, *setup):
        """`directory` is its home and where it works; `setup` are commands."""
        self.said = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(directory)
            os.execvpe("zsh", ["zsh", "-f", "-i"], {**os.environ, "HOME": directory,
                                                    "TERM": "dumb", "LC_ALL": "C.UTF-8"})
        for line in ("unsetopt zle_bracketed_paste promptcr promptsp; PS1=; LISTMAX=0", *setup,
                     SHOW, "zle -N show", "bindkey '^Xp' show", "print -r -- set-'up'"):
            self._send(line + "\n")
        self._wait("set-up\r\n")

    def _send(self, text):
        os.write(self.fd, text.encode())

    def _wait(self, text):
        """What it says up to this."""
        end = time.monotonic() + LONG_S
        while text not in self.said:
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"no {text!r} in {self.said!r}")
            self.said += os.read(self.fd, 65536).decode(errors="replace")
        before, self.said = self.said.split(text, 1)
        return before

    def completed(self, line):
        """What the Tab key makes of the line."""
        self._send(line + "\t\x18p")
        self._wait("[[")
        return self._wait("]]")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGHUP)
        os.close(self.fd)
        os.waitpid(self.pid, 0)
