"""How much of the rules and of the stages some simulated runs go through: lines of code, beside an aim.

Each seed is a short run with everything that may go wrong, as `make test` has two hundred. A line that no run reaches
is one that the simulation says nothing of. The files that are reached least are named.
Run: `python bench/simulation_coverage.py [--seeds 50] [--first 0] [--quick]`.
"""

import argparse
from pathlib import Path

from coverage import Coverage

ROOT = Path(__file__).parents[1]

#: Room → share of its lines that the runs should reach.
AIMS = {"domain": 0.9, "streams/stages": 0.85}

#: Files that are named for each room. Lower: what is missing is guessed. Higher: nobody reads it.
NAMED = 5


def live(first: int, seeds: int, days: int) -> None:
    """Live the runs. The program is imported here, so that what an import runs counts as well."""
    from streams.simulation.silence import silent  # noqa: PLC0415 - what an import runs counts
    from streams.simulation.simulation import simulate  # noqa: PLC0415 - what an import runs counts
    from streams.simulation.spec import PlanSpec  # noqa: PLC0415 - what an import runs counts

    for seed in range(first, first + seeds):
        with silent():
            simulate(PlanSpec(seed=seed, days=days, invoices=4, heal_days=9 if days > 1 else 1).plan())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a small run that only shows that it works")
    options = parser.parse_args()
    coverage = Coverage(source_pkgs=["domain", "streams"], data_file=None, config_file=False)
    coverage.start()
    live(options.first, 1 if options.quick else options.seeds, 1 if options.quick else 4)
    coverage.stop()
    for room, aim in AIMS.items():
        files: list[tuple[float, str]] = []
        lines = reached = 0
        for path in sorted((ROOT / room).glob("*.py")):
            _, statements, _, missing, _ = coverage.analysis2(str(path))
            lines, reached = lines + len(statements), reached + len(statements) - len(missing)
            if statements:
                files.append((1 - len(missing) / len(statements), path.name))
        share = reached / lines
        verdict = "met" if share >= aim else "missed"
        print(f"{room}: {reached:,} of {lines:,} lines: {100 * share:.1f} %")
        print(f"  aim {100 * aim:.0f} %: ratio {share / aim:.2f} ({verdict})")
        print("  least: " + ", ".join(f"{name} {100 * part:.0f} %" for part, name in sorted(files)[:NAMED]))


if __name__ == "__main__":
    main()
