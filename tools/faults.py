"""Do the tests notice faults? `python tools/faults.py [ID ...]` plants some, one at a time, and runs tests on them.

Each fault of the table below is a slip that one could make: a sign, an index, a tensor, a missing call. It is planted
in a copy of the files that git knows, with the changes of this checkout, and its tests run there; PYTHONPATH puts the
copy before anything installed, also in processes that tests start. The test that fails then runs on the clean copy,
since one that fails anyway notices nothing.

A line says of each fault which test has caught it, or MISSED; the exit code is 0 if all were caught. When the code
moves, the table has to follow: a text that does not occur exactly once in its file is refused before anything runs, and
`--check` looks for that alone. All faults take about three quarters of an hour on one core.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]

# ID FILE | what is wrong | test files that should catch it, without tests/test_ and .py
# -lines as they are, +lines with the fault; a part of a line is enough.
TABLE = r"""
# --- training, pruning, drivers

C01 sifting/layers.py | W has a gradient where it is masked | layers
-dW * mask_W, sum_dy * mask_b
+dW, sum_dy * mask_b
C41 sifting/layers.py | no gradient leads through the variance | layers
-(da - dbeta / count - z * (dgamma / count))
+(da - dbeta / count)
C42 sifting/training/trainer.py | pruned weights are zero after a round | training imp
-layer.W.assign(tf.where(where, W, layer.W))
+layer.W.assign(tf.where(where, 0.0, layer.W))
C02 sifting/architecture.py | another epsilon in batch normalisation | layers
-EPSILON = 1e-10
+EPSILON = 1e-9
C03 sifting/layers.py | decay and its complement swapped | layers
-averaged = self.decay * running + (1.0 - self.decay) * batch
+averaged = (1.0 - self.decay) * running + self.decay * batch
C04 sifting/layers.py | after a reset the first batch is averaged with (0, 1) | layers
-self.started.assign(0.0)
+self.started.assign(1.0)
C05 sifting/training/session.py | the optimizer is not reset before a round | methods
-self._trainer.reset_optimizer()
+self._trainer.reset_optimizer
C06 sifting/training/session.py | the running moments are not reset before a round | methods
-self._values.reset_moments()
+self._values.reset_moments
C07 sifting/training/session.py | all rounds train on the same batches | imp
-Stream.BATCHES, number)
+Stream.BATCHES)
C08 sifting/training/session.py | translations and batches are the same draws | transformations
-Stream.TRANSLATIONS, number)
+Stream.BATCHES, number)
C09 sifting/training/trainer.py | a checkpoint forgets the state of the optimizer | training
-[*self.model.variables, *self.optimizer.variables]
+[*self.model.variables]
C10 sifting/training/trainer.py | images in two blocks of validation count twice | training
-tf.where(rows >= position, correct, 0)
+tf.where(rows >= first, correct, 0)
C11 sifting/training/trainer.py | images are translated the other way | transformations
-tf.math.floormod(tf.range(size) - shifts
+tf.math.floormod(tf.range(size) + shifts
C12 sifting/network/model.py | initial masks and weights are the same draws | network
-generator(seed, Stream.MASKS, 0,
+generator(seed, Stream.WEIGHTS,
C13 sifting/network/forward.py | moments of blocks are merged without the size of both | forward
-change**2 * (count * new / (count + new))
+change**2 * (count / (count + new))
C14 sifting/pruning/scopes.py | what ties with the reference's threshold goes | scopes
-(scores >= threshold) & kept
+(scores > threshold) & kept
C15 sifting/pruning/scopes.py | of ties the last go instead of the first | scopes
-keep[remaining[ties[: excess - below.size]]] = False
+keep[remaining[ties[ties.size - (excess - below.size) :]]] = False
C16 sifting/pruning/scores.py | masked biases compete with their values | scores methods
- * mask.b if biases
+ if biases
C17 sifting/pruning/gradients.py | GraSP with the other sign | scores
-{layer: weights[layer] * Hg[layer] for layer in weights}
+{layer: -weights[layer] * Hg[layer] for layer in weights}
C18 sifting/methods/imp.py | weights are not rewound | imp methods
-session.train(number, masks, sparsities, start.rewind_point.parameters)
+session.train(number, masks, sparsities, trained.parameters)
C19 sifting/methods/base.py | round 1 is pruned by the last step, not by prune_step | imp
-dense.checkpoint_at(method.trained_step(network.steps))
+dense.checkpoint_at(network.steps)
C20 sifting/methods/base.py | a restart rewinds to the last checkpoint | methods
-Start(network.rest_it, pruned, first.checkpoints[0], trained
+Start(network.rest_it, pruned, first.checkpoints[-1], trained
C21 sifting/layers.py | convolutions forget their masks | layers
-conv2d(inputs, self.W * self.mask_W, self.stride
+conv2d(inputs, tf.convert_to_tensor(self.W), self.stride
C22 sifting/architecture.py | pixels are divided by 256 | statistics
-GREY_LEVEL = np.float32(1 / 255)
+GREY_LEVEL = np.float32(1 / 256)
C23 sifting/pruning/gradients.py | masked weights have a say in the sum of scores | scores
-np.where(network.masks[layer].W != 0, values[layer], 0.0)
+np.asarray(values[layer])
C24 sifting/training/trainer.py | other batches than those of all recorded runs | training
-seed = tf.stack([key, step])
+seed = tf.stack([step, key])

# --- training by kept weights alone; each compiles the kernels anew

K01 sifting/sparse/kernels.py | beta is not felt | sparse
-added += W[k] * beta[f]
+added += W[k] * np.float32(0)
K02 sifting/sparse/kernels.py | masked biases are added | sparse
-bias[o] = b[o] * mask_b[o]
+bias[o] = b[o]
K03 sifting/sparse/kernels.py | masked biases are trained | sparse
-db[o] * mask_b[o], network, rate
+db[o], network, rate
K04 sifting/sparse/kernels.py | no relu | sparse
-multiply(layer, network, share, n < last, tile)
+multiply(layer, network, share, False, tile)
K05 sifting/sparse/kernels.py | images that are not there have a gradient | sparse
-da[(t * rows + f) * T + image] = np.float32(0)
+da[(t * rows + f) * T + image] += np.float32(0)
K06 sifting/sparse/step.py | the gradient of W is of gamma after its update | sparse
-(kernels.CHANGE, last), (kernels.FINISH, last)])
+(kernels.FINISH, last), (kernels.CHANGE, last)])
K07 sifting/sparse/step.py | the last block of inputs is left out if it is smaller | sparse
-blocks = max(1, -(-width // size))
+blocks = max(1, width // size)
K08 sifting/sparse/step.py | decay and its complement are the same | sparse
-"rest": 1.0 - layers[0].decay
+"rest": layers[0].decay
K09 sifting/sparse/kernels.py | Adam's correction is that of the next step | sparse
-times = np.float32(updates + 1)
+times = np.float32(updates + 2)
K10 sifting/sparse/kernels.py | images are translated up | sparse
-(place // size - down) % size
+(place // size + down) % size
K11 sifting/sparse/kernels.py | the running mean of pixels is that of the shifted ones | sparse
-f, m + o, v, started)
+f, m, v, started)
K12 sifting/sparse/kernels.py | of several tiles the last one alone has a gradient | sparse
-store(dW, k, add(load4(dW, k, tile), s))
+store(dW, k, s)
K13 sifting/sparse/kernels.py | every step of the first call is the first one | sparse
-started or step > 0
+started
K14 sifting/sparse/kernels.py | the saturated loss has a gradient | sparse
-p / (p + np.float32(1e-30))
+np.float32(1)
K15 sifting/sparse/step.py | the state of the optimizer is not written back | sparse
-self._write(name, slot, values)
+self._write
K16 sifting/sparse/choice.py | a layer of just the largest density is dense | sparse
-<= LARGEST_DENSITY * size
+< LARGEST_DENSITY * size
K17 sifting/runs/directory.py | a checkpoint forgets which layers are sparse | sparse
-"sparse": progress.sparse,
+"sparse": (),
K18 sifting/training/plan.py | runs of earlier versions go on with sparse layers | settle
- else "never"
+ else "auto"

# --- input files, starting and continuing, the files of a run

R01 sifting/base/files.py | a file is written in its place instead of renamed to it | run_directory kill
-temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
+temporary = path
R02 sifting/base/locks.py | two processes can hold the lock of a run | locks
-if last.holder.token == token:
+if True:
R03 sifting/runs/directory.py | of the rounds in the way the first one stays | run_directory settle
-            if number >= first:
+            if number > first:
R04 sifting/inputs.py | a restart takes its masks from the round that it will train | inputs
-network.rest_it - 1 if experiment.method.round_by_round else 0
+network.rest_it if experiment.method.round_by_round else 0
R05 sifting/experiment/experiment.py | weights_step = prune_step is not refused | bad_input
-if self.weights_step >= self.trained_step(steps):
+if self.weights_step > self.trained_step(steps):
R06 sifting/inputs.py | scaled numbers are cut instead of rounded | inputs
-max(least, round(value * factor))
+max(least, int(value * factor))
R07 sifting/training/plan.py | a restart onto the last round counts as one behind it | settle bad_input
-if network.restart and last < first:
+if network.restart and last <= first:
R08 sifting/training/plan.py | a run may continue with fewer levels, not with more | settle
-entry.metadata["continues"](old, new)
+entry.metadata["continues"](new, old)
R09 sifting/training/plan.py | a run that continues draws another seed | settle
-_with_seed(experiment, lambda: recorded.network.seed)
+_with_seed(experiment, new_seed)
R10 sifting/runs/history.py | the mean training error begins a step early | history
-first = steps[place - 1] + 1 if place else 0
+first = steps[place - 1] if place else 0
R11 sifting/training/tensorboard.py | the last validation error is the first one | tensorboard
-result.validation_errors[-1]
+result.validation_errors[0]
R12 sifting/training/api.py | an exported model has no masks | export
-state.set_masks(result.masks)
+state.set_masks
R13 sifting/training/records.py | a checkpoint whose round is stored stays | tensorboard
-if progress and progress.number in self:
+if False:
R14 sifting/runs/reference.py | the checksum of a round is not compared | damaged_files verify
-if checksums.of_file(path) != checksum:
+if False:
R15 sifting/training/dry_run.py | rounds that will be overwritten take room | bad_input
-if number not in kept]
+if number in kept]
R16 sifting/training/many.py | the first of several runs that fails ends all | many
-    if not keep_going:
-        raise error
+    raise error
R17 sifting/training/plan.py | a finished run is run again | many sweep
-    return ours == theirs
+    return False
R18 sifting/training/many.py | a run does not wait for the one it starts from | many
-        if not all(need.done for need in self.needs):
+        if False:
R19 sifting/runs/reference.py | moments of another shape are believed | run_directory
-layers += [(Parameters, checkpoint.parameters), (Moments, checkpoint.moments)]
+layers += [(Parameters, checkpoint.parameters)]
R20 sifting/experiment/sections.py | a restart removes the rounds before it | settle
-return self.rest_it if self.restart else 0
+return 0
R21 sifting/methods/oneshot.py | a dense round that was taken over is looked for again | settle methods
-adopts_from: ClassVar[str] = "dense_run"
+adopts_from: ClassVar[str] = "like"
R22 sifting/base/files.py | an error of the disk is a traceback | run_directory bad_input
-    except errors as error:
+    except KeyError as error:

# --- data sets

D01 sifting/datasets/gaussian_clone.py | the channels of the clone are in another order | gaussian_clone
-samples = sample(*gaussians[channel], len(places), rng, ridge)
+samples = sample(*gaussians[channels - 1 - channel], len(places), rng, ridge)
D02 sifting/datasets/gaussian_clone.py | the covariance is divided by n - 1 | gaussian_clone
-images /= np.sqrt(len(images))
+images /= np.sqrt(len(images) - 1)
D03 sifting/datasets/gaussian_clone.py | validation and training images of the clone are the same draws | gaussian_clone
-(Split.VALIDATION, original.val_labels,
+(Split.TRAINING, original.val_labels,
D04 sifting/datasets/rotation.py | images turn clockwise | transformations
-np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
+np.cos(angle) * x - np.sin(angle) * y, np.cos(angle) * y + np.sin(angle) * x
D05 sifting/datasets/rotation.py | the mean image is not turned | transformations
-rotate(images.mean, turn).astype(np.float32)
+images.mean
D06 sifting/datasets/reclass.py | m,K divides instead of taking the remainder | reclass
-np.arange(classes, dtype=np.int32) % np.int32(reclass.classes)
+np.arange(classes, dtype=np.int32) // np.int32(-(-classes // reclass.classes))
D07 sifting/datasets/edge_collage.py | rows of cells and rows of pixels swapped | edge_collage
-cells.transpose(0, 1, 2, 4, 3, 5)
+cells.transpose(0, 1, 4, 2, 3, 5)
D08 sifting/datasets/edge_collage.py | the cache does not tell collage_seed apart | datasets
-"collage_seed": data.collage_seed
+"collage_seed": 0
D09 sifting/datasets/cache.py | cached images can be written to | datasets
-mmap_mode="r" if name in MAPPED
+mmap_mode="c" if name in MAPPED
D10 sifting/datasets/folder.py | the last images of a class are held out, not the first | sources
-files[held_out:], files[:held_out]
+files[:-held_out], files[-held_out:]
D11 sifting/datasets/reclass.py | more than half of each super-class moves | reclass
-group[len(group) // 2 :]
+group[len(group) // 3 :]

# --- analyses and figures

P01 postprocess/locality.py | pairs of the same and of different colours swapped | locality
-DisplacementMaps(same_counts, different_counts)
+DisplacementMaps(different_counts, same_counts)
P02 postprocess/locality.py | angles grow clockwise | locality
-size - 1 - points.imag
+size - 1 + points.imag
P03 postprocess/receptive_field.py | d = 0 takes part in the fit of the width | receptive_field
-_maximise(counts, start, 0)
+_maximise(counts, start, 1)
P04 postprocess/receptive_field.py | widths along x and y swapped | receptive_field
-(x, y), (slope_x, slope_y) = profile
+(y, x), (slope_y, slope_x) = profile
P05 postprocess/connectivity.py | C_in counted along the wrong axis | connectivity
-np.count_nonzero(mask, axis=0)
+np.count_nonzero(mask, axis=1)
P06 postprocess/connectivity.py | equally connected nodes in the order of falling indices | connectivity
-np.argsort(-np.asarray(connections), kind="stable")
+np.argsort(np.asarray(connections), kind="stable")[::-1]
P07 postprocess/masks.py | effective weights without the masks | masks
-np.multiply(W, binary(mask), dtype=np.float64)
+np.multiply(W, 1, dtype=np.float64)
P08 sifting/network/statistics.py | the kurtosis is divided by the variance once | statistics
-np.divide(m4, m2**2,
+np.divide(m4, m2,
P09 sifting/network/statistics.py | the cavity score with the other sign | statistics
-np.where(whole >= 3, rest - whole, whole - rest)
+np.where(whole >= 3, whole - rest, rest - whole)
P10 postprocess/analyse.py | every round is looked at under the masks of the first | analyse
-run[0], run[number].masks
+run[0], run[0].masks
P11 postprocess/kurtosis.py | one image of each class more than asked for | kurtosis
-np.repeat(starts, counts) < images_per_class
+np.repeat(starts, counts) <= images_per_class
P12 postprocess/evaluation.py | top-5 are six | evaluation
-np.count_nonzero(ranks < 5)
+np.count_nonzero(ranks <= 5)
P13 postprocess/evaluation.py | the most and the least connected nodes swapped | evaluation
-[:: 1 if order == "most" else -1]
+[:: -1 if order == "most" else 1]
P14 postprocess/seeds.py | the standard deviation over seeds is the population's | summary
-ddof=1
+ddof=0
P15 postprocess/seeds.py | the last accuracy in place of the best | summary
-1 - float(result.best_validation_error)
+1 - float(result.validation_errors[-1])
P16 postprocess/seeds.py | the nearest density on a linear scale | figures
-abs(np.log(self.u_of(number) / u))
+abs(self.u_of(number) - u)
P17 postprocess/claims.py | a claim that just reaches its threshold does not hold | claims
-np.mean(self.effects) >= self.claim.threshold
+np.mean(self.effects) > self.claim.threshold
P18 postprocess/analyse.py | stored arrays do not depend on the options | analyse
-"options": part.options(run)
+"options": []
"""


class Fault(NamedTuple):
    """A text of a file, what stands there instead, what that means, and the test files that should notice."""

    id: str
    file: str
    meaning: str
    tests: list[str]
    old: str
    new: str


def read_table(table: str) -> list[Fault]:
    faults = []
    for entry in re.split(r"^(?=[A-Z]\d)", table, flags=re.MULTILINE)[1:]:
        head, *lines = entry.splitlines()
        place, meaning, names = (part.strip() for part in head.split("|"))
        old, new = ("\n".join(line[1:] for line in lines if line.startswith(sign)) for sign in "-+")
        faults.append(Fault(*place.split(), meaning, [f"tests/test_{name}.py" for name in names.split()], old, new))
    return faults


def what_is_stale(fault: Fault) -> str:
    """Why a fault cannot be planted and looked for; empty if it can."""
    for file in (fault.file, *fault.tests):
        if not (ROOT / file).is_file():
            return f"{fault.id}: {file} is not there"
    count = (ROOT / fault.file).read_text().count(fault.old)
    return f"{fault.id}: {fault.file} has {count} times, not once: {fault.old}" if count != 1 else ""


def copy_checkout(target: Path) -> None:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def environment_of(copy: Path) -> dict[str, str]:
    """In which Python takes the copy, and keeps no compiled files, whose sources change within a second."""
    return {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}


def check_imports(copy: Path, elsewhere: Path) -> None:
    """Exit unless a process that is started anywhere imports the copy."""
    program = "import sifting, postprocess; print(sifting.__file__, *postprocess.__path__, sep='\\n')"
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, cwd=elsewhere, env=environment_of(copy), check=True, capture_output=True, text=True)
    for path in map(Path, found.stdout.splitlines()):
        if not path.is_relative_to(copy):
            sys.exit(f"{path} is imported instead of the copy in {copy}")


def failed_test(copy: Path, tests: list[str]) -> str:
    """Run tests until one fails; its name, empty if all pass. Exits if they cannot run, as after a slip of syntax."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=copy, env=environment_of(copy), capture_output=True, text=True)
    if done.returncode == 0:
        return ""
    found = re.search(r"^(?:FAILED|ERROR) (\S+::\S+)", done.stdout, re.MULTILINE)
    if done.returncode != 1 or not found:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return found[1]


def main() -> int:
    faults = {fault.id: fault for fault in read_table(TABLE)}
    parser = argparse.ArgumentParser(prog="python tools/faults.py", description="Do the tests notice faults?")
    parser.add_argument("id", nargs="*", metavar="ID", help="such as C01; default: all")
    parser.add_argument("--check", action="store_true", help="only see whether the faults can be planted")
    options = parser.parse_args()
    if unknown := [name for name in options.id if name not in faults]:
        parser.error(f"{unknown[0]}: accepted: {' '.join(faults)}")
    chosen = [faults[name] for name in options.id or faults]
    if stale := list(filter(None, map(what_is_stale, chosen))):
        sys.exit("\n".join([*stale, f"{len(stale)} of {len(chosen)} faults do not fit the code any more"]))
    if options.check:
        print(f"all {len(chosen)} faults can be planted")
        return 0
    with tempfile.TemporaryDirectory(prefix="sifting-faults-") as folder:
        copy = Path(folder, "copy").resolve()
        copy_checkout(copy)
        check_imports(copy, Path(folder))
        caught = 0
        for fault in chosen:
            source, began = copy / fault.file, time.monotonic()
            sound = source.read_text()
            source.write_text(sound.replace(fault.old, fault.new))
            failed = failed_test(copy, fault.tests)
            source.write_text(sound)
            if not failed:
                result = f"MISSED by {', '.join(fault.tests)}"
            elif failed_test(copy, [failed.partition("[")[0]]):  # parameters may hold blanks
                result = f"not tried, since {failed} fails without it, too"
            else:
                result = f"caught by {failed}"
            caught += result.startswith("caught")
            print(f"{fault.id} {fault.meaning}: {result}, {time.monotonic() - began:.0f} s", flush=True)
    print(f"{caught} of {len(chosen)} faults were caught")
    return int(caught < len(chosen))


if __name__ == "__main__":
    sys.exit(main())
