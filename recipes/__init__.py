"""Recipes that come with blurgen, one TOML file each. `blurgen recipes` lists them."""
