"""The command: python -m postprocess.crosscheck."""

import sys

from postprocess.crosscheck import main

sys.exit(main())
