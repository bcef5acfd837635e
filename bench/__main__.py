"""`python -m bench [NAME...]`: run all benchmarks, or those named."""

import sys

from bench import cluster, commands, engine, masking, postgres, startup, vault

BENCHES = {
    "startup": startup.main,
    "masking": masking.main,
    "vault": vault.main,
    "commands": commands.main,
    "engine": engine.main,
    "postgres": postgres.main,
    "cluster": cluster.main,
}


def main() -> int:
    names = sys.argv[1:] or list(BENCHES)
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"error: no benchmark {', '.join(unknown)}; there are: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    for name in names:
        print(f"\n== {name} ==")
        BENCHES[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
