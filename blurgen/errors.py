"""Every error that blurgen raises on purpose: one line that names the file or key and says what to do.

The library raises them, the command line translates them once (message to stderr, ``exit_code`` to the shell).
"""


class BlurgenError(Exception):
    """Base of all typed errors. ``exit_code`` is what the command line leaves with."""

    exit_code = 1


class ArgumentError(BlurgenError):
    """An argument is out of its range, or two arguments exclude each other."""

    exit_code = 2


class RecipeError(BlurgenError):
    """A recipe is missing, is not TOML, or holds an unknown key, a wrong type or a value out of range."""

    exit_code = 3


class SourceError(BlurgenError):
    """A source of photos can't be found or holds no usable photo."""

    exit_code = 4


class PhotoError(BlurgenError):
    """One photo or its annotation can't be used. ``make`` turns it into a line of the quarantine list."""

    exit_code = 5


class OutputError(BlurgenError):
    """The output folder holds something else, is in use, is not writable, or is full."""

    exit_code = 6


class ShardError(BlurgenError):
    """A shard, a receipt or a manifest is damaged, hostile, or not what it says it is."""

    exit_code = 7


class DependencyError(BlurgenError):
    """An optional dependency is not installed. The message names the extra that brings it."""

    exit_code = 8


class WorkerError(BlurgenError):
    """A worker process died. What it had finished is kept."""

    exit_code = 9


class ModelError(BlurgenError):
    """A file of weights or a run is missing, damaged, hostile, or does not fit the model."""

    exit_code = 10


class TrainingError(BlurgenError):
    """Training can't go on: the loss is no number, memory has run out, nothing can be learned from the examples."""

    exit_code = 11
