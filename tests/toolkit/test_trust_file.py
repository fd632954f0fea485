"""What `trust.toml` may say, how each mistake is named, and how the file is kept from harm."""

import base64
import hashlib
import struct
from pathlib import Path

import pytest
from signed_work import a_key, public

from aitbc_toolkit.errors import ConfigError, UsageError
from aitbc_toolkit.release import allowed, public_keys, safekeeping
from aitbc_toolkit.release.allowed import Allowed


def a_line(algorithm: str, *fields: bytes) -> str:
    """Build the line of a key from its fields."""
    packed = [struct.pack(">I", len(each)) + each for each in (algorithm.encode(), *fields)]
    return f"{algorithm} {base64.b64encode(b''.join(packed)).decode()}"


ANA = a_line("ssh-ed25519", b"\1" * 32)


def a_file(*, signer: str = "", rule: str = "", more: str = "", key: str = ANA) -> str:
    """Write a good trust file, with lines replaced."""
    rule = rule or (
        'name = "main"\nremote = "ssh://git@forge.example/aitbc.git"\nbranch = "main"\n'
        'signers = ["ana@example"]'
    )
    signer = signer or f'principal = "ana@example"\nkey = "{key}"\nroles = ["release"]'
    return f"{more}\n[[rules]]\n{rule}\n\n[[signers]]\n{signer}\n"


def refused(text: str, *, strict: bool = False) -> str:
    """Judge a text that has to be refused; return why."""
    with pytest.raises(ConfigError) as caught:
        allowed.parse(text, path=Path("trust.toml"), strict=strict)
    return caught.value.message


@pytest.mark.unit
def test_a_good_file_is_read() -> None:
    """The builder of these tests makes a file that is accepted, so each refusal has one cause."""
    found = allowed.parse(a_file(), path=Path("trust.toml"), strict=True)

    assert [each.name for each in found.rules] == ["main"]
    assert found.signers[0].roles == ["release"]


MAIN = 'name = "main"\nbranch = "main"\nsigners = ["ana@example"]\n'
TWIN = '[[rules]]\nname = "twin"\nremote = "ssh://git@forge.example/aitbc.git"\nbranch = "main"\n'
TWIN += 'signers = ["ana@example"]\n'
OTHER = a_line("ssh-ed25519", b"\2" * 32)


@pytest.mark.unit
@pytest.mark.proves("D3")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (a_file(more=TWIN), "duplicate source ssh://git@forge.example/aitbc.git, branch main"),
        (a_file(rule=MAIN + 'remote = "forge"'), "rules.0.remote: bad URL 'forge'"),
        (a_file(rule=MAIN + 'remote = "http://forge/x.git"'), "rules.0.remote: bad URL"),
        (a_file(rule=MAIN + 'remote = "ssh://*/x.git"'), "rules.0.remote: bad URL"),
        (a_file(rule=MAIN + 'path = "srv/aitbc"'), "rules.0.path: relative path 'srv/aitbc'"),
        (a_file(rule=MAIN + 'path = "/srv/../etc"'), "rules.0.path: relative path '/srv/../etc'"),
        (a_file(key=a_line("ssh-ed25519", b"\1" * 16)), "signers.0.key: short key: 16 bytes"),
        (
            a_file(key=a_line("ssh-rsa", b"\1\0\1", b"\x7f" * 256)),
            "signers.0.key: short key: 2047 bits of RSA, at least 3072",
        ),
        (a_file(key=a_line("ssh-dss", b"\1" * 32)), "signers.0.key: unknown algorithm ssh-dss"),
    ],
)
def test_each_malformed_entry_is_its_own_error(text: str, said: str) -> None:
    """Duplicate source, bad URL, relative path, short key, unknown algorithm: each is named."""
    message = refused(text)

    assert said in message
    assert "\n" not in message, "one mistake, one line"


@pytest.mark.unit
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (a_file(more="dev_mod = true"), "unknown key dev_mod, the nearest is dev_mode"),
        (a_file(rule=MAIN + 'remot = "x"'), "unknown key rules.0.remot, the nearest is remote"),
        (a_file(rule=MAIN), "one of remote and path, found neither"),
        (a_file(rule=MAIN + 'remote = "h:x"\npath = "/x"'), "one of remote and path, found both"),
        (
            a_file(signer=f'principal = "ann@example"\nkey = "{OTHER}"\nroles = ["release"]'),
            "unknown signer 'ana@example', the nearest is ann@example",
        ),
        (
            a_file(signer=f'principal = "ana@example"\nkey = "{OTHER}"\nroles = ["qa"]'),
            "ana@example lacks the role release",
        ),
        (
            a_file(signer=f'principal = "ana * b"\nkey = "{OTHER}"\nroles = ["release"]'),
            "signers.0.principal: 'ana * b' is not like name@place",
        ),
        (a_file(key="ssh-ed25519 !!!"), "signers.0.key: the key is not base64"),
        (a_file(key=a_line("ssh-ed25519", b"\1" * 32)[:-8]), "signers.0.key: the key"),
        (a_file(more='[[revoked]]\nkey = "x"\nreason = "y"'), "revoked.0.key: a key is written"),
    ],
)
def test_other_mistakes_are_named_with_the_key_and_the_nearest(text: str, said: str) -> None:
    """Whoever mistypes a name learns which one was probably meant."""
    assert said in refused(text)


@pytest.mark.unit
def test_all_mistakes_are_named_at_once() -> None:
    """Nobody has to run a command once for each mistake."""
    text = a_file(rule=MAIN + 'remote = "forge"', key=a_line("ssh-ed25519", b"\1"), more=TWIN)

    message = refused(text.replace("ana@example", "ana"))

    assert "mistakes\n" in message
    for each in ("bad URL", "short key", "not like name@place"):
        assert each in message


@pytest.mark.unit
def test_one_key_is_one_person() -> None:
    """A key under two names would count as two reviewers."""
    key = a_line("ssh-ed25519", b"\1" * 32)
    twin = f'[[signers]]\nprincipal = "bob@example"\nkey = "{key}"\nroles = ["qa"]\n'

    assert "bob@example and ana@example have the same key" in refused(a_file(more=twin))


@pytest.mark.unit
@pytest.mark.proves("D5")
def test_production_refuses_dev_mode() -> None:
    """What lets everything through never gets into production."""
    text = a_file(more="dev_mode = true")

    assert "dev_mode: refused here" in refused(text, strict=True)
    assert allowed.parse(text, path=Path("trust.toml"), strict=False).dev_mode


@pytest.mark.unit
def test_the_fingerprint_is_what_ssh_prints() -> None:
    """People compare it with what ssh-keygen shows."""
    line = a_line("ssh-ed25519", b"\1" * 32)
    body = base64.b64decode(line.split()[1])

    expected = "SHA256:" + base64.b64encode(hashlib.sha256(body).digest()).decode().rstrip("=")
    assert public_keys.read(line + " a comment").fingerprint == expected


def test_a_real_key_is_read(tmp_path: Path) -> None:
    """What ssh-keygen makes is accepted, of both kinds."""
    for kind, bits in (("ed25519", ""), ("rsa", "3072")):
        line = public(a_key(tmp_path, kind, kind=kind, bits=bits))
        assert public_keys.read(line).line == line


def written(tmp_path: Path) -> Path:
    """Write a good trust file with its checksum, as an operator would."""
    path = tmp_path / "trust.toml"
    path.write_text("# why\n" + a_file(), encoding="utf-8")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    safekeeping.sum_path(path).write_text(f"{digest}  trust.toml\n", encoding="utf-8")
    return path


@pytest.mark.proves("D3")
def test_production_refuses_a_file_without_its_new_checksum(tmp_path: Path) -> None:
    """One more space is a change; elsewhere the checksum is not asked for."""
    path = written(tmp_path)
    safekeeping.read(path, strict=True)

    path.write_text(path.read_text(encoding="utf-8") + " \n", encoding="utf-8")

    with pytest.raises(ConfigError, match="changed without its checksum"):
        safekeeping.read(path, strict=True)
    safekeeping.read(path, strict=False)


@pytest.mark.proves("D3")
def test_production_refuses_a_file_whose_checksum_is_gone(tmp_path: Path) -> None:
    """Removing the checksum is no way round it."""
    path = written(tmp_path)

    safekeeping.sum_path(path).unlink()

    with pytest.raises(ConfigError, match="no checksum"):
        safekeeping.read(path, strict=True)


@pytest.mark.proves("D3")
def test_a_change_keeps_comments_a_backup_and_the_checksum(tmp_path: Path) -> None:
    """After an edit the file is good in production, and the one before lies beside it."""
    path = written(tmp_path)
    before = path.read_text(encoding="utf-8")
    entry: dict[str, object] = {"principal": "bob@example", "key": OTHER, "roles": ["qa"]}

    safekeeping.change(path, lambda doc: safekeeping.add(doc, "signers", entry), strict=True)

    found = safekeeping.read(path, strict=True)
    assert [each.principal for each in found.signers] == ["ana@example", "bob@example"]
    assert path.read_text(encoding="utf-8").startswith("# why\n")
    assert path.with_name("trust.toml.bak").read_text(encoding="utf-8") == before
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "trust.toml",
        "trust.toml.bak",
        "trust.toml.sha256",
    ]


@pytest.mark.proves("D3")
def test_a_change_that_would_be_refused_is_not_written(tmp_path: Path) -> None:
    """Removing a signer that a rule names would break the rule: the file stays as it was."""
    path = written(tmp_path)
    before = path.read_bytes()

    with pytest.raises(ConfigError, match="unknown signer"):
        safekeeping.change(path, lambda doc: safekeeping.remove(doc, "ana@example"), strict=True)

    assert path.read_bytes() == before
    assert not path.with_name("trust.toml.bak").exists()


def test_a_revoked_signer_stays_and_counts_no_more(tmp_path: Path) -> None:
    """The rules that name the signer still read; the key is refused."""
    path = written(tmp_path)

    after = safekeeping.change(
        path, lambda doc: safekeeping.take_out(doc, "ana@example", revoke="stolen"), strict=True
    )

    assert [each.principal for each in after.signers] == ["ana@example"]
    assert after.valid() == []


def test_an_unknown_name_shows_the_nearest(tmp_path: Path) -> None:
    """A slip of the finger removes nothing."""
    path = written(tmp_path)

    with pytest.raises(UsageError, match="the nearest is ana@example"):
        safekeeping.change(path, lambda doc: safekeeping.remove(doc, "anna@example"), strict=True)


def test_without_a_file_nothing_is_trusted(tmp_path: Path) -> None:
    """Deny by default."""
    assert safekeeping.read(tmp_path / "trust.toml", strict=True) == Allowed()
