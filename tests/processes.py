"""What the tests and benchmarks share about the processes that they start."""
import subprocess


def end(process, patience_s):
    """As it would be asked to, and by force where it does not end within that time."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
