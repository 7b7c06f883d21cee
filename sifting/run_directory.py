"""Names that moved to sifting.runs."""

from sifting.runs.directory import RunDirectory as RunDirectory
from sifting.runs.events import EVENT_FILE as EVENT_FILE
from sifting.runs.events import event_file_name as event_file_name
from sifting.runs.find import find_runs as find_runs
from sifting.runs.reference import log_line as log_line
from sifting.runs.reference import log_lines as log_lines
from sifting.runs.reference import log_summary as log_summary
from sifting.runs.reference import read_round_file as read_round_file
from sifting.runs.reference import round_from_lists as round_from_lists
from sifting.runs.reference import round_to_lists as round_to_lists
from sifting.system.pickles import dump_pickle as dump_pickle
from sifting.system.pickles import load_pickle as load_pickle
