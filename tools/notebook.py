"""Execute the example notebooks and store their outputs: `python tools/notebook.py examples/*.ipynb`.

What a reader does not want to see in a difference is left out: times, TensorFlow's start-up messages.
"""

import os
import sys

import nbformat
from nbclient import NotebookClient

if __name__ == "__main__":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    for path in sys.argv[1:]:
        notebook = nbformat.read(path, as_version=4)
        client = NotebookClient(
            notebook, timeout=600, coalesce_streams=True, resources={"metadata": {"path": os.path.dirname(path)}}
        )
        client.record_timing = False
        client.execute()
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        notebook.metadata.language_info.pop("version", None)
        nbformat.write(notebook, path)
