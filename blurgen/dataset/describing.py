"""What can be said of a data set in a few words: for its card, its Croissant file and its citation."""

from __future__ import annotations

import html
import re

from blurgen.dataset.manifest import origins_of
from blurgen.sources.photo import printable

TEXT = 200  # characters of a text from outside

PAPER = """@article{alvarez-gila-2019,
  author  = {Alvarez-Gila, Aitor and Galdran, Adrian and Garrote, Estibaliz and van de Weijer, Joost},
  title   = {Self-supervised blur detection from synthetically blurred scenes},
  journal = {Image and Vision Computing},
  volume  = {92},
  pages   = {103804},
  year    = {2019}
}"""

_MARKDOWN = re.compile(r"[\\`*_\[\]|#~$!{}]")
_TURNS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # they would turn what follows around
_ENTITIES = {":": "&#58;", "@": "&#64;", "www.": "www&#46;"}  # else a renderer would make links of them


def at(recipe: dict, key: str) -> object:
    """The value under a dotted key of a recipe that anyone may have written; None where there is none."""
    value = recipe
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def text(value: object, longest: int = TEXT) -> str:
    """A text from outside as one harmless line of Markdown."""
    line = printable(" ".join(str(value).split()))
    line = _TURNS.sub(lambda found: f"\\u{ord(found[0]):04x}", line)
    line = line if len(line) <= longest else f"{line[:longest]}..."
    line = _MARKDOWN.sub(r"\\\g<0>", html.escape(line, quote=False))
    for char, entity in _ENTITIES.items():
        line = line.replace(char, entity)
    return line or "-"


def title(manifest: dict, about: dict) -> str:
    """What the data set is called: as its maker says, or after its recipes."""
    names = sorted({str(one["recipe"].get("name")) for one in origins_of(manifest)})
    return about.get("name") or f"Blur segmentation pairs ({', '.join(names)})"


def summary(manifest: dict, found: dict) -> str:
    """What the data set is, in a paragraph of plain text."""
    recipes = sorted({str(one["recipe"].get("name")) for one in origins_of(manifest)})
    derived = manifest.get("derived")
    others = "other data sets" if derived and len(derived["parents"]) > 1 else "another data set"
    objects = {"object", "largest-object"} & _mask_kinds(manifest)
    who = "some of the regions are objects that people had annotated" if objects else "nobody drew a mask"
    how = f", derived from {others} by {derived['by']}" if derived else ""
    return (
        f"{found['pairs']} pairs of an image and its blur mask, for training and testing models that find the blurred "
        f"parts of a photo{how}. Regions of {found['photos']} photos were blurred by computer, following "
        f"the {'recipes' if len(recipes) > 1 else 'recipe'} {', '.join(recipes)}; {who}. "
        f"Each pair comes with the whole story of how it was made."
    )


def citation(manifest: dict, about: dict) -> str:
    """BibTeX of the data set."""
    digest, versions = manifest["digest"], _bibtex(", ".join(made_with(manifest)))
    year = _bibtex(about.get("published", ""))[:4]
    fields = {
        "author": f"{{{_bibtex(about['creator'])}}}" if "creator" in about else "",
        "title": _bibtex(title(manifest, about)),
        "year": year,
        "howpublished": f"\\url{{{_plain(about['url'])}}}" if "url" in about else "",
        "note": f"{manifest['pairs']} pairs, made with blurgen {versions}, sha256:{digest}",
    }
    lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value]
    return "\n".join([f"@misc{{blurgen-{digest[:12]},", ",\n".join(lines), "}"])


def _bibtex(value: str) -> str:
    return re.sub(r"([&%$#_~^])", r"\\\1", _plain(value))


def _plain(value: str) -> str:
    return re.sub(r"[{}\\`]", "", printable(" ".join(value.split())))[:TEXT]


def made_with(manifest: dict) -> list[str]:
    """The versions of blurgen that made the pairs."""
    return sorted({str(one["build"].get("blurgen")) for one in origins_of(manifest)})


def follows_the_paper(manifest: dict) -> bool:
    """Whether pairs were made as Alvarez-Gila et al. do: regions of the photo, filled and blurred."""
    return bool({"proposal", "largest-object"} & _mask_kinds(manifest))


def _mask_kinds(manifest: dict) -> set[str]:
    kinds = [at(one["recipe"], "mask.kinds") for one in origins_of(manifest)]
    return {kind for mix in kinds if isinstance(mix, dict) for kind in mix}


def limits(manifest: dict, found: dict) -> list[str]:
    """What the data set is not, as far as its recipes tell, one sentence or two each."""
    recipes = [one["recipe"] for one in origins_of(manifest)]

    def some(key: str, *values: object) -> bool:
        return any(at(recipe, key) in values for recipe in recipes)

    def drawn(key: str, name: str) -> bool:
        mixes = [at(recipe, key) for recipe in recipes]
        return any(name in mix for mix in mixes if isinstance(mix, dict))

    lines = [
        "The blur is synthetic. It follows the masks, not the depth or the motion of the scene.",
        "The mask says where blur was added. What the photo itself shows out of focus counts as sharp.",
        "Blur leaves no trace where there is no texture; the mask says blurred there all the same"
        + ("; the target `unknown` marks such pixels." if "unknown" in found["targets"] else "."),
        "The masks come from a program: a proposal is a region that people might outline, often a part of an object "
        "or a piece of background." if drawn("mask.kinds", "proposal") else "",
        "Half-planes and ellipses, and regions of other photos, pay no heed to what the photo shows."
        if any(drawn("mask.kinds", kind) for kind in ("half-plane", "ellipse", "other-photo")) else "",
        "With a soft border the mask is where the blurred layer is half opaque: blur that has spread farther counts "
        "as sharp." if some("camera.soft_border", True) else "",
        "The border between sharp and blurred is a hard cut, as behind a sharp object; a blurred object in front "
        "would have a soft one." if some("camera.soft_border", False, None) else "",
        "sRGB codes are blurred, not light, so that blurred highlights are darker than a camera's."
        if some("camera.linear_light", False, None) else "",
        "The photo's noise is blurred too: blurred areas hold less of it than sharp ones, which no camera does and a "
        "model can learn." if some("camera.noise", 0, None) else "",
        "Where the blur of a turn, a zoom or a tilted plane is below 0.3 px, pixels count as sharp."
        if any(drawn("blur.motion_kinds", kind) for kind in ("rotation", "zoom"))
        or any(at(recipe, "blur.p_tilt") for recipe in recipes) else "",
        "Images are stored as JPEG after the blur, so they differ from what was computed by a few levels."
        if some("storage.codec", "jpeg") else "",
        f"Pairs from crops smaller than the pair, whose sharp side is a little soft: {found['upscaled']}."
        if found["upscaled"] else "",
        f"Pairs from another photo than planned, since theirs gave no good mask: {found['replaced']}."
        if found["replaced"] else "",
        "Several pairs show the same photo: divide them by photo (`blurgen split`), not at random."
        if found["pairs"] > found["photos"] else "",
        "Regions were found by networks that were fitted on photos of BSDS500, which is for non-commercial research "
        "and education." if drawn("mask.kinds", "proposal")
        and (some("proposals.contours", "learned") or some("proposals.score", "learned")) else "",
        "Nobody looked at the photos for this: they may show people, and what they show may be one-sided.",
    ]  # fmt: skip
    return [line for line in lines if line]
