"""What `--jobs` starts for each run, see child."""

import sys

from sifting.training.child import main

sys.exit(main())
