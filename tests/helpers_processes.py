"""Run by torchrun in each of several processes: trains, then compares what the processes have."""

import sys
from pathlib import Path

import torch
from torch import distributed

from blurgen.training.examples import Pairs, gather
from blurgen.training.loader import batches
from blurgen.training.loop import fit
from blurgen.training.options import Execution
from blurgen.training.params import PRESETS
from blurgen.training.processes import joined
from blurgen.training.run import RunConfig
from blurgen.training.session import _maker, _put_together

PARAMS = PRESETS["default"].with_values(
    {"augment.size": "32x32", "batch.size": 5, "batch.steps": 0, "batch.epochs": 1, "optimizer.lr": 1e-3}
)


def main(model: str, shards: str, out: str) -> None:
    torch.set_num_threads(1)
    Path(out).mkdir(exist_ok=True)
    with joined("cpu") as process:
        pairs = Pairs([shards])
        examples = gather(pairs, None, real_fraction=1.0, val_share=0.25, max_val=100, seed=0)
        config = RunConfig(**PARAMS.with_values({"model": model}).model_dump())
        run = _put_together(Path(out), config, examples, process, Execution(amp="off"), None)
        make, seen = _maker(run, "none"), []
        read, make.read = make.read, lambda kind, index: seen.append(index) or read(kind, index)
        fit(run, process.spread(run.model), batches(make, 0, run.total, 0))
        values = [*run.model.state_dict().values(), *run.average.state_dict().values()]
        flat = torch.cat([value.reshape(-1).float() for value in values])
        everywhere, all_seen = [flat], [seen]
        if process.world > 1:
            everywhere = [torch.empty_like(flat) for _ in range(process.world)]
            distributed.all_gather(everywhere, flat)
            all_seen = [None] * process.world
            distributed.all_gather_object(all_seen, seen)
        assert all(torch.equal(flat, other) for other in everywhere)
        assert sorted(index for seen in all_seen for index in seen) == list(range(len(examples.train[0])))
        if process.leads:
            torch.save(flat, Path(out) / "flat.pt")
            print("processes", process.world, "steps", run.total)


if __name__ == "__main__":
    main(*sys.argv[1:])
