"""The counts that a torture ends with, printed and, if $BLURGEN_TORTURE_REPORT names a file, added to it."""

import json
import os


def report(what: str, counts: dict[str, int]) -> None:
    """Print one line of counts, and add it to the report as one line of JSON."""
    print(f"\n{what}: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
    if path := os.environ.get("BLURGEN_TORTURE_REPORT"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"torture": what, **counts}) + "\n")
