"""Why did an exchange with a node end without an answer, in a few words for a table?

Do not add what to do about it.
"""

import errno

import httpx

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 5.0
WHOLE_ANSWER_S = 30.0
ANSWER_BYTES_MAX = 64 * 2**20


def reason(error: Exception) -> str:
    """Put a failed exchange into a few words."""
    match error:
        case httpx.ConnectTimeout():
            return f"no connection within {CONNECT_TIMEOUT_S:.0f} s"
        case httpx.TimeoutException():
            return f"no answer within {ANSWER_TIMEOUT_S:.0f} s"
        case httpx.ConnectError():
            return _connect_reason(error)
        case httpx.RemoteProtocolError():
            return "closed the connection in mid-answer"
        case _:
            return str(error) or type(error).__name__


def is_handed_over(error: Exception) -> bool:
    """Tell whether the node may have got what was sent, although no answer came."""
    never = httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.InvalidURL
    return not isinstance(error, never)


def is_refused(error: Exception) -> bool:
    """Tell whether its machine answered that nobody listens there."""
    return isinstance(error, httpx.ConnectError) and _number(error) == errno.ECONNREFUSED


def _number(error: BaseException) -> int | None:
    """Find what the system called the failure, behind what was made of it."""
    cause: BaseException | None = error
    while cause is not None and not (isinstance(cause, OSError) and cause.errno):
        cause = cause.__cause__ or cause.__context__
    return cause.errno if isinstance(cause, OSError) else None


def _connect_reason(error: BaseException) -> str:
    match _number(error):
        case errno.ECONNREFUSED:
            return "connection refused"
        case errno.EHOSTUNREACH | errno.ENETUNREACH:
            return "no route to host"
        case _:
            return str(error) or "no connection"
