"""Time that passes where something waits for it, and nowhere else: no test waits for a deadline."""


class VirtualTime:
    """Stand in for the module `time` of a module that waits."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        """Tell how late it is."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds
