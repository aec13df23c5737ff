"""`python -m benchmarks.scale`: writes the tables of docs/scale.md and their picture from costs.json, in seconds."""

import argparse
import time

from benchmarks.scale.page import PAGE, draw, rewritten


def main() -> None:
    """Run what the command line says."""
    argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__).parse_args()
    begun = time.perf_counter()
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    draw()
    print(f"{PAGE.name} and its picture are written, in {time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
