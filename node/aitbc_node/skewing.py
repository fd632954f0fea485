"""Does the own wall clock agree with those of the voters?

Do not add what follows from it: a node whose clock is wrong votes on. Source: rules 2.4.
"""

from aitbc_node import limits
from aitbc_node.blocks import Certificate
from aitbc_node.certificates import median_time_ms
from aitbc_node.outbox import Outbox
from aitbc_node.validators import ValidatorSet


class Skew:
    """Note when the clocks drift apart, and when they meet."""

    def __init__(self, outbox: Outbox) -> None:
        self._out = outbox
        self._is_skewed = False
        self.ms = 0
        """By how much the own clock was ahead when the newest certificate was made here."""

    def compare(self, certificate: Certificate, voters: ValidatorSet) -> None:
        """Look at a certificate that has just been made, so that its median time is now."""
        self.ms = self._out.wall_ms - median_time_ms(certificate, voters)
        is_skewed = abs(self.ms) > limits.CLOCK_SKEW_MS_MAX
        if is_skewed != self._is_skewed:
            self._out.note("clock.skewed" if is_skewed else "clock.agrees", skew_ms=self.ms)
        self._is_skewed = is_skewed
