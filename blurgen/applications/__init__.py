"""What maps of blur are good for (Ma et al. 2016, section 4.3): segments, degrees, magnified defocus."""

from blurgen.applications.degrees import Degree, degree_csv, degree_files, degree_targets, degrees, ranked
from blurgen.applications.magnifying import magnify, magnify_file, snapped
from blurgen.applications.segmenting import cutout, segment, segment_file

__all__ = [
    "Degree",
    "cutout",
    "degree_csv",
    "degree_files",
    "degree_targets",
    "degrees",
    "magnify",
    "magnify_file",
    "ranked",
    "segment",
    "segment_file",
    "snapped",
]
