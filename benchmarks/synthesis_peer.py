"""albumentations' part of benchmarks/synthesis.py: run by it with a Python that has albumentations, not blurgen.

    python benchmarks/synthesis_peer.py FOLDER

Reads rows.json and masks.npz from FOLDER and prints the CPU seconds that the pairs took.
"""

import json
import sys
import time
from pathlib import Path

import albumentations
import cv2
import numpy as np


def main() -> None:
    cv2.setNumThreads(1)
    folder = Path(sys.argv[1])
    work = json.loads((folder / "rows.json").read_text())
    with np.load(folder / "masks.npz") as stored:
        masks = [stored[name].astype(np.uint8) for name in stored.files]
    defocus = albumentations.Compose([albumentations.GaussianBlur(sigma_limit=(1, 6), blur_limit=0, p=1)])
    motion = albumentations.Compose([albumentations.MotionBlur(blur_limit=(7, 25), p=1)])
    flags = [cv2.IMWRITE_JPEG_QUALITY, work["quality"], cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
    path = None
    started = time.process_time()
    for row, mask in zip(work["rows"], masks, strict=True):
        if row["path"] != path:
            path = row["path"]
            photo = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
        top, left, crop_height, crop_width, height, width = row["crop"]
        window = photo[top : top + crop_height, left : left + crop_width]
        method = cv2.INTER_AREA if crop_height >= height else cv2.INTER_CUBIC
        sharp = cv2.resize(window, (width, height), interpolation=method)
        blurred = (defocus if row["kind"] == "gaussian" else motion)(image=sharp)["image"]
        image = sharp.copy()
        cv2.copyTo(blurred, mask, image)
        cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)
    print(time.process_time() - started)


if __name__ == "__main__":
    main()
