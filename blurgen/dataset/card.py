"""The data set card, README.md: what a stranger has to know of a frozen data set, from its facts alone."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np

from blurgen.dataset.describing import (
    PAPER,
    TEXT,
    at,
    citation,
    follows_the_paper,
    limits,
    summary,
    text,
    title,
)
from blurgen.dataset.manifest import origins_of
from blurgen.dataset.reading import Dataset
from blurgen.shards.format import BLUR_FIELDS, PREFIXES
from blurgen.sources.photo import printable

BINS = 10
STEPS_PX = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
BAR = 40  # characters of the longest bar
LISTED = 20  # rows of a table of texts, the rest is counted

PARAMETERS = {
    "geometry.size": "size of a pair, height x width [px]",
    "photo.pixels": "pixels",
    "mask.kinds": "masks, and how often each kind is drawn",
    "mask.p_invert": "probability that the outside of the region is blurred",
    "mask.p_second": "probability of a second region, blurred in another way",
    "mask.p_all_sharp": "probability that nothing is blurred",
    "mask.p_all_blurred": "probability that everything is blurred",
    "blur.p_motion": "probability of motion blur, else defocus",
    "blur.defocus_kinds": "defocus",
    "blur.motion_kinds": "motion",
    "blur.sigma_px_range": "sigma of a Gaussian [px]",
    "blur.radius_px_range": "radius of a disk or polygon [px]",
    "blur.length_px_range": "length of a motion [px]",
    "fill.method": "what stands under the sharp side during the blur",
    "camera.linear_light": "light is blurred, not its sRGB code",
    "camera.soft_border": "near blurred objects have soft borders",
    "camera.noise": "share of the photo's noise that is put back",
    "storage.codec": "codec of the images",
    "storage.jpeg_quality": "JPEG quality",
}
"""Dotted key of a recipe -> its meaning: what the card shows of each recipe."""

MASKS = {
    "proposal": "a region that a program found in the photo",
    "object": "an annotated object of the photo",
    "largest-object": "the largest part of the largest annotated object",
    "other-photo": "a region of another photo",
    "half-plane": "one side of a straight line",
    "ellipse": "an ellipse",
    "all-sharp": "nothing is blurred",
    "all-blurred": "everything is blurred",
}
"""Kind of mask -> what it is."""

HISTOGRAMS = {
    "blurred_share": "share of a pair's pixels that are blurred",
    "sigma_px": "standard deviation of the Gaussian blurs [px of the stored image]",
    "radius_px": "radius of the disk and polygon blurs [px of the stored image]",
    "length_px": "length of the motion blurs [px of the stored image]",
    "sharpness": "sharpness of the sharp side (0 smooth to 1; an edge of sigma 1 px has 0.29)",
}


def card(data: Dataset, found: dict, about: dict) -> str:
    """README.md of a data set.

    Parameters
    ----------
    found : dict
        What ``info`` says of it.
    about : dict
        What its maker says of it: name, licence, creator, url, published, as far as given.
    """
    manifest = data.manifest
    parts = [
        _front_matter(manifest, found, about),
        f"# {text(title(manifest, about))}",
        text(summary(manifest, found), 2000),
        _facts(manifest, found, about),
        *_recipes(manifest),
        *_photos(manifest, found),
        *_contents(data, found),
        "## Known limits\n\n" + "\n".join(f"- {line}" for line in limits(manifest, found)),
        _usage(manifest, about),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(manifest: dict, found: dict, about: dict) -> str:
    """What Hugging Face reads."""
    bounds = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
    size = next((name for bound, name in bounds.items() if found["pairs"] < bound), "1M<n<10M")
    licence = about.get("licence")
    lines = [
        f"pretty_name: {_yaml(title(manifest, about))}",
        "license: other",
        *([f"license_name: {_yaml(licence)}"] if licence else []),
        "task_categories:\n- image-segmentation",
        f"size_categories:\n- {size}",
        "tags:\n- blur-detection\n- synthetic\n- croissant",
    ]
    return "\n".join(["---", *lines, "---"])


def _yaml(value: str) -> str:
    """A text for YAML, which takes those of JSON."""
    return json.dumps(printable(value)[:TEXT], ensure_ascii=False)


def _facts(manifest: dict, found: dict, about: dict) -> str:
    sizes = [f"{size} px ({count} pairs)" for size, count in list(found["sizes"].items())[:4]]
    more = f" and {len(found['sizes']) - 4} more" if len(found["sizes"]) > 4 else ""
    rows = {
        "pairs": f"{found['pairs']}",
        "shards": f"{found['shards']} ({found['bytes']:,} bytes)",
        "size of a pair": ", ".join(sizes) + more,
        "targets": ", ".join(["mask (blurred or sharp)", *found["targets"]]),
        "photos": f"{found['photos']}",
        "licence": text(about["licence"]) if "licence" in about else "not stated",
        "other licences": "those of the photos hold for what the pairs show (see below)",
        "made by": text(about["creator"]) if "creator" in about else "",
        "home": text(about["url"]) if "url" in about else "",
        "published": text(about["published"]) if "published" in about else "",
        "schema version": f"{manifest['schema_version']}",
        "digest": f"`{manifest['digest']}`",
    }
    return _table(("", ""), [(name, value) for name, value in rows.items() if value])


def _table(head: tuple, rows: list[tuple]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def _recipes(manifest: dict) -> list[str]:
    """The recipes side by side, and of a derived data set where its pairs come from."""
    origins = origins_of(manifest)
    recipes = list({json.dumps(one["recipe"], sort_keys=True): one["recipe"] for one in origins}.values())
    whole = "The whole recipe is in `recipe.toml`" if "recipe_toml_sha256" in manifest else "The whole recipes are in"
    whole += ", and under `recipe` in `manifest.json`." if whole.endswith("`") else " `manifest.json`, under `origins`."
    rows = [
        (meaning, *(_value(at(recipe, key)) for recipe in recipes[:4]))
        for key, meaning in PARAMETERS.items()
        if any(at(recipe, key) is not None for recipe in recipes)
    ]
    heads = [f"recipe {text(recipe.get('name'))}" for recipe in recipes[:4]]
    parts = [f"## How it was made\n\n{whole}\n\n{_table(('', *heads), rows)}"]
    if "derived" in manifest:
        parts += _origins(manifest)
    return parts


def _value(value: object) -> str:
    """A value of a recipe for people."""
    if isinstance(value, dict):
        return ", ".join(f"{text(name)} {text(share)}" for name, share in value.items())
    if isinstance(value, list):
        return " to ".join(text(one) for one in value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else text(value)


def _origins(manifest: dict) -> list[str]:
    derived = manifest["derived"]
    parents = "\n".join(f"- `{text(digest)}`" for digest in derived["parents"])
    rows = [
        (number, one["pairs"], text(one["recipe"].get("name")), one["seed"], f"`{text(one['digest'])}`")
        for number, one in enumerate(manifest["origins"])
    ]
    origins = _table(("`origin`", "pairs there", "recipe", "seed", "digest"), rows)
    return [
        f"Derived by {text(derived['by'])} from the data sets with these digests:\n\n{parents}",
        "The pairs were made in these data sets (the columns `origin` and `origin_pair` of a pair say in which, and "
        f"under which number):\n\n{origins}",
    ]


def _photos(manifest: dict, found: dict) -> list[str]:
    sources = Counter(
        f"{one['source']} ({one['split']})" if one.get("split") else one["source"] for one in origins_of(manifest)
    )
    parts = [
        "## Photos and their licences\n\n"
        f"From {', '.join(text(name) for name in sources)}. Each photo is listed with its sha256 and licence in "
        "`manifest.json`. What you may do with the pairs is what the licences of the photos allow.",
        _counts(("licence of the photo", "photos"), found["licences"]),
    ]
    reasons = Counter(one["reason"] for one in found["quarantined"])
    if reasons:
        count = sum(reasons.values())
        parts += [
            f"Photos that could not be used: {count}.",
            _counts(("reason", "photos"), dict(reasons.most_common())),
        ]
    return parts


def _counts(head: tuple[str, str], counts: dict[str, int]) -> str:
    rows = [(text(name), count) for name, count in list(counts.items())[:LISTED]]
    rest = sum(list(counts.values())[LISTED:])
    return _table(head, rows + ([(f"{len(counts) - LISTED} others", rest)] if rest else []))


def _contents(data: Dataset, found: dict) -> list[str]:
    shares = {
        "inverted: the outside of the region is blurred": found["inverted_share"],
        "with a second region, blurred in another way": found["second_share"],
        "with a near blurred region, whose border is soft": found["near_share"],
        "that were a JPEG before": found["jpeg_share"],
    }
    rows = [(name, f"{share:.1%}") for name, share in shares.items() if share]
    masks = [(text(kind), count, MASKS.get(kind, "")) for kind, count in found["mask_kinds"].items()]
    return [
        "## What is in it",
        _counts(("blur", "pairs"), found["blur_kinds"]),
        _table(("mask", "pairs", ""), masks),
        *([_table(("pairs", "share"), rows)] if rows else []),
        "Each bar is a count, drawn to the largest of its histogram. Of a pair with two blurs both are counted.",
        "```text\n" + "\n\n".join(_histograms(data)) + "\n```",
    ]


def _histograms(data: Dataset) -> list[str]:
    columns = {name: [] for name in HISTOGRAMS}
    for number in range(len(data.manifest["shards"])):
        with data.open_shard(number) as shard:
            for name, values in columns.items():
                prefixes = PREFIXES if name in BLUR_FIELDS else ("",)
                values += [shard.provenance[prefix + name].copy() for prefix in prefixes]  # a view would keep the table
    whole = {name: np.concatenate(values) for name, values in columns.items()}
    used = {name: values[values > 0] if name in BLUR_FIELDS else values for name, values in whole.items()}
    return [_histogram(HISTOGRAMS[name], values, name in BLUR_FIELDS) for name, values in used.items() if len(values)]


def _histogram(caption: str, values: np.ndarray, in_px: bool) -> str:
    """Ten bins as bars of text: shares from 0 to 1, lengths from a whole px on, in round steps."""
    low = float(np.floor(values.min())) if in_px else 0.0
    width = next(step for step in STEPS_PX if low + BINS * step >= values.max()) if in_px else 1 / BINS
    counts, edges = np.histogram(values, BINS, (low, low + BINS * width))
    digits = len(str(counts.max()))
    rows = [
        f"{edges[place]:7.2f} to {edges[place + 1]:7.2f}  {count:{digits}d}  {'#' * _length(count, counts.max())}"
        for place, count in enumerate(counts.tolist())
    ]
    return "\n".join([caption, *(row.rstrip() for row in rows)])


def _length(count: int, most: int) -> int:
    """Of a bar: none for none, at least one character for any."""
    return -(-count * BAR // int(most))


def _usage(manifest: dict, about: dict) -> str:
    paper = "\n\nand the method:\n\n```bibtex\n" + PAPER + "\n```" if follows_the_paper(manifest) else ""
    return f"""## Load it

```python
from blurgen import open_dataset

data = open_dataset(".")  # the folder that this file is in
pair = data[0]
print(len(data), pair.image.shape, pair.mask.mean(), pair.provenance["blur_kind"])
```

`image` is (H, W, channels), RGB if there are three; `mask` is (H, W) bool, True where blurred. Without blurgen: a
shard is a plain HDF5 file, `docs/format.md` of blurgen describes it and reads one with h5py, numpy and zlib alone.

## Check it

```console
blurgen verify .
```

checks the sha256 of every file and every count. If it finds no fault, and the digest is the one that you were told,
then this is the data set that you were told of. `blurgen replay` makes pairs again from their photos and compares them.

## Cite it

```bibtex
{citation(manifest, about)}
```{paper}"""
