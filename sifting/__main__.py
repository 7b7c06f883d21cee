"""All commands under one name: `python -m sifting COMMAND ...`, or `sifting COMMAND ...`.

`sifting run inputs/quickstart.in` is `python -m sifting.run inputs/quickstart.in`, and so on for each of COMMANDS.
"""

import os
import runpy
import sys

import sifting
from sifting.base.command_line import COMPLETING, Parser

COMMANDS = {
    "run": ("sifting.run", "run the experiment of an input file"),
    "sweep": ("sifting.sweep", "run it at all points of a grid"),
    "reproduce": ("postprocess.reproduce", "run what figures need, and draw them"),
    "claims": ("postprocess.claims", "check the papers' claims against runs"),
    "summary": ("postprocess.summary", "a table of rounds, and one figure"),
    "analyse": ("postprocess.analyse", "every observable, as tables and arrays"),
    "table": ("postprocess.table", "a line for each experiment in folders"),
    "compare": ("postprocess.compare", "two experiments side by side"),
    "figures": ("postprocess.figures", "figures of the papers, from your runs"),
    "report": ("postprocess.report", "an HTML page to explore runs"),
    "export": ("sifting.export", "a round as Keras model or arrays"),
    "verify": ("postprocess.verify", "which files of runs are damaged"),
    "crosscheck": ("postprocess.crosscheck", "replay recorded runs of the TF1 code"),
    "device_check": ("postprocess.device_check", "what this GPU or CPU is good for"),
}


def main() -> None:
    """Hand the rest of the command line to the module of the command; without one list them all."""
    words = sys.argv[1:]
    if COMPLETING in os.environ:  # the words before the one that is being written; argcomplete skips this one
        words = os.environ["COMP_LINE"].split()[1:]
        words = words if os.environ["COMP_LINE"].endswith(" ") else words[:-1]
        os.environ[COMPLETING] = str(1 + len(words[:1]))
    if words and words[0] in COMMANDS:
        sys.argv[1:] = words[1:]
        runpy.run_module(COMMANDS[words[0]][0], run_name="__main__", alter_sys=True)
        return
    if words and words[0] not in ("-h", "--help") or COMPLETING in os.environ:
        parser = Parser(prog="sifting")
        parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
        parser.parse_args(words[:1])  # ends
    print(
        f"sifting {sifting.__version__}: how pruning finds structure in neural networks\n\nusage: sifting COMMAND ...\n"
    )
    for name, (module, says) in COMMANDS.items():
        print(f"  {name:<14}{says:<40}{module}")
    print("\nsifting COMMAND --help says more; python -m MODULE is the same as the COMMAND.")


if __name__ == "__main__":
    main()
