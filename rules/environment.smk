# In: Snakemake's Python and command line. Out: the `python` that rules call; words of a profile that would be misread
# are refused.
import gc
import os
import sys
from importlib.util import find_spec

from ascent.errors import AscentError, refuse_other_python

refuse_other_python(("pydantic", "yaml"))

from ascent.recipes.profiles import check_profiles

# Without an activated environment, too, rules find the packages that are beside Snakemake.
if find_spec("torch"):
    os.environ.update(PATH=os.pathsep.join([os.path.dirname(sys.executable), *os.get_exec_path()]))

# Snakemake's graph of jobs holds no garbage; to look for some at every 700 objects takes a tenth of the time of a large
# one.
gc.set_threshold(100_000, 50, 100)

try:
    check_profiles(sys.argv)
except AscentError as error:
    sys.exit(f"error: {error}")
