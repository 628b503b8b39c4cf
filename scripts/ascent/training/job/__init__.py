"""How a training run lives on a cluster: its processes, one run at a time, when to stop, how to resume."""
