"""Workers of Dask: those of a scheduler that is there, or jobs of Slurm that last as long as there are runs to do."""

import contextlib
import logging
import math
import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from typing import Any

from sifting.base.signals import held_back
from sifting.errors import InputError, one_line

SLURM = "slurm"


@contextlib.contextmanager
def client(address: str, jobs: int) -> Iterator[Any]:
    """A client of Dask.

    Args:
        address: of a scheduler, or SLURM.
        jobs: of Slurm, at most, at once. What each of them is, dask-jobqueue's own file says.

    Raises:
        InputError: there is no such scheduler; a package is missing; what dask-jobqueue refuses.
    """
    accepted = f"the address of a scheduler, or {SLURM} with a jobqueue.yaml, see docs/cluster.md"
    with contextlib.ExitStack() as stack:
        try:
            from distributed import Client

            scheduler = stack.enter_context(_of_slurm(jobs)) if address == SLURM else address
            connected = stack.enter_context(Client(scheduler, timeout=10))
        except ImportError as error:
            accepted = 'pip install "sifting[cluster]" first'
            raise InputError(f"--cluster {address}: {one_line(error)}; accepted: {accepted}") from None
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            raise InputError(f"--cluster {address}: {one_line(error)}; accepted: {accepted}") from None
        yield connected


def _of_slurm(jobs: int) -> Any:
    """A scheduler in this process, which submits and cancels jobs as there is work."""
    with held_back():  # its import sets a handler of SIGINT, which would end this process with exit code 0
        from dask_jobqueue import SLURMCluster
    if shutil.which("sbatch") is None:
        raise ValueError("there is no sbatch here")
    logging.getLogger("distributed").setLevel(logging.ERROR)
    # Of the dashboard, which takes another one.
    warnings.filterwarnings("ignore", "Port .* already in use", module="distributed")
    # Without certificates anybody in the network could have the workers do what he likes. They are files in the current
    # folder, which the jobs see, and go with the cluster.
    cluster = SLURMCluster(security=True, shared_temp_directory=os.getcwd())
    test = subprocess.run(["sbatch", "--test-only"], input=cluster.job_script(), capture_output=True, text=True)
    if test.returncode:  # Dask would wait for the jobs
        cluster.close()
        said = test.stderr.strip() or f"sbatch --test-only ended with exit code {test.returncode}"
        raise ValueError(said.rpartition("\n")[2])
    cluster.scheduler.allowed_failures = math.inf  # workers that a run may lose: time limits end them
    cluster.adapt(maximum_jobs=jobs, target_duration="1ms")  # runs are longer than Dask can know
    return cluster
