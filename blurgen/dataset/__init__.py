"""A folder of shards as one data set: its manifest and receipts, reading pairs, checking, deriving others from it."""

from blurgen.dataset.freezing import About, freeze
from blurgen.dataset.manifest import read_manifest
from blurgen.dataset.reading import Dataset, open_dataset
from blurgen.dataset.summary import info
from blurgen.dataset.verifying import verify

__all__ = ["About", "Dataset", "freeze", "info", "open_dataset", "read_manifest", "verify"]
