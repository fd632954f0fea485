"""What is done to the builds that nodes run, and to their keys, while the mesh goes on?

Do not add how it is done: `builds.py` says who does it.
"""

from aitbc_toolkit.suites.scenario.desk import Desk, Order


def upgrade(desk: Desk, order: Order) -> None:
    """Bring a newer build to these nodes, one after the other."""
    told = desk.deployer.upgrade(order.whom, desk.clock)
    desk.clock.found("upgraded", told, met=True)


def rollback(desk: Desk, order: Order) -> None:
    """Bring back the build before."""
    told = desk.deployer.rollback(order.whom, desk.clock)
    desk.clock.found("rolled back", told, met=True)


def fail(desk: Desk, order: Order) -> None:
    """Deploy what does not work; it is taken back by itself."""
    told = desk.deployer.fail(order.whom, desk.clock)
    desk.clock.found("bad release taken back", told, met=True)


def rotate(desk: Desk, order: Order) -> None:
    """Let the nodes of these validators make new keys, and vote with them from an epoch on."""
    told = desk.deployer.rotate(order.whom, desk.clock)
    desk.clock.found("keys rotated", told, met=True)
