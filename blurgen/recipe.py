"""A recipe says what is made. It is frozen, validated, and composed of each stage's own parameters."""

from __future__ import annotations

import hashlib
import json
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from blurgen.camera import CameraParams
from blurgen.errors import RecipeError
from blurgen.fill import FillParams
from blurgen.geometry import GeometryParams
from blurgen.kernels import BlurParams
from blurgen.masks import MaskParams
from blurgen.params import Params, changed, first_fault, one_line, param, suggest, to_toml
from blurgen.proposals import ProposalParams
from blurgen.shards.codecs import StorageParams
from blurgen.sources.params import PhotoParams
from blurgen.targets import TargetParams

DEFAULT_RECIPE = "real"
MAX_RECIPE_BYTES = 20_000
"""Those that come with blurgen have 6,000. tomllib takes seconds for deep keys, growing with the square of them."""


class Recipe(Params):
    """Everything that decides what a pair looks like, bar the photos and the seed."""

    name: str = param("custom", "", "what this recipe is called")
    description: str = param("", "", "what it is for, in a line")
    photo: PhotoParams = Field(default_factory=PhotoParams)
    geometry: GeometryParams = Field(default_factory=GeometryParams)
    proposals: ProposalParams = Field(default_factory=ProposalParams)
    mask: MaskParams = Field(default_factory=MaskParams)
    blur: BlurParams = Field(default_factory=BlurParams)
    fill: FillParams = Field(default_factory=FillParams)
    camera: CameraParams = Field(default_factory=CameraParams)
    targets: TargetParams = Field(default_factory=TargetParams)
    storage: StorageParams = Field(default_factory=StorageParams)

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        if self.storage.codec == "raw" and self.geometry.shape is None:
            raise ValueError('storage.codec "raw" needs pairs of one size; set geometry.size, or the codec "png"')
        if self.mask.p_all_sharp + self.mask.p_all_blurred > 1:
            raise ValueError("mask.p_all_sharp and mask.p_all_blurred add up to more than 1; lower one of them")
        return self

    @property
    def digest(self) -> str:
        """sha256 hex of the canonical recipe."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()

    def with_values(self, changes: dict[str, Any], origin: str = "recipe") -> Recipe:
        """A copy with dotted keys changed, e.g. ``{"geometry.size": "240x320"}``; validated like any recipe."""
        try:
            return recipe_from(changed(self, changes), origin)
        except ValueError as error:
            raise RecipeError(f"{origin}: {error}") from None

    def to_toml(self) -> str:
        """TOML that reads back as this recipe, each parameter with its unit, range and meaning."""
        return to_toml(self)


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files("blurgen_recipes")
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_recipe(name_or_file: str | Path = DEFAULT_RECIPE) -> Recipe:
    """Read a recipe that comes with the package by its name, or any other by the path of its TOML file.

    Raises
    ------
    RecipeError
        No such recipe, not TOML, or a key that is unknown, of the wrong type or out of range.
    """
    text = str(name_or_file)
    if text in recipe_names():
        return parse_recipe(resources.files("blurgen_recipes").joinpath(f"{text}.toml").read_bytes(), text)
    path = Path(text)
    if not _is_file(path):
        raise RecipeError(f'no recipe "{text}": {suggest(text, recipe_names())}, or give the path of a TOML file')
    try:
        with path.open("rb") as file:
            data = file.read(MAX_RECIPE_BYTES + 1)
    except OSError as error:
        raise RecipeError(f"{text}: can't be read ({error.strerror}); check its permissions") from None
    return parse_recipe(data, text)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # no permission, a name too long, a NUL in it
        return False


def parse_recipe(data: bytes, origin: str) -> Recipe:
    """Read a recipe from the bytes of a TOML file; ``origin`` names it in errors. Missing keys take their defaults."""
    if len(data) > MAX_RECIPE_BYTES:
        raise RecipeError(f"{origin}: longer than {MAX_RECIPE_BYTES} bytes, so not a recipe; give a TOML recipe file")
    try:
        values = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{origin}: not valid TOML ({one_line(error)}); `blurgen recipes NAME` prints one") from None
    return recipe_from(values, origin)


def recipe_from(values: dict[str, Any], origin: str) -> Recipe:
    """The recipe of these values, by section; ``origin`` names them in errors. Missing keys take their defaults."""
    try:
        return Recipe.model_validate(values)
    except (ValidationError, RecursionError) as error:
        fault = first_fault(Recipe, error, "`blurgen recipes NAME` prints a valid one")
        raise RecipeError(f"{origin}: {fault}") from None
