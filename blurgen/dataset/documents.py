"""The JSON files beside the shards: read with suspicion, since anyone may have written them."""

from __future__ import annotations

import json
from pathlib import Path

from blurgen.errors import ShardError

MAX_JSON_BYTES = 500_000_000

COPY_AGAIN = "copy it again from where it came"
REPLACE = "`blurgen repair` makes it again"


def read_json(path: Path, advice: str) -> dict:
    """The JSON object in a file. Raises ShardError, which ends in ``advice``, for anything else."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ShardError(f"{path}: longer than {MAX_JSON_BYTES} bytes; refused")
        value = json.loads(path.read_bytes())
        json.dumps(value, ensure_ascii=False).encode()  # fails for half a surrogate pair
    except OSError as error:
        raise ShardError(f"{path}: can't be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise ShardError(f"{path}: damaged (not JSON in UTF-8); {advice}") from None
    if not isinstance(value, dict):
        raise ShardError(f"{path}: damaged (not a JSON object); {advice}")
    return value


def is_count(value: object, low: int = 0, high: int = 2**63 - 1) -> bool:
    """Whether a value of a JSON document is a whole number from ``low`` to ``high``."""
    return type(value) is int and low <= value <= high
