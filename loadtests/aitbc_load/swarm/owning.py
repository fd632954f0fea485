"""Which user does Locust run? One for each worker, that owns its schedule and does it once."""

from collections.abc import Callable

from locust import User, task
from locust.exception import StopUser


def user_of(work: Callable[[], None]) -> type[User]:
    """Make the class of the one user; Locust makes users out of classes only."""

    class Owner(User):
        """Own the schedule of this worker."""

        @task
        def own(self) -> None:
            work()
            raise StopUser

    return Owner
