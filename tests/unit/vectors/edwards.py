"""Just enough of edwards25519 to make signatures that no honest signer would make.

Slow and not constant in time: for test vectors only.
"""

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)

Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def add(left: Point, right: Point) -> Point:
    """Add two points by the complete affine formula."""
    (x1, y1), (x2, y2) = left, right
    product = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P)
    return x % P, y % P


def times(scalar: int, point: Point) -> Point:
    """Multiply by doubling and adding."""
    total = IDENTITY
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point = add(point, point)
        scalar >>= 1
    return total


def x_of(y: int, *, odd: bool) -> int | None:
    """Return the x of a point with this y, or None when there is none."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P:
        return None
    return (P - x) % P if bool(x & 1) != odd else x


def encode(point: Point) -> bytes:
    """Write a point in canonical form."""
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


_BASE_Y = 4 * pow(5, -1, P) % P
_BASE_X = x_of(_BASE_Y, odd=False)
assert _BASE_X is not None
BASE: Point = (_BASE_X, _BASE_Y)


def small_order_points() -> list[Point]:
    """Find all eight points whose order divides eight, by clearing the large factor of others."""
    found = {IDENTITY}
    y = 2
    while len(found) < 8:
        x = x_of(y, odd=False)
        if x is not None:
            point = times(L, (x, y))
            found |= {times(factor, point) for factor in range(8)}
        y += 1
    return sorted(found)


def small_order_encodings() -> list[bytes]:
    """List every string of 32 bytes that ZIP-215 reads as a point of small order."""
    encodings = set()
    for x, y in small_order_points():
        for value in (y, y + P):
            if value < 2**255:
                signs = (0, 1) if x == 0 else (x & 1,)
                encodings |= {(value | sign << 255).to_bytes(32, "little") for sign in signs}
    return sorted(encodings)


def secret_scalar(seed: bytes) -> int:
    """Return the scalar of a seed. Source: RFC 8032, 5.1.5."""
    digest = bytearray(hashlib.sha512(seed).digest()[:32])
    digest[0] &= 248
    digest[31] = digest[31] & 127 | 64
    return int.from_bytes(digest, "little")


def challenge(nonce_point: bytes, key: bytes, message: bytes) -> int:
    """Return the number that binds key and message to a signature."""
    return int.from_bytes(hashlib.sha512(nonce_point + key + message).digest(), "little") % L


def sign_with_torsion(seed: bytes, message: bytes, torsion: Point) -> tuple[bytes, bytes]:
    """Sign under a key that has a small-order part; only the cofactored equation holds."""
    scalar = secret_scalar(seed)
    key = encode(add(times(scalar, BASE), torsion))
    nonce = int.from_bytes(hashlib.sha512(b"nonce" + seed + message).digest(), "little") % L
    nonce_point = encode(times(nonce, BASE))
    answer = (nonce + challenge(nonce_point, key, message) * scalar) % L
    return key, nonce_point + answer.to_bytes(32, "little")
