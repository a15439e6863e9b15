"""`blurgen`: the group of commands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

import click

from blurgen import __version__
from blurgen.errors import BlurgenError
from blurgen_cli.apply import apply
from blurgen_cli.card import card
from blurgen_cli.diff import diff
from blurgen_cli.eval_ import eval_
from blurgen_cli.export import export
from blurgen_cli.freeze import freeze
from blurgen_cli.import_ import import_
from blurgen_cli.info import info
from blurgen_cli.make import make
from blurgen_cli.merge import merge
from blurgen_cli.options import printable
from blurgen_cli.predict import predict
from blurgen_cli.preview import preview
from blurgen_cli.recipes import recipes
from blurgen_cli.repair import repair
from blurgen_cli.replay import replay
from blurgen_cli.split import split
from blurgen_cli.subset import subset
from blurgen_cli.train import train
from blurgen_cli.verify import verify


class TypedErrors(click.Group):
    """Turns what a command raises into one line on stderr and an exit code."""

    def main(self, *arguments, **settings):
        try:
            return super().main(*arguments, **settings)
        except OSError as error:  # of printing, the help for example: what commands do is caught below
            with suppress(OSError):
                print(f"blurgen: error: can't print ({error.strerror})", file=sys.stderr)
            os._exit(6)  # an ordinary end would try to print what is left

    def invoke(self, ctx: click.Context):
        try:
            return super().invoke(ctx)
        except BlurgenError as error:
            _leave(ctx, str(error), error.exit_code)
        except KeyboardInterrupt as error:
            _leave(ctx, str(error) or f"interrupted; {_advice(ctx, RESUMED)}", 130)
        except MemoryError:
            _leave(ctx, f"out of memory; {_advice(ctx, SMALLER)}", 71)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except OSError as error:
            if os.environ.get("BLURGEN_DEBUG"):
                raise
            where = f"{error.filename}: " if error.filename else ""
            _leave(ctx, f"{where}can't be read or written ({error.strerror}); make it accessible, or name another", 6)
        except Exception as error:
            if os.environ.get("BLURGEN_DEBUG"):
                raise
            what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            _leave(ctx, f"internal error ({what}); please report it, with what BLURGEN_DEBUG=1 prints", 70)


RESUMED = "run the same command again to go on where it stopped"
SMALLER = "use fewer --workers, fewer --pairs-per-shard or a smaller --size"


def _advice(ctx: click.Context, usual: str) -> str:
    """What to do, but for the commands that don't go on where they stopped and have no shards."""
    if ctx.invoked_subcommand not in ("train", "card", "predict", "eval", "apply"):
        return usual
    return "what is finished stays as it is" if usual is RESUMED else "use smaller photos, --short-side or --tile"


def _leave(ctx: click.Context, message: str, code: int) -> None:
    click.echo(f"blurgen: error: {printable(message)}", err=True)
    ctx.exit(code)


def _open_closed_streams() -> None:
    """Streams that the caller closed, as daemons do, lead nowhere; here and in the workers, which inherit them."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, number) if nowhere != number else os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, "w", closefd=False))


def _as_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@click.group(cls=TypedErrors, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="blurgen")
def main() -> None:
    """Make data sets for blur segmentation from photos that nobody has annotated.

    \b
    blurgen make --source sample --n 200      photos -> shards/
    blurgen verify shards/                    check every byte
    blurgen preview shards/                   look at it
    blurgen train shards/                     a model that finds blur
    """
    signal.signal(signal.SIGTERM, _as_interrupt)
    _open_closed_streams()


SHARING = (freeze, diff, merge, split, subset, export, import_)
for command in (make, preview, info, verify, repair, replay, *SHARING, train, card, predict, eval_, apply, recipes):
    main.add_command(command)
