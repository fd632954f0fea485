"""What is every host told of itself and of its nodes, whatever the step is? Values, no secrets."""

from typing import Any

from aitbc_toolkit.inventory import Host, Instance


def host(host: Host) -> dict[str, Any]:
    """Say where things are on a host, and with what its programs are run."""
    return {
        "layout": host.layout.to_wire(),
        "python": host.python,
        "uv": host.uv,
        "uv_cache": host.uv_cache,
        "offline": host.offline,
        "run_as": host.run_as,
        "firewall": host.firewall,
    }


def node(instance: Instance) -> dict[str, Any]:
    """Say where a node is, what it is, and on which addresses it listens."""
    return {
        **instance.paths.to_wire(),
        "role": instance.role,
        "listen": {
            "p2p": [instance.listens_on, instance.p2p_port],
            "rpc": [instance.listens_on, instance.rpc_port],
            "admin": ["127.0.0.1", instance.admin_port],
        },
    }
