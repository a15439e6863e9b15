"""croissant.json: the data set in the words of Croissant 1.1, which search engines and loaders of data sets read.

Specification: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html
"""

from __future__ import annotations

from blurgen.dataset.describing import citation, limits, made_with, summary, title
from blurgen.dataset.manifest import origins_of
from blurgen.shards.format import MANIFEST_NAME

CONFORMS_TO = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]

_OWN_WORDS = (
    *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileProperty"),
    *("fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5"),
    *("parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator"),
    *("source", "subField", "transform"),
)
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    **{word: f"cr:{word}" for word in _OWN_WORDS},
}
"""Of appendix 1 of the specification, the form that mlcroissant takes for the standard one."""

_FORMATS = {"h5": "application/x-hdf5", "json": "application/json", "toml": "application/toml"}

_AGAIN = "manifest-shards"
"""A second mention of the manifest: mlcroissant reads but one list of records from each."""


def croissant(manifest: dict, found: dict, about: dict, files: dict[str, tuple[str, int]]) -> dict:
    """The JSON-LD document of a data set.

    Parameters
    ----------
    found : dict
        What ``info`` says of it.
    about : dict
        What its maker says of it: name, licence, creator, url, published, as far as given.
    files : dict
        Name of each file to list -> its sha256 and its length in bytes: the manifest, the recipe if there is one, the
        shards.
    """
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": title(manifest, about),
        "description": summary(manifest, found),
        "version": "1.0.0",  # a frozen data set has no second one
        "identifier": f"sha256:{manifest['digest']}",
        "citeAs": citation(manifest, about),
        "license": [about["licence"]] if "licence" in about else sorted(found["licences"]),
        "isLiveDataset": False,
        "keywords": ["blur detection", "blur segmentation", "defocus", "motion blur", "synthetic"],
        **({"creator": {"@type": "sc:Organization", "name": about["creator"]}} if "creator" in about else {}),
        **({"url": about["url"]} if "url" in about else {}),
        **({"datePublished": about["published"]} if "published" in about else {}),
        **_responsible(manifest, found),
        "distribution": [
            *(_file_object(name, name, *facts) for name, facts in files.items()),
            _file_object(_AGAIN, MANIFEST_NAME, *files[MANIFEST_NAME]),
        ],
        "recordSet": [
            _record_set("photos", MANIFEST_NAME, "The photos that the pairs were made from.", _PHOTO_FIELDS),
            _record_set("shards", _AGAIN, "The files that hold the pairs.", _SHARD_FIELDS),
        ],
    }


def _responsible(manifest: dict, found: dict) -> dict:
    """What the extension for responsible AI asks."""
    sources = sorted({str(one["source"]) for one in origins_of(manifest)})
    return {
        "rai:dataCollection": f"Photos from {', '.join(sources)}; regions of them were blurred by a program.",
        "rai:dataCollectionType": ["Secondary Data Analysis", "Software Collection"],
        "rai:dataCollectionMissingData": f"{len(found['quarantined'])} photos could not be used.",
        "rai:dataAnnotationProtocol": ["None: a mask is where the program has blurred."],
        "rai:machineAnnotationTools": [f"blurgen {version}" for version in made_with(manifest)],
        "rai:dataUseCases": ["Training and testing models that find blurred parts of photos."],
        "rai:dataLimitations": limits(manifest, found),
        "rai:personalSensitiveInformation": ["The photos may show people; nobody looked for that."],
    }


def _file_object(key: str, name: str, sha256: str, length: int) -> dict:
    return {
        "@type": "cr:FileObject",
        "@id": key,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{length} B",
        "encodingFormat": _FORMATS[name.rpartition(".")[2]],
        "sha256": sha256,
    }


_PHOTO_FIELDS = {
    "id": ("sc:Text", "The name of the photo in its source: column `photo` of a pair."),
    "sha256": ("sc:Text", "sha256 of the photo's file: column `photo_sha256` of a pair."),
    "licence": ("sc:Text", "The licence of the photo, as its source states it."),
}
_SHARD_FIELDS = {
    "name": ("sc:Text", "The name of the file."),
    "sha256": ("sc:Text", "sha256 of the file."),
    "pairs": ("cr:Int64", "How many pairs it holds."),
}


def _record_set(name: str, file: str, description: str, fields: dict[str, tuple[str, str]]) -> dict:
    """The list of this name in the manifest, one record an entry."""
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        "key": {"@id": f"{name}/{next(iter(fields))}"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{field}",
                "name": field,
                "description": meaning,
                "dataType": kind,
                "source": {"fileObject": {"@id": file}, "extract": {"jsonPath": f"{name}[*].{field}"}},
            }
            for field, (kind, meaning) in fields.items()
        ],
    }
