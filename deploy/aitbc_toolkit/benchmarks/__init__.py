"""How fast is this project beside the least that the same job can cost? Measured in one run."""
