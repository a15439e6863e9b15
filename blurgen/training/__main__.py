"""`python -m blurgen.training` is `blurgen train`, for `torchrun --nproc-per-node N -m blurgen.training ...`."""

import sys

from blurgen_cli.main import main

if __name__ == "__main__":
    main(args=["train", *sys.argv[1:]], prog_name="blurgen")
