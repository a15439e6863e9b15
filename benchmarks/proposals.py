"""Quality, time and memory of the object proposals on BSDS500, beside what one would use instead, in the same run.

    python benchmarks/proposals.py --bsds PATH [--split val] [--photos 20] [--methods "blurgen learned" "SLIC x5"]

PATH holds ``images/<split>/*.jpg`` and ``groundTruth/<split>/*.mat``. Every segment of every annotator that covers 1 to
60 % of its photo is looked for: the best Jaccard index among the first N proposals, mean over segments, then over
photos. Of every method only the proposals count whose area blurgen would allow. Each method runs in a process of its
own: CPU time on one thread, after a first photo to warm up, and the peak resident memory of that process, in which the
evaluation has at most 10 MB.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import resource
import shlex
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import cv2
import numpy as np
from scipy.io import loadmat

from blurgen.proposals import ProposalParams, object_proposals

DEPTHS = (10, 100, 1000)
SEGMENT_AREA_RANGE = (0.01, 0.6)
BLURGEN = {
    "blurgen learned": {"contours": "learned", "score": "learned"},
    "blurgen gradient": {"contours": "gradient", "score": "learned"},
    "blurgen gradient, hand-made score": {"contours": "gradient", "score": "hand-made"},
}
FELZENSZWALB_SCALES = (1600, 800, 400, 200, 100, 50)
GRAPH_SCALES = (1600, 800, 400, 200, 100)
SLIC_SEGMENTS = (6, 12, 25, 50, 100)
RECTANGLES = 1000
RESULTS = Path(__file__).parent / "results" / "proposals.md"


@dataclass(frozen=True)
class Regions:
    """Proposals in rank order, each a set of the labels of one map.

    Attributes
    ----------
    labels : ndarray of shape (H, W), int
        0..L-1.
    membership : ndarray of shape (P, L), bool
        Which labels each proposal is made of.
    """

    labels: np.ndarray
    membership: np.ndarray

    def areas_px(self) -> np.ndarray:
        """(P,) int64."""
        return self.membership @ np.bincount(self.labels.ravel(), minlength=self.membership.shape[1])

    def common_px(self, segments: np.ndarray) -> np.ndarray:
        """Pixels that each label of ``segments`` (H, W) shares with each proposal: (S, P) float64."""
        count = self.membership.shape[1]
        joint = np.bincount((segments * count + self.labels).ravel(), minlength=(segments.max() + 1) * count)
        return joint.reshape(-1, count).astype(float) @ self.membership.T

    def only(self, kept: np.ndarray) -> Regions:
        return replace(self, membership=self.membership[kept])


@dataclass(frozen=True)
class Boxes:
    """Proposals in rank order, each a rectangle.

    Attributes
    ----------
    tlbr : ndarray of shape (P, 4), int
        Top, left, bottom, right; the last two are the first row and column outside.
    """

    tlbr: np.ndarray

    def areas_px(self) -> np.ndarray:
        """(P,) int64."""
        top, left, bottom, right = self.tlbr.T
        return (bottom - top) * (right - left)

    def common_px(self, segments: np.ndarray) -> np.ndarray:
        """Pixels that each label of ``segments`` (H, W) shares with each proposal: (S, P) float64."""
        top, left, bottom, right = self.tlbr.T
        common = np.empty((segments.max() + 1, len(self.tlbr)))
        for label, row in enumerate(common):
            total = cv2.integral((segments == label).astype(np.uint8))
            row[:] = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
        return common

    def only(self, kept: np.ndarray) -> Boxes:
        return Boxes(self.tlbr[kept])


Found = list[Regions | Boxes]


def blurgen(params: dict, photo: np.ndarray) -> Found:
    proposals = object_proposals(photo, ProposalParams(**params))
    return [Regions(proposals.superpixels, proposals.membership)]


def felzenszwalb_regions(photo: np.ndarray) -> Found:
    from skimage.segmentation import felzenszwalb

    return [_every_label(felzenszwalb(photo, scale=k, sigma=0.8, min_size=100)) for k in FELZENSZWALB_SCALES]


def slic_regions(photo: np.ndarray) -> Found:
    from skimage.segmentation import slic

    return [_every_label(slic(photo, n_segments=count, start_label=0)) for count in SLIC_SEGMENTS]


def graph_regions(photo: np.ndarray) -> Found:
    create = cv2.ximgproc.segmentation.createGraphSegmentation
    return [_every_label(create(sigma=0.5, k=k, min_size=100).processImage(photo)) for k in GRAPH_SCALES]


def _every_label(labels: np.ndarray) -> Regions:
    """Every region of a segmentation, large ones first."""
    order = np.argsort(-np.bincount(labels.ravel()), kind="stable")
    return Regions(labels, np.eye(len(order), dtype=bool)[order])


def selective_search_boxes(photo: np.ndarray) -> Found:
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))
    search.switchToSelectiveSearchFast()
    left, top, width, height = search.process().astype(np.int64).T
    return [Boxes(np.stack([top, left, top + height, left + width], axis=1))]


def random_rectangles(photo: np.ndarray) -> Found:
    rng = np.random.default_rng(0)
    rows, columns = (np.sort(rng.integers(0, side + 1, (RECTANGLES, 2)), axis=1) for side in photo.shape[:2])
    return [Boxes(np.stack([rows[:, 0], columns[:, 0], rows[:, 1], columns[:, 1]], axis=1))]


METHODS: dict[str, Callable[[np.ndarray], Found]] = {
    **{name: partial(blurgen, params) for name, params in BLURGEN.items()},
    "felzenszwalb x6": felzenszwalb_regions,
    "SLIC x5": slic_regions,
    "cv2 graph segmentation x5": graph_regions,
    "cv2 selective search fast, boxes": selective_search_boxes,
    "random rectangles": random_rectangles,
}
"""From coarse to fine, or as the method ranks them: a photo (H, W, 3) RGB uint8 of at most 512 px to its proposals."""


def of_area(found: Found, area_range_px: tuple[float, float]) -> Found:
    """The proposals whose area is in the range, ends included."""
    least, most = area_range_px
    return [part.only((part.areas_px() >= least) & (part.areas_px() <= most)) for part in found]


def annotations(path: Path) -> list[np.ndarray]:
    """Segment labels (H, W) int64 of each annotator."""
    return [entry["Segmentation"][0, 0].astype(np.int64) for entry in loadmat(path)["groundTruth"][0]]


def jaccard_indices(annotated: list[np.ndarray], found: Found) -> np.ndarray:
    """Jaccard index of each segment that covers 1 to 60 % of the photo with each proposal: (G, P) float64."""
    return np.concatenate([_of_one_annotator(segments, found) for segments in annotated])


def _of_one_annotator(segments: np.ndarray, found: Found) -> np.ndarray:
    sizes = np.bincount(segments.ravel())
    least, most = (share * segments.size for share in SEGMENT_AREA_RANGE)
    used = (sizes >= least) & (sizes <= most)
    columns = []
    for part in found:
        common = part.common_px(segments)[used]
        columns.append(common / np.maximum(sizes[used][:, None] + part.areas_px() - common, 1))
    return np.concatenate(columns, axis=1)


def quality(annotated: list[np.ndarray], found: Found) -> dict[str, float]:
    """Mean best Jaccard index at each depth and of the whole pool, and the size of the pool, by column."""
    scores = jaccard_indices(annotated, found)
    depths = {f"@{depth}": depth for depth in DEPTHS} | {"all": scores.shape[1]}
    best = {name: scores[:, :depth].max(axis=1, initial=0).mean() for name, depth in depths.items()}
    return best | {"proposals": scores.shape[1]}


def measure(name: str, paths: list[tuple[Path, Path]]) -> dict[str, float]:
    """Means over the photos and their annotations, and peaks of the process, which should be a new one, by column."""
    cv2.setNumThreads(1)
    imports = peak_megabytes()
    METHODS[name](_read(paths[0][0]))  # warms up: imports, weights
    rows = [_measure_photo(METHODS[name], _read(photo), annotations(truth)) for photo, truth in paths]
    means = {column: float(np.mean([row[column] for row in rows])) for column in rows[0]}
    return means | {"peak MB": peak_megabytes(), "imports": imports}


def _measure_photo(method: Callable, photo: np.ndarray, annotated: list[np.ndarray]) -> dict[str, float]:
    start = time.process_time()
    found = method(photo)
    seconds = time.process_time() - start
    least, most = (share * photo.shape[0] * photo.shape[1] for share in ProposalParams().area_range)
    return quality(annotated, of_area(found, (least, most))) | {"CPU s": seconds}


def _read(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def peak_megabytes() -> float:
    """Peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_new_process(function: Callable, *arguments):
    """The function's result; a forked process would start with the memory of this one."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def report(options: argparse.Namespace, paths: list[tuple[Path, Path]]) -> Iterator[str]:
    """The lines of the table, each as soon as it is measured."""
    low, high = ProposalParams().area_range
    yield "# Object proposals\n"
    yield (
        f"{datetime.date.today()}, {platform.machine()}, one thread, Python {platform.python_version()}, "
        f"OpenCV {cv2.__version__}, scikit-image {version('scikit-image')}"
    )
    yield f"`{_command(options)}`\n"
    yield (
        f"BSDS500 {options.split}, {len(paths)} photos, mean best Jaccard index at N proposals, all of them of "
        f"{low:.1%} to {high:.0%} of the photo.\n"
    )
    columns = (*(f"@{depth}" for depth in DEPTHS), "all", "proposals", "CPU s", "peak MB")
    yield f"| method | {' | '.join(columns)} |"
    yield "|---" * (1 + len(columns)) + "|"
    for name in options.methods:
        found = in_new_process(measure, name, paths)
        digits = {"proposals": 0, "CPU s": 2, "peak MB": 0}
        yield f"| {name} | {' | '.join(f'{found[column]:.{digits.get(column, 3)}f}' for column in columns)} |"
    yield f"\nOf the peak, {found['imports']:.0f} MB are Python with NumPy, OpenCV and SciPy before the first photo."


def _command(options: argparse.Namespace) -> str:
    """The command line, without this machine's folders."""
    words = ["python", "benchmarks/proposals.py", "--bsds", options.bsds.resolve().name, "--split", options.split]
    words += ["--photos", str(options.photos)] if options.photos else []
    words += ["--methods", *options.methods] if options.methods != list(METHODS) else []
    return shlex.join([*words, "--write"] if options.write else words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bsds", type=Path, required=True, help="folder with images/ and groundTruth/")
    parser.add_argument("--split", default="val", help="train, val or test (default: val)")
    parser.add_argument("--photos", type=int, help="use the first N photos only (default: all)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="default: all")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    options = parser.parse_args()
    if options.photos is not None and options.photos < 1:
        parser.error("--photos must be 1 or more")
    photos = sorted((options.bsds / "images" / options.split).glob("*.jpg"))[: options.photos]
    if not photos:
        parser.error(f"no photo in {options.bsds / 'images' / options.split}")
    truths = [options.bsds / "groundTruth" / options.split / f"{photo.stem}.mat" for photo in photos]
    lines = []
    for line in report(options, list(zip(photos, truths, strict=True))):
        print(line, flush=True)
        lines.append(line)
    if options.write:
        RESULTS.write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
