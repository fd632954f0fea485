"""What all unit tests share."""

import hypothesis

# A deadline per example would measure the load of the machine, not the code.
hypothesis.settings.register_profile("unit", deadline=None)
hypothesis.settings.load_profile("unit")
