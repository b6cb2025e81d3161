"""A small file that says where commands work, where no option and no variable does.

It lies in the user's own configuration, never in the current directory, which may be somebody
else's repository: whoever can choose the stack decides where secrets are sent.
"""

from __future__ import annotations

import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE: Final = "TOKEN_REFRESHER_CONFIG"
KEYS: Final = ("profile", "region", "prefix", "stack")
_BELOW: Final = Path("token-refresher", "config.toml")
_FORM: Final = 'each line is KEY = "VALUE", the value in straight quotes'


class ConfigFileError(Exception):
    """The file cannot be used. The message names file, line and key, never a value."""


def find(variables: Mapping[str, str]) -> Path | None:
    """Tell where the file would be; None where there is no home for it.

    Raises:
        ConfigFileError: The variable names a relative path, which means another file in each
            directory.
    """
    if named := variables.get(VARIABLE):
        if not (path := Path(named)).is_absolute():
            raise ConfigFileError(f"{VARIABLE} must be an absolute path")
        return path
    # The XDG Base Directory Specification has a relative path ignored.
    for name, below in (("XDG_CONFIG_HOME", "."), ("HOME", ".config"), ("USERPROFILE", ".config")):
        if (home := Path(variables.get(name, ""))).is_absolute():
            return home / below / _BELOW
    return None


def read(path: Path | None, *, is_named: bool) -> dict[str, str]:
    """Read the file; nothing where there is none.

    Args:
        path: As `find` tells it.
        is_named: Whether a person has named it, so that it must be there.

    Raises:
        ConfigFileError: It cannot be read, or says what it must not.
    """
    if path is None:
        return {}
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        if is_named:
            raise ConfigFileError(f"{path}: there is no such file; {VARIABLE} names it") from None
        return {}
    except OSError as error:
        raise ConfigFileError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigFileError(f"{path} is not UTF-8: save it as such") from None
    # TOML's own word for a line's end, which Python's reader does not take alone.
    text = text.replace("\r\n", "\n")
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # Not its words: they may repeat what stands there.
        at = re.search(r"at line (\d+), column (\d+)", str(error))
        where = f"line {at[1]}, column {at[2]}" if at else "at its end"
        again = " or a key is given twice" if "overwrite" in str(error) else ""
        raise ConfigFileError(f"{path}, {where}: not TOML{again}; {_FORM}") from None
    for key, value in content.items():
        if key not in KEYS:
            _refuse_key(path, text, key)
        if not isinstance(value, str) or not value.strip() or value != value.strip():
            at_line = f"{path}, line {_line_of(text, key)}"
            raise ConfigFileError(
                f"{at_line}: {key} takes a text in quotes, not empty and without blanks around it"
            )
    return content


def _refuse_key(path: Path, text: str, key: str) -> NoReturn:
    shown = f"`{key}`" if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", key) else "a key"
    lower = key.lower().replace("-", "_").removeprefix("token_refresher_").removeprefix("aws_")
    near = get_close_matches(lower, KEYS, n=1, cutoff=0.6)
    meant = f"did you mean `{near[0]}`?" if near else f"it takes {', '.join(KEYS)}, and no table"
    line = _line_of(text, key)
    raise ConfigFileError(f"{path}, line {line}: {shown} is not known; {meant}")


def _line_of(text: str, key: str) -> int:
    """Find the line that a key, or a table of its name, stands on."""
    name = re.escape(key)
    found = re.search(rf"^[ \t]*\[*[ \t]*[\"']?{name}[\"']?[ \t]*[=.\]]", text, re.MULTILINE)
    return 1 + text.count("\n", 0, found.start()) if found else 1
