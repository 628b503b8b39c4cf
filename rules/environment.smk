# In: Snakemake's Python and command line. Out: the `python` that rules call; words of a profile that would be misread are refused.
import os
import sys
from importlib.util import find_spec

from ascent.errors import AscentError, refuse_other_python

refuse_other_python(("pydantic", "yaml"))

from ascent.recipes.profiles import check_profiles

# Without an activated environment, too, rules find the packages that are beside Snakemake.
if find_spec("torch"):
    os.environ.update(PATH=os.pathsep.join([os.path.dirname(sys.executable), *os.get_exec_path()]))

try:
    check_profiles(sys.argv)
except AscentError as error:
    sys.exit(f"error: {error}")
