"""Look at every photo once: which of them can be used, and what regions they offer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from blurgen.engines import Died, in_parallel, is_quiet
from blurgen.errors import BlurgenError, PhotoError, SourceError
from blurgen.files import sha256
from blurgen.geometry import crop_photo, largest_crop
from blurgen.masks import FOUND
from blurgen.recipe import Recipe
from blurgen.regions import RegionCache, find_regions, region_keys
from blurgen.shards.format import PHOTO_ID_BYTES_MAX
from blurgen.sources import Photo, Source, decode
from blurgen.texture import sharpness

TOO_SOFT = "not sharp enough"
"""How the reason begins for photos that mask.least_sharpness drops."""


KILLS = "kills the process that looks at it (a damaged file, or too little memory)"


INVENTORY = ("sha256", "bytes", "height", "width", "channels", "dtype", "region_keys", "lends")
"""What the manifest keeps of a photo beside its id and licence."""


@dataclass(frozen=True)
class SurveyedPhoto:
    """A photo that can be used: what it was when it was surveyed, and where its regions are."""

    photo: Photo
    sha256: str
    bytes: int
    height: int
    width: int
    channels: int
    dtype: str
    region_keys: dict[str, str]
    lends: bool
    """Whether there are regions of the first kind, for another photo to take."""
    searched: bool = True
    """Whether all its regions are in the cache."""

    def inventory(self) -> dict:
        """What the manifest says of it."""
        values = {name: getattr(self, name) for name in INVENTORY}
        return {"id": self.photo.id, "licence": self.photo.licence, **values}


def survey(
    source: Source, recipe: Recipe, cache: Path, workers: int, progress: bool, find: bool = True
) -> tuple[list[SurveyedPhoto], list[dict]]:
    """Look at every photo once: (usable photos, quarantined [{"id", "reason"}]), both sorted by id.

    Regions are found, or taken from the cache; without ``find`` only taken from the cache. Raises SourceError when no
    photo can be used.
    """
    RegionCache(cache)
    if not source.photos:
        raise SourceError(f"{source.root}: no photo; take another source")
    listed = sorted(source.photos, key=lambda photo: photo.id)
    total = len(listed)
    results = in_parallel(_survey_photo, ((photo, recipe, cache, find) for photo in listed), workers, total)
    what = "proposals" if find else "photos"
    bar = tqdm(results, total=total, desc=what, unit="photo", disable=is_quiet(progress))
    by_id = dict((one.arguments[0].id, KILLS) if isinstance(one, Died) else one for one in bar)
    usable = [by_id[photo.id] for photo in listed if not isinstance(by_id[photo.id], str)]
    bad = [{"id": photo.id, "reason": by_id[photo.id]} for photo in listed if isinstance(by_id[photo.id], str)]
    if not usable:
        counts = Counter(one["reason"] for one in bad).most_common(3)
        reasons = "; ".join(f"{count} x {reason}" for reason, count in counts)
        advice = "take other photos"
        if all(one["reason"].startswith(TOO_SOFT) for one in bad):
            advice += ", or a recipe with a lower mask.least_sharpness"
        raise SourceError(f"{source.root}: none of its {total} photos can be used ({reasons}); {advice}")
    return usable, bad


def _survey_photo(photo: Photo, recipe: Recipe, cache: Path, find: bool) -> tuple[str, SurveyedPhoto | str]:
    """One photo's survey, or the reason why it is quarantined."""
    try:
        if len(photo.id.encode()) > PHOTO_ID_BYTES_MAX:
            raise PhotoError(f"its path is longer than {PHOTO_ID_BYTES_MAX} bytes: shorten it")
        data = photo.read()
        digest = sha256(data)
        keys = region_keys(digest, photo, recipe)
        store = RegionCache(cache)
        pixels = decode(data, recipe.photo.pixels)
        _refuse_soft(pixels, recipe)
        found = {kind: store.get(key) for kind, key in keys.items()}
        for kind in [kind for kind, regions in found.items() if regions is None and find]:
            found[kind] = find_regions(kind, photo, pixels, recipe)
            store.put(keys[kind], found[kind])
        searched = None not in found.values()
        if searched and set(recipe.mask.kinds) <= set(FOUND) and not any(map(len, found.values())):
            raise PhotoError(f"it offers no region of the kinds {', '.join(recipe.mask.kinds)}")
        first = next(iter(found.values()), ())
        lends = first is None or len(first) > 0
        about = (photo, digest, len(data), *pixels.shape, str(pixels.dtype), keys, lends, searched)
        return photo.id, SurveyedPhoto(*about)
    except PhotoError as error:
        return photo.id, str(error)
    except BlurgenError:
        raise
    except Exception as error:  # one photo never ends a run
        return photo.id, f"can't be processed ({type(error).__name__}: {' '.join(str(error).split())[:200]})"


def _refuse_soft(pixels: np.ndarray, recipe: Recipe) -> None:
    """Drop a photo that is soft as a whole at the size at which it would be stored; the draws look at its parts."""
    least = recipe.mask.least_sharpness
    if not least:
        return
    height, width = pixels.shape[:2]
    shown = crop_photo(pixels, largest_crop((height, width), recipe.geometry))
    found = sharpness(shown, np.ones(shown.shape[:2], bool))
    if found < least:
        raise PhotoError(f"{TOO_SOFT}: {found:.2f}, below mask.least_sharpness {least:g}")
