"""The JSON files beside the shards: read with suspicion, since anyone may have written them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from blurgen.errors import ShardError
from blurgen.files import json_bytes, read_plain

MAX_JSON_BYTES = 500_000_000

COPY_AGAIN = "copy it again from where it came"
REPLACE = "`blurgen repair` makes it again, or says how"


def read_json(path: Path, advice: str, *, any_spelling: bool = False) -> dict:
    """The JSON object in a file. Raises ShardError, which ends in ``advice``, for anything else.

    Two spellings of one value would be two files under one digest, so all but ours is refused; ``any_spelling`` leaves
    that, which takes longer than all else, to ``verify``.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ShardError(f"{path}: longer than {MAX_JSON_BYTES} bytes; refused")
        data = read_plain(path)
        value = json.loads(data)
        if re.search(rb"\\u[dD]", data):
            json.dumps(value, ensure_ascii=False).encode()  # fails for half a surrogate pair
        spelled = any_spelling or json_bytes(value) == data
    except OSError as error:
        raise ShardError(f"{path}: can't be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise ShardError(f"{path}: damaged (not JSON in UTF-8); {advice}") from None
    if not isinstance(value, dict):
        raise ShardError(f"{path}: damaged (not a JSON object); {advice}")
    if not spelled:
        raise ShardError(f"{path}: damaged (not spelled as blurgen spells it); {advice}")
    return value


def is_count(value: object, low: int = 0, high: int = 2**63 - 1) -> bool:
    """Whether a value of a JSON document is a whole number from ``low`` to ``high``."""
    return type(value) is int and low <= value <= high


def is_digest(value: object) -> bool:
    """Whether a value of a JSON document is a sha256 in hex."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None
