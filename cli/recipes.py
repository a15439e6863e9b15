"""`blurgen recipes`: list them, or print one."""

from __future__ import annotations

import click

from blurgen_cli.options import json_option, print_json


@click.command()
@click.argument("name", required=False)
@json_option
def recipes(name, as_json) -> None:
    """List the recipes that come with blurgen, or print the recipe NAME as TOML.

    To change one, save it to a file, edit it, and give the file to `blurgen make --recipe`.
    """
    from blurgen.recipe import load_recipe, recipe_names

    if name:
        recipe = load_recipe(name)
        print_json(recipe.model_dump(mode="json")) if as_json else click.echo(recipe.to_toml(), nl=False)
        return
    known = [load_recipe(one) for one in recipe_names()]
    if as_json:
        print_json([{"name": one.name, "description": one.description, "digest": one.digest} for one in known])
        return
    for one in known:
        click.echo(f"{one.name:<20} {one.description}")
