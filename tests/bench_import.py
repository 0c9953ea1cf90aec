"""What `import memcore` and the first look-up cost: `python tests/bench_import.py`.

Each figure is the median over fresh interpreters, less the start of the interpreter itself.
"""

import statistics
import subprocess
import sys

IMPORT = "import memcore"
SCAN = "import memcore, importlib.metadata; start(); list(memcore.devices)"
HOT = "import memcore; f = memcore.devices; f['ideal']; start()\nfor _ in range(100000): f['ideal']"
TIMED = """
import time
begin = time.perf_counter()
def start():
    global begin
    begin = time.perf_counter()
exec({code!r})
print(time.perf_counter() - begin)
"""


def main() -> None:
    """Print the table."""
    run("import memcore, sys; assert 'torch' not in sys.modules")
    print(f"import memcore                 {1e3 * median(IMPORT):8.1f} ms, and no torch")
    print(f"scan of the entry points       {1e3 * median(SCAN):8.1f} ms")
    print(f"look-up of a loaded device     {1e6 * median(HOT) / 1e5:8.2f} us")


def median(code: str, repeat: int = 9) -> float:
    """Seconds that the code takes in a fresh interpreter."""
    return statistics.median(run(code) for _ in range(repeat))


def run(code: str) -> float:
    """Seconds that the code takes, told by the interpreter that runs it."""
    command = [sys.executable, "-c", TIMED.format(code=code)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
