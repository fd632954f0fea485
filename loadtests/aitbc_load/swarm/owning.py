"""What of Locust does a worker use? One user that owns its schedule, its events, and a count.

Do not add statistics: those are ours, since Locust's latencies have two digits.
"""

from collections.abc import Callable

from locust import User, task
from locust.env import Environment
from locust.exception import StopUser
from locust.stats import RequestStats


class Count(RequestStats):
    """Count requests, and keep nothing else of them: an eighth less for each hand-in."""

    def log_request(
        self,
        method: str,  # noqa: ARG002 - what Locust hands over
        name: str,  # noqa: ARG002 - the same
        response_time: int,  # noqa: ARG002 - the same
        content_length: int,  # noqa: ARG002 - the same
    ) -> None:
        """Count one. Whether all came here shows whether Locust's events have worked."""
        self.total.num_requests += 1


def counting() -> Environment:
    """Make the surroundings in which Locust runs the user."""
    # Or Locust would begin the schedule again behind a bug of ours, and nobody would be told of it.
    environment = Environment(catch_exceptions=False)
    environment.stats = Count()
    return environment


def user_of(work: Callable[[], None]) -> type[User]:
    """Make the class of the one user; Locust makes users out of classes only."""

    class Owner(User):
        """Own the schedule of this worker."""

        @task
        def own(self) -> None:
            work()
            raise StopUser

    return Owner
