"""The project's exceptions: one base class, one exit code each."""


class ProxytoolsError(Exception):
    """Base of everything this project raises on purpose; the commands exit with ``exit_code``."""

    exit_code = 1


class InputError(ProxytoolsError, ValueError):
    """Bad usage or bad input: says where, what was got, what was expected and what to do.

    Parameters
    ----------
    where : str
        The file, and inside it the window or row and the column.
    got, expected : str
        What stands there, and what should.
    fix : str, optional
        What the reader can do about it, as an imperative sentence without its full stop.

    Examples
    --------
    >>> raise InputError("bars.csv, row 7, column high", got="nan", expected="a finite price",
    ...                  fix="Drop or repair the row")
    Traceback (most recent call last):
    ...
    proxytools.errors.InputError: bars.csv, row 7, column high: got nan, expected a finite price. \
Drop or repair the row.
    """

    exit_code = 2

    def __init__(self, where: str, *, got: str, expected: str, fix: str = "") -> None:
        self.where, self.got, self.expected, self.fix = where, got, expected, fix
        super().__init__(f"{where}: got {got}, expected {expected}." + (f" {fix}." if fix else ""))


class DeviceError(InputError):
    """A device was asked for by name and is not there."""


class GateError(ProxytoolsError):
    """A quality gate that the caller asked for was not met."""

    exit_code = 3
