"""Milliseconds a training step in each round of IMP: TensorFlow's dense loop, and the kernels for kept weights alone.

    python benchmarks/experiment.py [--network A ...] [--steps N] [--repeats N] [--output PLOT.png] [--json FILE]
    python benchmarks/experiment.py --runs N [--checkout DIR] [--other "COMMAND {input}"] [--key Section.key=value ...]

The first form times 21 rounds that keep u = 0.7^round of each layer but the last. Both loops have a step of every round
timed in one process and in turns; ratios are medians over neighbours, so that a machine whose speed drifts does not
decide. Masks are not those of an experiment, but as long-tailed: a few inputs keep many weights, many keep none.

The second form times whole runs of inputs/imp_3l1k.in, 21 rounds of few steps, as processes that take turns: this
project with [Network] sparse = never and auto, an earlier checkout of it, and any other program that takes its input
file. It also tells the peak memory of each.
"""

import argparse
import configparser
import json
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter
from step_time import SHAPE, build_trainer, random_images

from sifting.architecture import build_specs, parse_arch
from sifting.base.compute import describe_device
from sifting.network.model import initial_parameters, layer_name
from sifting.network.rounds import Mask
from sifting.sparse import kernels
from sifting.sparse.choice import sparse_layers

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 21
DENSITIES = 0.7 ** np.arange(ROUNDS)
PROFILED = (6, 13)  # rounds: u = 11.8 % and 1.0 %
OF_INPUTS, OF_NODES = 0.7, 0.23  # deviation of the logarithm of how many weights an input or a node keeps
LOOPS = ("never", "kernels")
PHASES = (*kernels.PHASES, "waiting")


@dataclass(frozen=True)
class Network:
    arch: str
    batch_size: int
    classes: int
    scale: int  # times --steps in one measurement: its steps are so much shorter

    def specs(self, output_too: bool = False):
        tokens = parse_arch(self.arch)
        return build_specs(tokens, (True,) * (len(tokens) - 1) + (output_too,), SHAPE, self.classes)


NETWORKS = {
    "A": Network("f1024:f1024:f1024:x", 1000, 1000, 1),
    "B": Network("f1024:f1024:x", 40, 1000, 10),
    "C": Network("f128:x", 100, 10, 100),
}

# --- rounds in this process


def pruning_order(shape: tuple[int, int], seed: int) -> np.ndarray:
    """How many weights of a layer outlive each one, int [n_in, n_out]: masks of its first ones are nested."""
    rng = np.random.default_rng(seed)
    score = np.abs(rng.standard_normal(shape)) * np.exp(OF_INPUTS * rng.standard_normal((shape[0], 1)))
    score *= np.exp(OF_NODES * rng.standard_normal(shape[1]))
    order = np.empty(score.size, np.int64)
    order[np.argsort(-score, axis=None)] = np.arange(score.size)
    return order.reshape(shape)


class Rounds:
    """Both loops of one network, each with a model of its own."""

    def __init__(self, network: Network, steps: int, repeats: int) -> None:
        self.network, self.steps, self.repeats = network, steps * network.scale, repeats
        self._order = [pruning_order(spec.shape, layer) for layer, spec in enumerate(network.specs())]
        self._initial = initial_parameters(network.specs(), seed=1)
        image_set = random_images(network.classes)
        self._loops = {name: build_trainer(network.specs(), image_set, network.batch_size) for name in LOOPS}

    def measure(self, u: float, output_too: bool = False) -> dict:
        """One round of the experiment, as a row of the table."""
        specs = self.network.specs(output_too)
        masks = {}
        for layer, (spec, order) in enumerate(zip(specs, self._order, strict=True)):
            kept = round(u * order.size) if spec.prunable else order.size
            masks[layer] = Mask((order < kept).astype(np.float32), np.ones(spec.nodes, np.float32))
        names = [layer_name(layer) for layer in sparse_layers("always", masks, specs, self.network.batch_size)]
        for name, (trainer, state) in self._loops.items():
            state.set_parameters(self._initial)
            state.set_masks(masks)
            state.reset_moments()
            began = time.perf_counter()
            trainer.begin_round(sparse=names if name == "kernels" else ())
            preparation = time.perf_counter() - began
            trainer.train(1, 0, max(1, self.steps // 5))  # compiles, and fills the caches
        steps_of_kernels = self._loops["kernels"][0]._sparse
        steps_of_kernels.ticks[:] = 0
        times = {name: [] for name in LOOPS}
        for repeat in range(1, self.repeats + 1):
            for name, (trainer, _) in self._loops.items():
                began = time.perf_counter()
                trainer.train(1, repeat * self.steps, (repeat + 1) * self.steps)
                times[name].append(1000 * (time.perf_counter() - began) / self.steps)
        ticks = steps_of_kernels.ticks.sum(axis=0)[: len(PHASES)]
        median = {name: float(np.median(values)) for name, values in times.items()}
        return {
            "u": u,
            **median,
            "ratio": float(np.median(np.divide(times["never"], times["kernels"]))),
            "auto": "kernels" if sparse_layers("auto", masks, specs, self.network.batch_size) else "never",
            "preparation": preparation,
            "workers": steps_of_kernels.workers,
            "bytes": bytes_held(steps_of_kernels),
            "phases": dict(zip(PHASES, (median["kernels"] * ticks / ticks.sum()).tolist(), strict=True)),
        }

    def model_bytes(self) -> int:
        """Of the variables of one model and its optimizer."""
        trainer, _ = self._loops["never"]
        return sum(variable.numpy().nbytes for variable in (*trainer.model.variables, *trainer.optimizer.variables))


def bytes_held(steps) -> int:
    """Of the arrays of SparseSteps: values, structure, and room for the activations of a batch."""
    held = [steps._network, steps._keep, *(own for layer in steps._layers for own in (layer.record, vars(layer)))]
    return sum(value.nbytes for own in held for value in own.values() if isinstance(value, np.ndarray))


def crossover(rows: list[dict]) -> float:
    """The density below which the kernels are always faster, between two rounds on logarithmic axes."""
    logarithms = np.log([row["ratio"] for row in rows])
    if np.all(logarithms > 0):
        return 1.0
    last = np.flatnonzero(logarithms <= 0)[-1]  # where they are not
    if last == len(rows) - 1:
        return 0.0
    around = slice(last, last + 2)
    return float(np.exp(np.interp(0, logarithms[around], np.log([row["u"] for row in rows[around]]))))


def summarise(rows: list[dict]) -> dict:
    """The whole experiment, as many steps in each round: means over rounds."""
    never = sum(row["never"] for row in rows) / len(rows)
    auto = sum(row[row["auto"]] for row in rows) / len(rows)
    best = sum(min(row["never"], row["kernels"]) for row in rows) / len(rows)
    dense = sum(row["never"] for row in rows if row["auto"] == "never") / len(rows)
    return {"crossover": crossover(rows), "never": never, "auto": auto, "best": best, "dense rounds": dense}


def show(network: Network, result: dict) -> None:
    rows, whole = result["rows"], result["whole"]
    print(f"\n{network.arch}, batch {network.batch_size}, {network.classes} classes, {result['steps']} steps each")
    print("     u [%]    never  kernels  never / kernels  auto     workers  prepared [s]  held [MB]")
    for row in (*rows, result["output too"]):
        print(
            f"{100 * row['u']:10.3f} {row['never']:8.3f} {row['kernels']:8.3f} {row['ratio']:16.2f}  {row['auto']:8}"
            f"{row['workers']:8} {row['preparation']:13.2f} {row['bytes'] / 1e6:10.1f}"
            + ("  output layer pruned, too" if row is result["output too"] else "")
        )
    print(f"the variables of TensorFlow, which both have: {result['model bytes'] / 1e6:.1f} MB")
    print(f"crossover at u = {100 * whole['crossover']:.1f} %; a step in the mean over all {len(rows)} rounds:")
    for name, text in (
        ("never", ""),
        ("auto", ""),
        ("best", "the faster loop of each round"),
        ("dense rounds", "the limit: all that auto leaves to the dense loop, the others for nothing"),
    ):
        ratio = whole["never"] / whole[name] if whole[name] else np.inf
        print(f"{name:14} {whole[name]:8.3f} ms {ratio:7.2f}x  {text}".rstrip())
    profiled = [rows[number] for number in PROFILED]
    print("\na step of the kernels [ms] at u = " + "".join(f"{100 * row['u']:10.2f} %" for row in profiled))
    for phase in PHASES:
        print(f"{phase:32} " + "".join(f"{row['phases'][phase]:12.3f}" for row in profiled))


def draw(results: dict[str, dict], path: str) -> None:
    figure, axes = plt.subplots(
        1, len(results), figsize=(max(8, 4 * len(results)), 4.4), dpi=150, squeeze=False, layout="constrained"
    )
    for ax, (name, result) in zip(axes[0], results.items(), strict=True):
        network, rows, u = NETWORKS[name], result["rows"], 100 * result["whole"]["crossover"]
        percent = [100 * row["u"] for row in rows]
        ax.loglog(percent, [row["never"] for row in rows], "o-", ms=3, color="0.35", label="dense loop (never)")
        ax.loglog(percent, [row["kernels"] for row in rows], "o-", ms=3, color="C0", label="kept weights (kernels)")
        of_auto = [100 * row["u"] for row in rows if row["auto"] == "kernels"]
        if of_auto:
            ax.axvspan(0.8 * min(percent), max(of_auto), color="C0", alpha=0.1, lw=0, label="taken by auto")
        if 0 < u < 100:
            ax.axvline(u, color="C3", ls=":", label="crossover")
        ax.set_xlim(125, 0.8 * min(percent))  # as pruning goes
        for axis, digits in ((ax.xaxis, (1,)), (ax.yaxis, (1, 2, 5))):
            axis.set_major_locator(LogLocator(subs=digits))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
        ax.set_title(f"{network.arch}, batch {network.batch_size}\ncrossover at u = {u:.0f} %", fontsize=10)
        ax.set_xlabel("weights left in each pruned layer, u [%]")
    axes[0, 0].set_ylabel("ms a step")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=10)
    figure.savefig(path)


# --- whole runs


def write_input(path: Path, save_dir: Path, steps: int, changes: list[str]) -> None:
    """The main experiment with few steps a round. changes: "Section.key=value"; an empty value leaves out the key."""
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=("#",))
    parser.read(ROOT / "inputs" / "imp_3l1k.in")
    few = {
        "Data": {"dataset": "EdgeCollage32", "dataloc": ""},
        "Network": {"steps": str(steps), "validate_step": str(steps), "val_size": "1000", "seed": "1"},
        "IMP": {"weights_step": "0", "stop_ratio": "0", "max_iterations": str(ROUNDS)},
    }
    parser.read_dict(few)
    for change in changes:
        place, _, value = change.partition("=")
        section, _, key = place.partition(".")
        parser[section][key] = value
    parser["IO"]["save_dir"] = str(save_dir)
    for section in parser.sections():
        for key in [key for key, value in parser[section].items() if not value]:
            del parser[section][key]
    with open(path, "w") as file:
        parser.write(file)


# A small process between this one and the program: Linux counts the memory of who starts a process as its own.
RUNNER = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def run_once(command: str, folder: Path, steps: int, changes: list[str]) -> tuple[float, float]:
    """Seconds and peak memory in GB of one process, started in `folder`, which `python -m` searches first."""
    with tempfile.TemporaryDirectory() as there:
        path = Path(there) / "experiment.in"
        write_input(path, Path(there) / "run", steps, changes)
        arguments = [sys.executable, "-c", RUNNER, *shlex.split(command.replace("{input}", str(path)))]
        began = time.perf_counter()
        done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True)
        seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{command} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return seconds, int(done.stdout.split()[-1]) / 2**20


def time_runs(options: argparse.Namespace) -> dict:
    ours = f"{shlex.quote(sys.executable)} -m sifting.run {{input}}"
    programs = {f"sparse = {choice}": (f"{ours} --set Network.sparse={choice}", ROOT) for choice in ("never", "auto")}
    if options.checkout:
        programs[f"checkout {options.checkout.name}"] = ours, options.checkout.resolve()
    if options.other:
        programs[options.name] = options.other, Path.cwd()
    for command, folder in programs.values():  # fills the caches of images and of compiled kernels
        run_once(command, folder, 1, options.key)
    taken = {name: [] for name in programs}
    for _ in range(options.runs):
        for name, (command, folder) in programs.items():
            taken[name].append(run_once(command, folder, options.run_steps, options.key))
    print(f"\nwhole runs, {options.run_steps} steps a round, {options.runs} in turns")
    print(f"{'':24}        s      min      max  never / this   peak [GB]")
    never = np.array(taken["sparse = never"])[:, 0]
    for name, values in taken.items():
        seconds, gigabytes = np.array(values).T
        print(
            f"{name:24} {np.median(seconds):8.1f} {seconds.min():8.1f} {seconds.max():8.1f} "
            f"{np.median(never / seconds):13.2f} {np.median(gigabytes):11.2f}"
        )
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="*", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--steps", type=int, default=3, help="of one measurement at batch 1000; more at smaller ones")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", metavar="PLOT", help="a plot of ms a step over u")
    parser.add_argument("--json", metavar="FILE", help="all numbers")
    parser.add_argument("--runs", type=int, default=0, metavar="N", help="time N whole runs, and no single rounds")
    parser.add_argument("--run-steps", type=int, default=100, metavar="N", help="steps a round of whole runs, less 1")
    parser.add_argument("--checkout", type=Path, metavar="DIR", help="another checkout of this project")
    parser.add_argument("--other", metavar="COMMAND", help="another program, {input} standing for the input file")
    parser.add_argument("--name", default="other", help="that of the other program")
    parser.add_argument("--key", action="append", default=[], metavar="Section.key=value", help="in the input file")
    options = parser.parse_args()
    if (options.checkout or options.other) and not options.runs:
        parser.error("--checkout and --other take --runs N")
    print(describe_device())
    results = {}
    if options.runs:
        results["runs"] = time_runs(options)
    else:
        for name in options.network:
            network = NETWORKS[name]
            rounds = Rounds(network, options.steps, options.repeats)
            rows = [rounds.measure(u) for u in DENSITIES.tolist()]
            results[name] = {
                "steps": f"{options.repeats} x {rounds.steps}",
                "rows": rows,
                "output too": rounds.measure(0.01, output_too=True),
                "whole": summarise(rows),
                "model bytes": rounds.model_bytes(),
            }
            show(network, results[name])
        if options.output:
            draw(results, options.output)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
