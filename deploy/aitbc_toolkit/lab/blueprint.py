"""What will a lab be? Its slot, names, addresses and keys, settled before anything is made.

First the claim, so that a kill at any later point leaves something reapable; then the lab's
folder with everything that the holder and the hosts need to know. Do not start anything here.
"""

from pathlib import Path

from aitbc_toolkit import shell
from aitbc_toolkit.lab import addresses, cgroups, claims, commands, seed
from aitbc_toolkit.lab.locking import locked
from aitbc_toolkit.lab.model import Lab, LabHost, LabSpec, to_json
from aitbc_toolkit.lab.places import Places
from aitbc_toolkit.processes import this_process

SSH_PORT = 22


def claim_lab(places: Places, spec: LabSpec) -> claims.Claim | None:
    """Take a slot and the lab's name on this machine, unless another command has just done so.

    From here on a kill leaves it reapable.
    """
    tag = places.tag(spec.name)
    with locked(places.machine_lock, timeout_s=claims.LOCK_TIMEOUT_S, what="the labs"):
        others = claims.read_claims(places)
        if any(other.tag == tag for other in others):
            return None
        claim = claims.Claim(
            tag=tag,
            name=spec.name,
            folder=places.lab(spec.name),
            slot=claims.free_slot(others, used=claims.addresses_in_use()),
            bridge=addresses.bridge_name(spec.name, tag=tag),
            machines=tuple(
                addresses.machine_name(host, tag=tag) for host in addresses.host_names(spec.hosts)
            ),
            cgroups=cgroups.lab_folders(cgroups.hierarchies(), tag=tag),
            holder=this_process(),
        )
        claims.write_claim(places, claim)
        cgroups.make_lab(claim.cgroups)
    return claim


def write_lab(places: Places, spec: LabSpec, claim: claims.Claim) -> Lab:
    """Make the lab's keys and write down what it will be."""
    folder = claim.folder
    (folder / "host-keys").mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    live = places.live(claim.tag)
    live.mkdir(parents=True, exist_ok=True)
    live.chmod(0o700)
    for log in folder.glob("*.log"):
        log.unlink()
    names = addresses.host_names(spec.hosts)
    _make_keys(folder, lab=spec.name, hosts=names)
    *hosts, forge = (_host(name, claim, spec.family) for name in names)
    lab = Lab(
        name=spec.name,
        tag=claim.tag,
        slot=claim.slot,
        bridge=claim.bridge,
        folder=folder,
        limits=spec.limits,
        hosts=tuple(hosts),
        forge=forge,
        bare=spec.bare,
    )
    lab.known_hosts.write_text(seed.known_hosts(lab), encoding="ascii")
    lab.ssh_config.write_text(seed.ssh_config(lab), encoding="utf-8")
    (folder / "lab.json").write_text(to_json(lab), encoding="utf-8")
    return lab


def _make_keys(folder: Path, *, lab: str, hosts: tuple[str, ...]) -> None:
    """Make the keys that are not there yet: a lab keeps them until it is destroyed."""
    for path, comment in [
        (folder / "root_ed25519", f"root@{lab}"),
        (folder / "push_ed25519", f"push@{lab}"),
        *((seed.host_key(folder, host), host) for host in hosts),
    ]:
        if not path.with_name(f"{path.name}.pub").is_file():
            path.unlink(missing_ok=True)
            shell.run(commands.make_key(path, comment=comment))


def _host(name: str, claim: claims.Claim, family: str) -> LabHost:
    ipv4, ipv6 = addresses.host_addresses(name, slot=claim.slot)
    has_v4, has_v6 = addresses.families_of(name, family)
    return LabHost(
        name=name,
        machine=addresses.machine_name(name, tag=claim.tag),
        ipv4=ipv4 if has_v4 else "",
        ipv6=ipv6 if has_v6 else "",
        port=SSH_PORT,
        key=claim.folder / "root_ed25519",
        host_key=seed.public_key(seed.host_key(claim.folder, name)),
        dual=bool(family) and has_v4 and has_v6,
    )
