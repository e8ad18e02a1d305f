"""Debian's Chromium, driven by playwright-core, for tests."""
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import processes  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(HERE))


def why_not():
    """None where a browser can be had; else what is missing."""
    for program in ("chromium", "node", "npm"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return None


class Browser:
    """`with` ends it. Methods raise AssertionError with what the browser said."""

    def __init__(self):
        playwright = subprocess.run([os.path.join(ROOT, "scripts/init/install_playwright.sh")],
                                    check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        self.process = subprocess.Popen(
            ["node", os.path.join(HERE, "browser.mjs"), playwright, shutil.which("chromium")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _do(self, do, **arguments):
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the browser ended"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def open(self, url, **view):
        self._do("open", url=url, **view)

    def evaluate(self, expression):
        return self._do("evaluate", expression=expression)

    def text(self, selector):
        return self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def wait(self, expression, seconds=60):
        self._do("wait", expression=expression, seconds=seconds)

    def press(self, key):
        self._do("press", key=key)

    def picture(self, path, whole=False):
        self._do("picture", path=path, whole=whole)

    def said(self):
        return self._do("said")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            pass
        processes.end(self.process, 20)
        self.process.stdout.close()
