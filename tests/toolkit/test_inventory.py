"""An inventory is judged whole, and finds every host and node of its environment."""

import json
from pathlib import Path

import pytest

from aitbc_toolkit import inventory, paths
from aitbc_toolkit.declared import overweight, shares
from aitbc_toolkit.errors import AitbcError, ConfigError, Exit, UsageError
from aitbc_toolkit.inventory import Inventory


def a_folder(tmp_path: Path, text: str) -> Path:
    """Make a folder of inventories with this text for dev."""
    folder = tmp_path / "inventories"
    (folder / "dev").mkdir(parents=True)
    (folder / "dev" / "inventory.toml").write_text(text)
    return folder


def dev_text() -> str:
    """Read the real inventory of dev."""
    return (paths.inventories() / "dev" / "inventory.toml").read_text()


def a_lab(state: Path, *, hosts: int) -> None:
    """Write the record of a lab named demo."""
    folder = state / "labs" / "demo"
    folder.mkdir(parents=True)
    machines = [
        {"name": f"lab{n}", "ipv4": f"10.213.0.{10 + n}", "port": 22, "key": f"/k/{n}"}
        for n in range(1, hosts + 1)
    ]
    written = {"folder": str(folder), "hosts": machines}
    (folder / "lab.json").write_text(json.dumps(written))


@pytest.mark.proves("E53")
@pytest.mark.parametrize(
    ("name", "validators", "interval_ms", "size", "log_level"),
    [
        ("dev", 4, 1_000, 10, "DEBUG"),
        ("staging", 4, 2_000, 20, "INFO"),
        ("production", 10, 5_000, 50, "WARNING"),
    ],
)
def test_profiles_are_those_of_the_table(
    name: str, validators: int, interval_ms: int, size: int, log_level: str
) -> None:
    """Each environment has the size, pace and log level that its profile promises."""
    found = Inventory.load(name)

    assert len(found.validators) == validators
    assert found.chain.block_interval_ms == interval_ms
    assert (found.profile.network_size, found.profile.log_level) == (size, log_level)


def test_nodes_of_this_machine_live_on_the_loopback_address_that_is_named(tmp_path: Path) -> None:
    """A machine with ::1 only has a mesh of its own, too; URLs have their brackets."""
    text = dev_text().replace('connector = "local"', 'connector = "local"\naddress = "::1"')

    found = Inventory.load("dev", folder=a_folder(tmp_path, text))

    assert {each.address for each in found.instances} == {"::1"}
    assert found.instance("v1").rpc_url.startswith("http://[::1]:")


def a_mixed_lab(state: Path) -> None:
    """Write the record of a mixed lab named demo."""
    a_lab(state, hosts=4)
    path = state / "labs" / "demo" / "lab.json"
    written = json.loads(path.read_text())
    for number, host in enumerate(written["hosts"], start=1):
        host["ipv4"] = "" if number == 4 else host["ipv4"]
        host["ipv6"] = "" if number == 3 else f"fd5a::{number}"
        host["dual"] = number < 3
    path.write_text(json.dumps(written))


def test_a_mixed_lab_gives_nodes_the_addresses_that_their_hosts_have(tmp_path: Path) -> None:
    """Who has both listens on all and is reached in either; two of one family each are not."""
    a_mixed_lab(tmp_path)
    found = Inventory.load("lab-demo", state=tmp_path)
    both, also, old, new = (found.instance(name) for name in ("v1", "v2", "v3", "v4"))

    assert both.addresses == ("10.213.0.11", "fd5a::1")
    assert (both.listens_on, old.listens_on, new.listens_on) == ("::", "10.213.0.13", "fd5a::4")
    assert new.rpc_url == "http://[fd5a::4]:8710"
    assert (both.way_to(also), old.way_to(both), new.way_to(both)) == (
        "10.213.0.12",
        "10.213.0.11",
        "fd5a::1",
    )
    assert (old.way_to(new), new.way_to(old)) == ("", "")


@pytest.mark.parametrize("written", ["10.0.0.1", "node.example", "[::1]"])
def test_a_second_address_is_of_the_newer_family(tmp_path: Path, written: str) -> None:
    """It stands beside the first one, which everybody can use."""
    line = f'connector = "local"\naddress = "10.0.0.9"\naddress6 = "{written}"'
    text = dev_text().replace('connector = "local"', line)

    with pytest.raises(ConfigError, match="address6 has to be an IPv6 address"):
        Inventory.load("dev", folder=a_folder(tmp_path, text))


@pytest.mark.proves("E53")
def test_development_is_dev() -> None:
    """An alias means the same environment, under its one name."""
    assert Inventory.load("development").name == "dev"


@pytest.mark.proves("E53")
@pytest.mark.parametrize(
    ("wrong", "near"), [("stagin", "staging"), ("prodution", "production"), ("Dev", "dev")]
)
def test_an_unknown_environment_is_refused_with_the_nearest(wrong: str, near: str) -> None:
    """A typo ends with status 64 and the name that was meant."""
    with pytest.raises(UsageError, match=f"nearest is {near}") as refused:
        Inventory.load(wrong)

    assert refused.value.exit_status is Exit.USAGE
    assert "dev, lab, production, staging" in refused.value.hint


def test_a_lab_of_any_name_uses_the_inventory_of_lab(tmp_path: Path) -> None:
    """`lab-demo` is the lab named demo: its addresses, keys and host keys, its own folder."""
    a_lab(tmp_path, hosts=4)

    found = Inventory.load("lab-demo", state=tmp_path)

    assert (found.name, found.lab) == ("lab-demo", "demo")
    assert found.instance("v3").rpc_url == "http://10.213.0.13:8710"
    assert found.host("lab3").known_hosts == str(tmp_path / "labs/demo/known_hosts")
    assert found.folder == tmp_path / "envs/lab-demo"


def test_a_lab_that_is_not_there_is_named_with_the_way_to_it(tmp_path: Path) -> None:
    """Without its lab an environment has no hosts, and says how to get them."""
    with pytest.raises(AitbcError, match="lab demo is not there") as refused:
        Inventory.load("lab-demo", state=tmp_path)

    assert refused.value.hint == "aitbc up lab-demo"


def test_a_lab_with_too_few_hosts_is_named(tmp_path: Path) -> None:
    """A lab that lacks a host of the inventory is no silent smaller mesh."""
    a_lab(tmp_path, hosts=3)

    with pytest.raises(ConfigError, match="lab demo has no host lab4") as refused:
        Inventory.load("lab-demo", state=tmp_path)

    assert refused.value.hint == "aitbc lab down demo\naitbc up lab-demo   # with all hosts"


def test_what_this_machine_keeps_of_a_lab_is_read_without_it(tmp_path: Path) -> None:
    """History, audit log and trust lie in the operator's folder; the lab may be down."""
    found = Inventory.load("lab-demo", state=tmp_path, reachable=False)

    assert (found.lab, found.folder) == ("demo", tmp_path / "envs/lab-demo")
    assert {host.address for host in found.hosts} == {""}


def test_a_lab_that_is_there_is_found_by_those_who_could_do_without(tmp_path: Path) -> None:
    """Whoever compares records with hosts where they answer gets their addresses."""
    a_lab(tmp_path, hosts=4)

    found = Inventory.load("lab-demo", state=tmp_path, reachable=False)

    assert found.host("lab3").address == "10.213.0.13"


def test_a_damaged_record_of_a_lab_is_one_line(tmp_path: Path) -> None:
    """A torn `lab.json` is named, and the way to a new one with it."""
    a_lab(tmp_path, hosts=4)
    (tmp_path / "labs/demo/lab.json").write_text("{", encoding="utf-8")

    with pytest.raises(ConfigError, match=r"lab\.json is damaged") as refused:
        Inventory.load("lab-demo", state=tmp_path)

    assert refused.value.hint.splitlines()[-1] == "aitbc lab up demo"


def test_a_wrong_type_hides_no_other_mistake(tmp_path: Path) -> None:
    """Unknown hosts and shared ports are named beside keys that cannot be read."""
    text = dev_text().replace("dirty = true", 'dirty = "yes"')
    text = text.replace('[instances.v2]\nhost = "localhost"', '[instances.v2]\nhost = "localhots"')
    text = text.replace("rpc = 8713", "rpc = 8712") + "\n[hosts.far]\nconnector = 'ssh'\n"

    with pytest.raises(ConfigError) as refused:
        Inventory.read("dev", folder=a_folder(tmp_path, text))

    said = refused.value.message
    assert "environment.dirty: input should be a valid boolean, found 'yes'" in said
    assert "instances.v2.host: unknown host 'localhots', the nearest is localhost" in said
    assert "port 8712 of host localhost is given to 2 listeners" in said
    assert "hosts.far.address is missing" in said


@pytest.mark.parametrize("content", [b"[environment\n", b"\xff\xfe"])
def test_a_file_that_is_no_toml_is_named_with_what_to_edit(tmp_path: Path, content: bytes) -> None:
    """The hint says which file, as a deed and not as a bare path; status 78."""
    folder = a_folder(tmp_path, "")
    path = folder / "dev" / "inventory.toml"
    path.write_bytes(content)

    with pytest.raises(ConfigError) as refused:
        Inventory.read("dev", folder=folder)

    assert str(path) in refused.value.message
    assert refused.value.hint == f"edit {path}"


def test_every_mistake_of_a_file_is_named_at_once(tmp_path: Path) -> None:
    """One run shows all typos, each with its key and the nearest name; status 78."""
    text = dev_text().replace("block_interval_ms", "block_intervall_ms")
    text = text.replace('connector = "local"', 'connector = "telnet"')

    with pytest.raises(ConfigError) as refused:
        Inventory.read("dev", folder=a_folder(tmp_path, text))

    said = refused.value.message
    assert "dev/inventory.toml: 3 mistakes" in said
    assert "unknown key chain.block_intervall_ms, the nearest is block_interval_ms" in said
    assert "chain.block_interval_ms is missing" in said
    assert "hosts.localhost.connector" in said
    assert "'telnet'" in said
    assert refused.value.exit_status is Exit.CONFIG


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("rpc = 8711", "rpc = 8710", "port 8710 of host localhost is given to 2 listeners"),
        ('[instances.v2]\nhost = "localhost"', '[instances.v2]\nhost = "localhots"', "localhost"),
        ("[instances.v2]", "[instances.V2]", "the name 'V2' has to be a letter"),
        ("rpc = 8711", "rpc = 80", "greater than or equal to 1024"),
        ('id = "aitbc-dev-1"', 'id = "dev"', "chain.id"),
        ("dirty = true", 'dirty = "yes"', "environment.dirty"),
        ("approvals = 0", "approvals = 0\ntrusted_height = 7", "profile.trusted_height"),
        ("approvals = 0", "canary = 4", "profile.canary: 4 leaves none of 4 nodes to protect"),
        ("approvals = 0", "bake_s = 0", "profile.bake_s: input should be greater than or equal"),
        ("approvals = 0", "canary = true", "profile.canary: input should be a valid integer"),
    ],
)
def test_contradictions_are_found(tmp_path: Path, before: str, after: str, said: str) -> None:
    """What is right alone and wrong together is refused before anything is done with it."""
    assert before in dev_text()

    with pytest.raises(ConfigError) as refused:
        Inventory.read("dev", folder=a_folder(tmp_path, dev_text().replace(before, after)))

    assert said in refused.value.message


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("approvals = 0", "canary = 4", "canary = 4"),
        ("approvals = 0", "bake_s = 9_999", "bake_s = 9_999"),
        ("approvals = 0", "canry = 1", "canry = 1"),
        ("network_size = 10", "", "[profile]"),
        ("rpc = 8711", "rpc = 80", "rpc = 80"),
    ],
)
def test_a_mistake_is_named_with_its_line(
    tmp_path: Path, before: str, after: str, line: str
) -> None:
    """The line of the key, of the table that lacks it, or of the inline table that holds it."""
    text = dev_text().replace(before, after)
    lines = text.splitlines()
    number = next(place for place, each in enumerate(lines, start=1) if line in each)

    with pytest.raises(ConfigError) as refused:
        Inventory.read("dev", folder=a_folder(tmp_path, text))

    path = tmp_path / "inventories/dev/inventory.toml"
    assert refused.value.message.startswith(f"{path}:{number}: ")
    assert refused.value.hint == f"edit {path}"


def test_no_failure_domain_of_production_holds_a_third() -> None:
    """The loss of one place must leave more than two thirds of the power."""
    written = (paths.inventories() / "production" / "inventory.toml").read_text()
    crowded = written.replace("site-2", "site-1").replace("site-3", "site-1")

    with pytest.raises(ConfigError, match="failure domain site-1 holds 6 of 10 power"):
        inventory.parse(crowded, path=Path("inventory.toml"))


def test_production_has_a_canary() -> None:
    """Where two people approve, no release comes to all nodes before one was watched."""
    written = (paths.inventories() / "production" / "inventory.toml").read_text()

    with pytest.raises(ConfigError, match=r"profile\.canary: a node goes first"):
        inventory.parse(written.replace("canary = 1\n", ""), path=Path("inventory.toml"))


def test_production_turns_crowds_away() -> None:
    """A profile that is there to be measured is open to everybody's flood."""
    written = (paths.inventories() / "production" / "inventory.toml").read_text()
    bench = written.replace("canary = 1\n", 'canary = 1\nlimits = "bench"\n')

    with pytest.raises(ConfigError, match=r"profile\.limits: bench turns nobody away"):
        inventory.parse(bench, path=Path("inventory.toml"))


MOCK = '[chain.assets.mUSDA]\ntitle = "Mock US dollar"\nmint_policy = "authority"\n'


@pytest.mark.proves("A25")
def test_production_refuses_mock_money() -> None:
    """An asset that an authority mints at will has no place where two people approve."""
    written = (paths.inventories() / "production" / "inventory.toml").read_text()
    mocked = written.replace("[profile]", f"{MOCK}\n[profile]")

    with pytest.raises(ConfigError, match=r"chain\.assets\.mUSDA\.mint_policy") as refused:
        inventory.parse(mocked, path=Path("i.toml"))

    assert refused.value.exit_status is Exit.CONFIG
    inventory.parse(mocked.replace('"authority"', '"fixed"'), path=Path("i.toml"))
    for name in ("dev", "lab", "staging"):
        assert Inventory.read(name).chain.assets["mUSDA"].mint_policy == "authority"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("dev", ["failure domain localhost holds 4 of 4 power, a third or more"]),
        ("lab", []),
        (
            "staging",
            [
                "failure domain office holds 2 of 4 power, a third or more",
                "failure domain aitbc1 holds 2 of 4 power, a third or more",
                "host localhost holds 2 of 4 power, a third or more",
            ],
        ),
        ("production", []),
    ],
)
def test_who_holds_a_third_of_the_power_is_named(name: str, said: list[str]) -> None:
    """Two hosts can never outlive the loss of one, and the tool says so."""
    written = Inventory.read(name)

    assert overweight(written) == said
    assert sum(shares(written, by="host").values()) == sum(shares(written, by="domain").values())


def test_production_stands_on_four_failure_domains_or_more() -> None:
    """Ten validators, and no place whose loss stops the chain."""
    written = Inventory.read("production")

    assert len(shares(written, by="domain")) >= 4
    assert max(shares(written, by="domain").values()) * 3 < 10


def test_an_unknown_node_or_host_is_refused_with_the_nearest() -> None:
    """A typo in the name of a node is a usage mistake that says what was meant."""
    found = Inventory.load("staging")

    with pytest.raises(UsageError, match="staging has no host 'aitbc2', the nearest is aitbc1"):
        found.host("aitbc2")
    with pytest.raises(UsageError, match="staging has no node 'v44'"):
        found.instance("v44")


def test_two_nodes_on_one_host_share_no_path_or_unit() -> None:
    """The instance is part of every path and unit name."""
    first, second = Inventory.load("staging").on("aitbc1")

    own = [set(each.paths.to_wire().values()) for each in (first, second)]
    assert not own[0] & own[1]
