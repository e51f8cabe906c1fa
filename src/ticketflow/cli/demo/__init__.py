"""``demo``: the sample shop's tickets through the pipeline, if you like with workers killed and a plain loop beside."""
