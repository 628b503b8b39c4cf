"""The parts of the acceptance on a GPU: one file each, with a function of its name that tells its findings to a Rig."""
