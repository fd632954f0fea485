"""Which consensus keys does a validator's host hold, and how does the next one come to be?

The process that holds the key folder makes it, beside the others, with a sign state of its own; its
operator tells the ledger, which decides from when on it signs. No key is ever removed. Do not vote
here.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from aitbc_node import keyfiles
from aitbc_node.crypto import Signer, SigningKey
from aitbc_node.errors import ConfigError
from aitbc_node.events import OwnKey
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.policy import Policy, address_of
from aitbc_node.ledger.transactions import Transaction, gas_of, sign
from aitbc_node.storage.files import FileDisk
from aitbc_node.storage.sign_state import NOTHING_SIGNED, SignStateFile, SignStates
from aitbc_node.types import Address, Amount, Gas, Height, PublicKey, Signature


class Words(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hold what every transaction says that an operator's key signs on its host; bytes as hex."""

    chain_id: str
    operator: str
    nonce: int
    valid_until: int
    max_gas_price: int
    is_new: bool
    """Whether the operator's account has never signed: then its policy goes along."""


class Rotation(Words, frozen=True, kw_only=True):
    """Say which consensus key takes the place of the present one, with its proof."""

    key: str
    proof: str


def load_later(folder: Path) -> dict[int, SigningKey]:
    """Read the keys that were made to replace the first, by their numbers.

    Raises: ConfigError for one that is open to others or no key.
    """
    numbers = keyfiles.later_keys(folder)
    return {number: load(folder, number) for number in numbers}


def load(folder: Path, number: int) -> SigningKey:
    """Read the key of a number."""
    return keyfiles.load_signer(folder / keyfiles.consensus_key(number))


def load_newest(folder: Path) -> OwnKey:
    """Read the key that was made last, and what it has signed."""
    number = max([1, *keyfiles.later_keys(folder)])
    disk = FileDisk(folder)
    try:
        return OwnKey(number, load(folder, number), SignStates(disk).load(number))
    finally:
        disk.close()


def make(folder: Path, number: int) -> OwnKey:
    """Make a key, behind its sign state: a crash in between leaves no key without one.

    Raises: ConfigError where the numbers end; AitbcError when the disk does not take it.
    """
    if number > keyfiles.NUMBER_MAX:
        raise ConfigError(f"{folder} holds {number - 1:,} keys: no more are made")
    disk = FileDisk(folder)
    try:
        sign_state = SignStateFile(disk, number)
        if not sign_state.exists():
            sign_state.create()
    finally:
        disk.close()
    keyfiles.make_key(folder / keyfiles.consensus_key(number))
    return OwnKey(number, load(folder, number), NOTHING_SIGNED)


class Succession:
    """Make the keys of one running node, one at a time and beside its loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._making = asyncio.Lock()

    async def next_key(self, is_known: Callable[[PublicKey], bool]) -> tuple[OwnKey, bool]:
        """Return the newest key, made now if the ledger has been told of the one before."""
        async with self._making:
            newest = await asyncio.to_thread(load_newest, self._folder)
            # One whose sign state is gone may have signed anything: it is passed over.
            if newest.stored is not None and not is_known(newest.signer.public_key):
                return newest, False
            return await asyncio.to_thread(make, self._folder, newest.number + 1), True


def operator_address(operator: Signer) -> Address:
    """Return the account of an operator who signs alone."""
    return address_of(Policy(1, (operator.public_key,)))


def sign_rotation(folder: Path, rotation: Rotation) -> bytes:
    """Sign, with the operator's key, that a consensus key takes the place of the present one.

    Raises: ConfigError when the key here is not that of the operator named.
    """
    put = ValidatorPut(
        key=PublicKey(bytes.fromhex(rotation.key)), proof=Signature(bytes.fromhex(rotation.proof))
    )
    hint = "whoever has the operator's key says: "
    hint += f"aitbc validator rotate --key FILE --consensus-key {rotation.key}"
    return sign_as_operator(folder, rotation, put, hint=f"{hint} --proof {rotation.proof}")


def sign_as_operator(folder: Path, words: Words, body: Body, *, hint: str) -> bytes:
    """Sign one body with the operator's key.

    Raises: ConfigError when the key here is not that of the operator named.
    """
    operator = keyfiles.load_signer(folder / keyfiles.OPERATOR_KEY)
    own = operator_address(operator)
    if own.hex() != words.operator:
        raise ConfigError(
            f"{folder / keyfiles.OPERATOR_KEY} is not the key of this validator's operator",
            hint=hint,
        )
    unsigned = Transaction(
        chain_id=words.chain_id,
        sender=own,
        nonce=words.nonce,
        valid_until=Height(words.valid_until),
        gas_limit=Gas(0),
        max_gas_price=words.max_gas_price,
        tip=Amount(0),
        policy=Policy(1, (operator.public_key,)) if words.is_new else None,
        bundle=False,
        bodies=(body,),
    )
    exact = msgspec.structs.replace(unsigned, gas_limit=gas_of(unsigned, signatures=1))
    return sign(exact, [operator])
