"""Chooses of a corpus the few inputs that reach each edge of the code, the smallest first.

  keep_corpus.py TARGET FOUND KEPT

libFuzzer's own -merge=1 tells what each input reaches, but keeps one for every count of every edge: a
thousand files. Those named seed-* in KEPT stay whatever they reach; the others there are replaced.
"""
import hashlib
import os
import re
import subprocess
import sys
import tempfile

MOST_FILES = 40
MOST_BYTES = 2048  # of one


def reached(target, folders):
    """The input's path and its edges, for each, by the control file of a merge."""
    with tempfile.TemporaryDirectory() as scratch:
        control = os.path.join(scratch, "control")
        os.mkdir(os.path.join(scratch, "merged"))
        subprocess.run([target, "-merge=1", f"-merge_control_file={control}",
                        os.path.join(scratch, "merged"), *folders], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(control) as lines:
            lines = lines.read().splitlines()
    names = lines[2:2 + int(lines[0])]
    edges = {}
    for line in lines[2 + len(names):]:
        match = re.match(r"COV (\d+)(.*)", line)
        if match:
            edges[names[int(match.group(1))]] = set(match.group(2).split())
    return edges


def main():
    target, found, kept = sys.argv[1:]
    os.makedirs(kept, exist_ok=True)
    edges = reached(target, [found, kept])
    # A COV line has only what the inputs before it did not reach; libFuzzer sorts them by size.
    chosen = []
    for path, new in edges.items():
        if new and os.path.getsize(path) <= MOST_BYTES and "seed-" not in path:
            chosen.append((len(new), path))
    chosen = [path for _, path in sorted(chosen, reverse=True)[:MOST_FILES]]
    contents = []
    for path in chosen:
        with open(path, "rb") as file:
            contents.append(file.read())
    for name in os.listdir(kept):
        if not name.startswith("seed-"):
            os.remove(os.path.join(kept, name))
    for content in contents:
        with open(os.path.join(kept, hashlib.sha256(content).hexdigest()[:12]), "wb") as file:
            file.write(content)
    size = sum(entry.stat().st_size for entry in os.scandir(kept))
    print(f"{os.path.basename(target)}: {len(os.listdir(kept))} inputs, {size} bytes")


if __name__ == "__main__":
    main()
