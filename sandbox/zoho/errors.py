"""How the simulated Zoho Books refuses: one exception per kind of refusal, each an HTTP status, a code and a message.

The numbers are those of the reference, section 2.7. Where it knows no number (locked period, bank match, references in
use) ours is used, and a client must not lean on it: an unknown 400 on a write is for a person.

    ApiError                    status, code, message
    ├── InvalidError             400, 2     a value cannot be used
    ├── MissingError             400, 4     a needed value is absent
    ├── TooLongError             400, 15    a text is over its limit
    ├── TakenError               400, 1001  a unique value exists already
    ├── RefusedError             400, given the rules of the books forbid it
    ├── NotFoundError            404, 1002  no such record
    ├── UnauthorizedError        401, 57    dead token or missing scope
    ├── MalformedError           401, 14    the authorization header cannot be read
    └── ThrottledError           429, 44 | 45 | 1070
"""

AMOUNT_OVER_BALANCE = 24016
NAME_TAKEN = 107051
# The reference gives no number for these four; they are ours.
LOCKED_PERIOD = 120155
BANK_MATCHED = 108099
IN_USE = 1039
NOT_ENOUGH_UNUSED = 24099


class ApiError(Exception):
    """A refusal as the wire shows it: `{"code": code, "message": message}` under `status`."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class InvalidError(ApiError):
    def __init__(self, field: str) -> None:
        super().__init__(400, 2, f"Invalid value passed for {field}")


class MissingError(ApiError):
    def __init__(self, field: str) -> None:
        super().__init__(400, 4, f"{field} is needed")


class TooLongError(ApiError):
    def __init__(self, field: str, limit: int) -> None:
        super().__init__(400, 15, f"{field} may hold {limit} characters at most")


class TakenError(ApiError):
    def __init__(self, what: str) -> None:
        super().__init__(400, 1001, f"{what} already exists")


class RefusedError(ApiError):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(400, code, message)


class NotFoundError(ApiError):
    def __init__(self, what: str) -> None:
        super().__init__(404, 1002, f"{what} does not exist.")


class UnauthorizedError(ApiError):
    def __init__(self) -> None:
        super().__init__(401, 57, "You are not authorized to perform this operation")


class MalformedError(ApiError):
    def __init__(self) -> None:
        super().__init__(401, 14, "The authentication value is not valid.")


class ThrottledError(ApiError):
    def __init__(self, code: int, limit: int = 0) -> None:
        super().__init__(429, code, throttle_text(code, limit))


def throttle_text(code: int, limit: int) -> str:
    """The message of a 429: only the daily one names its limit."""
    if code == 44:
        return "The organization has made more requests than a minute allows and is blocked for now."
    if code == 45:
        return f"The API call for this organization has exceeded the maximum call rate limit of {limit}."
    return "The maximum number of in process requests is reached. Try again after some time."
