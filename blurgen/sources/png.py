"""Damage that OpenCV does not survive well: it makes room for whatever length a PNG's chunk claims to have."""


def is_whole_png(data: bytes) -> bool:
    """Whether all chunks of a PNG, up to the closing one, lie inside of ``data``. What follows is not looked at."""
    start = 8
    while start + 12 <= len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4])
        if data[start + 4 : start + 8] == b"IEND":
            return end <= len(data)
        start = end
    return False
