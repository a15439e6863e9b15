"""Damage that libjpeg decodes without a word: JPEGs that were cut short, or filled with zeros by a failed copy.

An undamaged scan can hold zeros too: an optimised Huffman table gives a flat block the code words 0, so a white page is
one long run of zero bytes. The longest run that the tables allow is worked out from them; only a longer one is damage.
"""

import re

from blurgen.errors import PhotoError

_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # a marker other than stuffing, restart and fill bytes
_LONE_MARKERS = {0x01, *range(0xD0, 0xD9)}
_SOF = {0xC0: "sequential", 0xC1: "sequential", 0xC2: "progressive"}
_OTHER_SOF = {0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)}
_DAMAGED_RUN = 256  # bytes of zeros where zeros can't be: more than ten blocks, every coefficient of them negative
_NO_LIMIT = 1 << 62


def check_jpeg(data: bytes) -> None:
    """Walk the segments and scans of a JPEG.

    Parameters
    ----------
    data : bytes
        The file. What follows the first end-of-image marker is not looked at: phones append previews and videos.

    Raises
    ------
    PhotoError
        The image ends before its end-of-image marker, has no scan, or holds a run of zeros that no encoder writes.
    """
    try:
        _walk(data)
    except (IndexError, ZeroDivisionError, KeyError):
        raise PhotoError("damaged JPEG (broken header): copy it again from the original") from None


def _walk(data: bytes) -> None:
    position, frame, codes, scans = 2, None, {}, 0
    while True:
        position = data.find(b"\xff", position)
        while 0 <= position < len(data) - 1 and data[position + 1] == 0xFF:
            position += 1
        if position < 0 or position + 1 >= len(data):
            raise PhotoError("truncated JPEG (no end-of-image marker)")
        marker, position = data[position + 1], position + 2
        if marker == 0xD9:
            break
        if marker in _LONE_MARKERS or marker == 0:
            continue
        body = data[position + 2 : position + int.from_bytes(data[position : position + 2], "big")]
        position += len(body) + 2
        if marker == 0xC4:
            _first_codes(body, codes)
        elif marker in _SOF or marker in _OTHER_SOF:
            frame = _frame(_SOF.get(marker, "other"), body)
        elif marker == 0xDA:
            scans += 1
            position = _check_scan(data, position, _longest_zero_run(frame, codes, body))
    if not scans:
        raise PhotoError("truncated JPEG (no image data)")


def _check_scan(data: bytes, start: int, longest: int) -> int:
    """Where the scan ends. Raises PhotoError if it holds more than ``longest`` zero bytes in a row, or has no end."""
    end = _SCAN_END.search(data, start)
    stop = end.start() if end else len(data)
    if longest < stop - start and data.find(bytes(longest + 1), start, stop) >= 0:
        raise PhotoError("JPEG with zeroed bytes: copy it again from the original")
    if end is None:
        raise PhotoError("truncated JPEG (no end-of-image marker)")
    return stop


def _frame(kind: str, body: bytes) -> dict:
    """What of a frame header counts here: its kind, precision in bits, size in px and each component's sampling."""
    sampling = {body[i]: (body[i + 1] >> 4, body[i + 1] & 15) for i in range(6, 6 + 3 * body[5], 3)}
    size = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    return {"kind": kind, "precision": body[0], "size": size, "sampling": sampling}


def _first_codes(body: bytes, codes: dict) -> None:
    """Note for each Huffman table (class and number in one byte) the all-zero code word: (its bits, its symbol)."""
    while body:
        counts = body[1:17]
        bits = next((length for length, count in enumerate(counts, 1) if count), 0)
        codes[body[0]] = (bits, body[17]) if bits else (1, 0xFF)
        body = body[17 + sum(counts) :]


def _longest_zero_run(frame: dict, codes: dict, body: bytes) -> int:
    """The longest run of zero bytes that an encoder can write into the scan with header ``body``."""
    count = body[0]
    components = [(body[1 + 2 * i], body[2 + 2 * i]) for i in range(count)]
    first, _, step = body[1 + 2 * count : 4 + 2 * count]
    if frame["kind"] == "other":
        return _NO_LIMIT
    largest = [max(axis) for axis in zip(*frame["sampling"].values(), strict=True)]
    height, width = frame["size"]
    mcus = ((height or 65535) // (8 * largest[1]) + 1) * (width // (8 * largest[0]) + 1)
    if frame["kind"] == "progressive" and first > 0:
        blocks = mcus * largest[0] * largest[1]
        return _progressive_ac(codes.get(16 + (components[0][1] & 15), (1, 0xFF)), blocks, refined=step >> 4 > 0)
    if step >> 4:
        return _NO_LIMIT  # a second pass over the DC: one plain bit a block
    return _flat_blocks(frame, codes, components, mcus)


def _flat_blocks(frame: dict, codes: dict, components: list, mcus: int) -> int:
    """Zeros in a sequential or first DC scan: equal blocks without texture, until the photo or the DC's range ends."""
    bits_per_mcu = 0
    for number, tables in components:
        across, down = frame["sampling"][number]
        dc_bits, category = codes.get(tables >> 4, (2, 0))
        bits = dc_bits + category
        if frame["kind"] == "sequential":
            ac_bits, symbol = codes.get(16 + (tables & 15), (1, 0xFF))
            if symbol != 0:  # zeros mean texture here, not "end of block"
                return _DAMAGED_RUN - 1
            bits += ac_bits
        if category:  # each block is darker than the one before by 2**category - 1
            mcus = min(mcus, (8 << frame["precision"]) // ((2**category - 1) * across * down))
        bits_per_mcu += bits * across * down
    return max(_DAMAGED_RUN - 1, (mcus + 2) * bits_per_mcu // 8 + 1)


def _progressive_ac(code: tuple[int, int], blocks: int, *, refined: bool) -> int:
    """Zeros in an AC scan of a progressive JPEG: runs of blocks without texture (first pass), or no limit."""
    bits, symbol = code
    power, size = symbol >> 4, symbol & 15
    if size or power == 15:
        return _DAMAGED_RUN - 1
    if refined:  # correction bits may be zeros for as long as they like
        return _NO_LIMIT
    return max(_DAMAGED_RUN - 1, (blocks // 2**power + 2) * (bits + power) // 8 + 1)
