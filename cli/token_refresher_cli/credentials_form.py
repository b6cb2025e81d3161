"""What an account's credentials need, and how what is missing is asked for.

Which fields a grant has is read from the program's own structs, what a provider's grant has besides
from its entry, and what is wrong with a field from the program's own validation: so a new grant,
provider or field needs no form. Secrets are asked for last, when all that can fail without them
has been looked at.
"""

from __future__ import annotations

import json
import re
from copy import deepcopy
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import msgspec

from token_refresher.credentials import (
    ASSERTION,
    REFRESH_TOKEN,
    SECRET_NAME,
    AssertionCredentials,
    texts_in,
)
from token_refresher.errors import CredentialsError
from token_refresher.json_text import given_twice, trouble_with
from token_refresher.oauth import providers
from token_refresher.oauth.client_authentication import WITHOUT_SECRET
from token_refresher.parsing import (
    FIELD_NAMES,
    NAMED_GRANTS,
    as_object,
    in_one,
    parse_credentials,
    problems_of,
    unknown_fields,
)
from token_refresher_cli.client_certificate import PemFileError, ending, read_pem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from token_refresher.credentials import Credentials

# A field, and within an object the keys that lead to a part of it.
Slot: TypeAlias = tuple[str, ...]

# They are never taken from the command line, which a shell keeps in its history.
SECRET_FIELDS: Final = frozenset(
    {
        *("assertion", "client_secret", "partner_secret", "password", "private_key"),
        "refresh_token",
    }
)
# They are many lines: a file is named.
_OF_FILES: Final = ("certificate", "private_key")
GRANT_TYPES: Final = tuple(NAMED_GRANTS)
PLACES: Final = frozenset({"provider", "token_endpoint"})
# They are put together part by part.
_OBJECTS: Final = frozenset(
    {
        *("assertion", "dialect", "extra_parameters", "grant_parameters", "provider_parameters"),
        "request_headers",
    }
)
# What a request holds, and a provider's entry has examples of.
_SENT: Final = ("grant_parameters", "extra_parameters", "request_headers")
_SHOWN: Final = (*_SENT, "assertion")
# What stands in an entry's example for a value of the account's own.
_OWN: Final = "..."
# Names that sound like a secret and hold none.
_NO_SECRET: Final = re.compile(r"(name|_id|_type|_type_hint)\Z", re.IGNORECASE)
# What people copy from a page, and a program sends in one line.
_COPIED: Final = SECRET_FIELDS - {"assertion", "private_key"} | {
    *("client_id", "username", "partner_code")
}
_UNSEEN: Final = "holds a character that no screen shows: paste it again"
# Whose tokens an account gets, as far as that may be seen.
_WHO: Final = ("client_id", "username", "partner_code")
# In the place of what is asked for later. What is not known yet must not look wrong.
_LATER: Final = "x"
_ANYWHERE: Final = "https://any.example/token"
_NO_SCHEME: Final = re.compile(
    r"(?=[^/]*[.:])[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[0-9]+)?/\S*", re.ASCII
)
_PLACE: Final = "provider or token_endpoint"
_BY_TLS: Final = "tls_client_auth"
# How a client authenticates; the first is what is meant where nothing is said.
_METHODS: Final = (
    *("client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"),
    *(_BY_TLS, "none"),
)
# Where an assertion comes from.
_KMS, _STS, _READY_MADE = "kms", "sts", "ready-made"
_SIGNERS: Final = (
    f"An assertion is signed by the account's own KMS key ({_KMS}), is issued by AWS STS for an "
    f"audience ({_STS}), or is a text that you have ({_READY_MADE})."
)
_KEPT: Final = "the stored one"
_CLAIMS: Final = "claims."
# Told by their names, together.
_IS_MISSING: Final = re.compile(r"is missing|^give exactly one of")
# Until their files are asked for.
_OF_A_PAIR: Final = re.compile("`certificate` and `private_key` are missing")
_EMAIL: Final = re.compile(r"[!-~]+@[!-~]+\.[!-~]+")


class FormError(Exception):
    """The form cannot be filled in; the message names fields, never a value."""


class Asker(Protocol):
    """Somebody who can be asked."""

    def text(self, field: str, *, about: str = "", stored: str = "") -> str:
        """Ask for a value that may be seen.

        Args:
            field: Its name.
            about: What it is, where its name does not say so.
            stored: What no answer keeps.
        """

    def secret(self, field: str, *, empty: str = "") -> str:
        """Ask for a value without showing it; ``empty`` says what none means, where it may be."""

    def choice(self, field: str, choices: Sequence[str]) -> str:
        """Ask for one of several words; the first is the default."""

    def tell(self, text: str) -> None:
        """Say what is wrong with an answer, or what was made of it."""


def is_secret(name: str) -> bool:
    """Whether a parameter or a header of this name holds what nobody may see."""
    return SECRET_NAME.search(name) is not None and _NO_SECRET.search(name) is None


# Annotations are evaluated each time: milliseconds, for each of thousands of accounts.
_fields_of: Final = cache(msgspec.structs.fields)


def fields_needed(grant_type: str) -> list[str]:
    """Name the fields that a grant most often needs, in the order they are asked for.

    What a grant of the server's own needs is not known here: none, and validation says the rest.
    """
    struct = NAMED_GRANTS.get(grant_type)
    if struct is None:
        return []
    own = [field.name for field in _fields_of(struct) if field.required]
    if struct is AssertionCredentials:
        own.append("assertion")
    needed = [*(["client_id", "client_secret"] if struct.needs_client else []), *own]
    return sorted(needed, key=lambda name: (name in SECRET_FIELDS, name != "client_id"))


def shown(name: str, grant: str) -> dict[str, Any]:
    """Show credentials that use a provider's grant; ``...`` stands for what is the account's own.

    Raises:
        ProviderError: There is no such provider.
    """
    entry = providers.provider(name)
    of_grant = entry.grant(grant)
    asked = {each: one.example for each, one in entry.parameters.items() if one.default is None}
    struct = NAMED_GRANTS.get(grant)
    own = [] if struct is None else [f.name for f in msgspec.structs.fields(struct) if f.required]
    needed = [
        *(["client_id"] if entry.needs_client_id else []),
        *(["client_secret"] if _has_secret(entry, grant) else []),
        *own,
    ]
    return {
        "provider": name,
        **({"provider_parameters": asked} if asked else {}),
        **({} if grant == providers.LOGIN else {"grant_type": grant}),
        **dict.fromkeys(needed, _OWN),
        **of_grant.example,
    }


def _has_secret(entry: providers.Provider, grant: str) -> bool:
    """Whether a provider's clients have a secret with a grant, as far as its entry tells."""
    of_grant = entry.grant(grant)
    method = of_grant.token_endpoint_auth_method or entry.token_endpoint_auth_method
    if method is not None:
        return method not in WITHOUT_SECRET
    return of_grant.assertion is None and NAMED_GRANTS.get(grant) is not AssertionCredentials


def fill_in(
    given: Mapping[str, Any],
    *,
    asker: Asker | None,
    stored: Mapping[str, Any] | None = None,
    admit: Callable[[Credentials], None] = lambda _: None,
    asked: Collection[Slot] = (),
    unset: Collection[Slot] = (),
) -> dict[str, Any]:
    """Complete an account's credentials, asking for what is missing.

    Args:
        given: Fields from options and a file; they win over what is stored.
        asker: None where nobody can be asked, such as in a pipeline.
        stored: What is corrected. Its secrets are asked for again, and where nothing is given
            also where the account is and who it is; the rest is kept.
        admit: Raises `FormError` where credentials could not be used, such as for their host. It
            is asked before any secret is, with something else in the place of what is not known.
        asked: What shall be asked for, and not shown.
        unset: What of the stored fields shall go, and not be asked for.

    Raises:
        CredentialsError: A given field is none, or they cannot be right whatever the secrets are.
        FormError: Something is missing, and there is nobody to ask, or it is none to be asked.
    """
    if stored is None:
        # As good as not given; of what is stored it removes a field.
        given = {name: value for name, value in given.items() if value is not None}
    kept = without(_kept(stored or {}, given), unset)
    fields = joined(kept, given)
    if _is_without_secret(fields) and "client_secret" not in given:
        fields.pop("client_secret", None)
    for name in sorted(_COPIED & given.keys()):
        if isinstance(given[name], str) and not given[name].isprintable():
            raise FormError(f"`{name}` {_UNSEEN}")
    if asker is None:
        fields = _with_only_grant(fields)
    misspelt = unknown_fields(given, of=fields)
    if asker is None:
        _require_all(fields, misspelt, asked)
        return fields
    if misspelt:
        raise CredentialsError(f"the credentials do not validate: {in_one(misspelt)}")
    left = None if stored is None else kept
    form = _Form(fields, asker, admit, stored=left, given=given, unset=unset)
    if stored is not None and not (given or asked or unset):
        # Nobody has said what is wrong with it.
        form.ask_again()
    return form.filled_in(asked)


def _with_only_grant(fields: dict[str, Any]) -> dict[str, Any]:
    """Add the grant of a provider that has but one, where none is given."""
    if "provider" not in fields or fields.keys() & {"grant_type", "grant_parameters"}:
        return fields
    [grant, *others] = _entry(str(fields["provider"])).grant_types
    if others:
        return fields
    is_login = grant == providers.LOGIN
    return {**fields, **({"grant_parameters": {}} if is_login else {"grant_type": grant})}


def joined(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Put fields over earlier ones: another place in the old one's, objects part by part."""
    fields = {name: as_object(name, value) for name, value in before.items()}
    after = {name: as_object(name, value) for name, value in after.items()}
    if PLACES & after.keys() and any(before.get(name) != after.get(name) for name in PLACES):
        if PLACES & before.keys():
            fields.pop("provider_parameters", None)
        for name in PLACES:
            fields.pop(name, None)
    for name, value in after.items():
        earlier = fields.get(name)
        if name in _OBJECTS and isinstance(earlier, dict) and isinstance(value, dict):
            fields[name] = _merged(earlier, value)
        else:
            fields[name] = value
    return fields


def _merged(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Put an object's parts over earlier ones; the claims of an assertion one by one, too."""
    claims = [each.get("claims") for each in (before, after)]
    both = [each for each in claims if isinstance(each, dict)]
    merged = {**before, **after}
    return merged if len(both) < len(claims) else {**merged, "claims": {**both[0], **both[1]}}


def slot_of(text: str) -> Slot:
    """Read the name of a field, or of a part of one such as ``extra_parameters.audience``.

    Raises:
        FormError: There is no such field; with the nearest.
    """
    name, _, part = text.partition(".")
    if name not in FIELD_NAMES or (part and name not in {*_OBJECTS, "publish"}):
        near = get_close_matches(name, FIELD_NAMES, n=1, cutoff=0.6)
        meant = f": did you mean {near[0]}?" if near and name not in FIELD_NAMES else ""
        raise FormError(f"--unset takes a field, or a part of an object of one{meant}")
    if name == "assertion" and part.startswith(_CLAIMS):
        return (name, "claims", part.removeprefix(_CLAIMS))
    return (name, part) if part else (name,)


def without(fields: Mapping[str, Any], slots: Collection[Slot]) -> dict[str, Any]:
    """Leave out fields, and parts of objects; an object that nothing is left of, too."""
    left = deepcopy(dict(fields))
    for slot in slots:
        _drop(left, slot)
    return left


def _drop(fields: dict[str, Any], slot: Slot) -> None:
    name, *part = slot
    held = fields.get(name)
    if part and isinstance(held, dict):
        _drop(held, tuple(part))
    if not part or not held:
        fields.pop(name, None)


def _kept(stored: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out what the grant has no field for: another grant's, or one that is misspelt."""
    grant_type = given.get("grant_type", stored.get("grant_type"))
    if grant_type != stored.get("grant_type"):
        stored = without(stored, [("grant_parameters",)])
    struct = NAMED_GRANTS.get(str(grant_type))
    if struct is None:
        return stored
    known = {field.name for field in _fields_of(struct)}
    return {name: value for name, value in stored.items() if name in {"grant_type", *known}}


def _is_without_secret(fields: Mapping[str, Any]) -> bool:
    """Whether the client is said to send no secret, by the account or by its provider."""
    method = fields.get("token_endpoint_auth_method")
    if method is None and "provider" in fields:
        entry = _entry(str(fields["provider"]))
        of_grant = entry.grant(fields.get("grant_type"))
        method = of_grant.token_endpoint_auth_method or entry.token_endpoint_auth_method
    return method in WITHOUT_SECRET


def _require_all(fields: Mapping[str, Any], misspelt: list[str], asked: Collection[Slot]) -> None:
    """Check that nothing is missing or misspelt, where there is nobody to ask."""
    missing = [] if fields.keys() & PLACES else [_PLACE]
    if "grant_parameters" in fields:
        needed = []
    elif "grant_type" in fields:
        needed = fields_needed(str(fields["grant_type"]))
    else:
        needed = ["grant_type or grant_parameters", "client_id", "client_secret"]
    optional = {"client_secret"} if _is_without_secret(fields) else set()
    if "provider" in fields and not _entry(str(fields["provider"])).needs_client_id:
        optional.add("client_id")
    missing += [name for name in needed if name not in fields and name not in optional]
    # Another name stands for it, and is told.
    meant = " ".join(misspelt)
    missing = [name for name in missing if not any(f"`{one}`" in meant for one in name.split())]
    missing += [".".join(slot) for slot in asked]
    said = [f"not given: {', '.join(missing)}"] if missing else []
    if not said and not misspelt:
        # Validation says the rest.
        return
    wrong = [each for each in problems_of(fields) if not _IS_MISSING.search(each)]
    if wrong:
        raise CredentialsError(f"the credentials do not validate: {in_one([*wrong, *said])}")
    raise FormError(said[0])


@dataclass(frozen=True, slots=True)
class _Form:
    """A form that is filled in, one question after the other."""

    fields: dict[str, Any]
    asker: Asker
    admit: Callable[[Credentials], None]
    stored: Mapping[str, Any] | None
    given: Mapping[str, Any]
    unset: Collection[Slot]
    # What is asked for when all the rest is known.
    secrets: list[Slot] = field(default_factory=list)

    def filled_in(self, asked: Collection[Slot]) -> dict[str, Any]:
        """Ask for what can be seen, look at it as a whole, and ask for what cannot."""
        self.secrets.extend(asked)
        for name, *_ in asked:
            self.fields.setdefault(name, {})
        if not self.fields.keys() & PLACES:
            self._ask_for_place()
        if "provider" in self.fields:
            self._ask_for_parameters()
        self._require_valid()
        if "grant_type" not in self.fields and "grant_parameters" not in self.fields:
            self._ask_for_grant()
            if self._may_have_any_method():
                self._ask_for_method()
        if self._lacks_assertion():
            self._ask_for_signer()
        for slot in self._needed():
            self._ask_or_note(slot)
        if any(name in _OF_FILES and name not in self.fields for name in self._names(self.fields)):
            self._ask_for_files()
        self._require_valid()
        for slot in self.secrets:
            self._ask_for_secret(slot)
        return self.fields

    def _ask_or_note(self, slot: Slot) -> None:
        """Ask for what is not known; what is secret is asked for later."""
        is_settled = slot in self.unset or slot in self.secrets or slot[0] in _OF_FILES
        if is_settled or (slot == ("assertion",) and self._is_signed):
            return
        if slot == ("assertion", "signer"):
            # The same for all of them.
            self.fields.update(_with(self.fields, slot, _held(self._example(), slot)))
        elif self._is_hidden(slot):
            self.secrets.append(slot)
        elif _held(self.fields, slot) is None:
            self._ask(slot, about=self._about(slot))

    @property
    def _is_signed(self) -> bool:
        """Whether the assertion is no text, but says what is signed."""
        return isinstance(self.fields.get("assertion"), dict)

    def ask_again(self) -> None:
        """Ask where the account is and who it is, though that is stored."""
        of_provider = self._entry.parameters if self._entry else ()
        for slot in (
            ("token_endpoint",),
            *(("provider_parameters", name) for name in of_provider),
            *((name,) for name in _WHO),
            *(("assertion", name) for name in ("kid", "x5t#S256")),
        ):
            stored = _held(self.fields, slot)
            if stored is None or self._is_hidden(slot):
                continue
            is_text = isinstance(stored, str)
            if slot == ("token_endpoint",) and is_text and "?" in stored:
                kept = "is kept; its query may hold a secret; for another: --token-endpoint"
                self.asker.tell(f"token_endpoint {kept}")
                continue
            # What no screen shows is shown by none.
            self._ask(slot, stored=stored if is_text and stored.isprintable() else "")
        if any(name in self.fields for name in _OF_FILES):
            self._ask_for_files()

    def _ask_for_place(self) -> None:
        def wrong(text: str) -> str:
            name, value = _place_of(text)
            if name == "provider":
                return self._wrong_provider(value)
            return self._wrong(("token_endpoint",), value) or self._refused(**{name: value})

        name, value = _place_of(self._answer(_PLACE, wrong))
        self.fields[name] = value

    def _wrong_provider(self, name: str) -> str:
        try:
            providers.provider(name)
        except providers.ProviderError as error:
            own = "; a server of your own is given by the whole https URL of its token endpoint"
            return f"{error}{own if '.' in name or '/' in name else ''}"
        return ""

    def _ask_for_parameters(self) -> None:
        entry = _entry(str(self.fields["provider"]))
        given = self.fields.get("provider_parameters", {})
        if not isinstance(given, dict):
            # Validation says what it must be.
            return
        for name, parameter in entry.parameters.items():
            if name not in given and parameter.default is None:
                about = f"{parameter.about}; such as {parameter.example}"
                self._ask(("provider_parameters", name), about=about)

    def _ask_for_grant(self) -> None:
        entry = self._entry
        # Where nothing else is known, it is machines that ask.
        known = list(entry.grant_types) if entry else ["client_credentials", *GRANT_TYPES]
        grant = self.asker.choice("grant_type", list(dict.fromkeys(known)))
        if grant == providers.LOGIN and entry is not None:
            self.fields["grant_parameters"] = {}
        else:
            self.fields["grant_type"] = grant
        if entry is not None and self.stored is None:
            if entry.advice:
                self.asker.tell(entry.advice.replace("`", ""))
            for name, value in entry.grant(grant).example.items():
                if name not in self.fields and not _is_asked(name, value):
                    self.fields[name] = value
                    self.asker.tell(f"{name}: {json.dumps(value)}, as for every such account")

    def _may_have_any_method(self) -> bool:
        """Whether nobody has said how the client authenticates, and there is a choice."""
        struct = NAMED_GRANTS.get(str(self.fields.get("grant_type")))
        said = {"assertion", "certificate", "client_secret", "token_endpoint_auth_method"}
        is_open = self.stored is None and not said & self.fields.keys()
        return is_open and self._entry is None and struct is not None and struct.needs_client

    def _ask_for_method(self) -> None:
        method = self.asker.choice("token_endpoint_auth_method", _METHODS)
        if method != _METHODS[0]:
            self.fields["token_endpoint_auth_method"] = method

    def _lacks_assertion(self) -> bool:
        is_known = "assertion" in self.fields or ("assertion",) in [*self.unset, *self.secrets]
        return not is_known and "assertion" in self._names(self.fields)

    def _ask_for_signer(self) -> None:
        self.asker.tell(_SIGNERS)
        signer = self.asker.choice("assertion", (_KMS, _STS, _READY_MADE))
        if signer == _READY_MADE:
            self.secrets.append(("assertion",))
            return
        self.fields["assertion"] = {"signer": signer}
        if signer == _STS:
            about = "whom the token is for, such as api://AzureADTokenExchange"
            self._ask(("assertion", "audience"), about=about)

    def _ask_for_files(self) -> None:
        """Ask for the files of certificate and key, until they are a pair that can be shown."""
        wanted = [name for name in _OF_FILES if name not in self.given]
        while True:
            for name in wanted:
                self._ask_for_file(name)
            if not (problem := self._refused()):
                return
            self.asker.tell(problem)
            if not wanted:
                return

    def _ask_for_file(self, name: str) -> None:
        stored = _KEPT if name in self.fields else ""
        about = f"the file that has it, in PEM{', not encrypted' if name == 'private_key' else ''}"
        while (answer := self.asker.text(name, about=about, stored=stored)) != _KEPT:
            about = ""
            try:
                self.fields[name] = read_pem(Path(answer).expanduser(), name)
            except PemFileError as error:
                self.asker.tell(str(error))
            else:
                return

    @property
    def _entry(self) -> providers.Provider | None:
        return _entry(str(self.fields["provider"])) if "provider" in self.fields else None

    def _example(self) -> dict[str, Any]:
        """What the provider's entry shows of this grant, where it is known."""
        if (entry := self._entry) is None:
            return {}
        grant = str(self.fields.get("grant_type", providers.LOGIN))
        return shown(str(self.fields["provider"]), grant) if grant in entry.grant_types else {}

    def _needed(self) -> Iterator[Slot]:
        """Tell what the grant needs, what its provider asks for, and stored secrets; in order."""
        example = self._example()
        for name in self._names(self.fields):
            yield (name,)
        if "scope" in example and self.stored is None:
            yield ("scope",)
        held = {name: self.fields.get(name) for name in _SHOWN}
        for source, wanted, names in (
            (example, _is_wanted, _SHOWN),
            (held, _is_kept_secret, _SENT),
        ):
            for name in names:
                for slot, value in _leaves((name,), source.get(name)):
                    if wanted(slot, value, held) and (self.stored is None or source is held):
                        yield slot

    def _names(self, fields: Mapping[str, Any]) -> list[str]:
        """Name the fields that these need, as far as grant, provider and templates tell."""
        example = self._example()
        grant = str(fields.get("grant_type"))
        names = [name for name, value in example.items() if value == _OWN]
        if not example:
            names = fields_needed(grant)
            method = str(fields.get("token_endpoint_auth_method"))
            if method.startswith("client_secret"):
                names += ["client_id", "client_secret"]
            if method in WITHOUT_SECRET - {"none"} or _is_named_by_client_id(fields):
                names.append("client_id")
        is_by_tls = fields.get("token_endpoint_auth_method") == _BY_TLS
        if is_by_tls or (fields.keys() | example.keys()) & {*_OF_FILES}:
            names += _OF_FILES
        held = [text for name in _SENT for text in texts_in(fields.get(name))]
        for name, template in (("assertion", ASSERTION), ("refresh_token", REFRESH_TOKEN)):
            if any(template in text for text in held):
                names.append(name)
        names += sorted((SECRET_FIELDS - {"private_key"}) & (self.stored or {}).keys())
        return [
            name
            for name in dict.fromkeys(names)
            if not (name == "client_secret" and _is_without_secret(fields))
        ]

    def _is_hidden(self, slot: Slot) -> bool:
        """Whether it is a secret that was not given."""
        *_, name = slot
        is_given = _held(self.given, slot) is not None
        if slot == ("client_id",):
            # Where there is no other secret, the id is one.
            secret = self._example().get("client_secret", self.fields.get("client_secret"))
            return not is_given and secret == ""
        if slot[0] == "assertion":
            # A ready-made one is secret; what is said of another is not.
            return len(slot) == 1 and not is_given and not self._is_signed
        return not is_given and (slot[0] in SECRET_FIELDS or (len(slot) > 1 and is_secret(name)))

    def _about(self, slot: Slot) -> str:
        example = _held(self._example(), slot)
        if slot == ("client_id",) and self._is_signed:
            return "who signs: it becomes the claims iss and sub"
        if isinstance(example, list):
            example = " ".join(map(str, example))
        return f"such as {example}" if example not in (None, _OWN) else ""

    def _ask(self, slot: Slot, *, about: str = "", stored: str = "") -> None:
        is_list = isinstance(_held(self._example(), slot), list)

        def read(text: str) -> Any:  # noqa: ANN401 - a text, or a list of them
            if is_list:
                return text.replace(",", " ").split()
            return _place_of(text)[1] if slot == ("token_endpoint",) else text

        def wrong(text: str) -> str:
            value = read(text)
            if problem := self._wrong(slot, value):
                return problem
            if not text.isprintable():
                return f"it {_UNSEEN}"
            return self._refused(**_with(self.fields, slot, value)) if slot[0] in _MOVING else ""

        answer = self._answer(slot[-1], wrong, about, stored)
        self.fields.update(_with(self.fields, slot, read(answer)))

    def _answer(
        self, question: str, wrong: Callable[[str], str], about: str = "", stored: str = ""
    ) -> str:
        while problem := wrong(answer := self.asker.text(question, about=about, stored=stored)):
            self.asker.tell(problem)
            about = ""
        name, value = _place_of(answer)
        if question in {_PLACE, "token_endpoint"} and name != "provider" and value != answer:
            self.asker.tell(f"token_endpoint: {value}")
        return answer

    def _ask_for_secret(self, slot: Slot) -> None:
        empty = self._means_empty(slot)
        doubted = ""
        while (answer := self.asker.secret(".".join(slot), empty=empty)) or not empty:
            if not answer:
                self.asker.tell(self._why_needed(slot))
                continue
            problem = self._wrong(slot, answer)
            if not problem and not answer.isprintable():
                problem = f"it {_UNSEEN}"
            if not problem and answer != doubted:
                problem = _doubt(answer)
            if not problem:
                self.fields.update(_with(self.fields, slot, answer))
                return
            doubted = answer
            self.asker.tell(problem)

    def _means_empty(self, slot: Slot) -> str:
        """Say what no answer means; empty where there must be one."""
        if _held(self.fields, slot) is not None:
            return "keeps the stored one"
        if slot != ("client_secret",) or self._needs_client_secret():
            return ""
        if self.stored is not None:
            return "for a client without one, as is stored"
        # RFC 6749 4.4 has this grant for clients with a secret alone, and a server that is told of
        # none says no more than invalid_client.
        is_of_clients = self.fields.get("grant_type") == "client_credentials"
        return "" if is_of_clients else "for a client without one"

    def _why_needed(self, slot: Slot) -> str:
        needed = f"`{'.'.join(slot)}` is needed"
        if slot != ("client_secret",) or self._needs_client_secret():
            return needed
        return f"{needed} with this grant, but with --token-endpoint-auth-method none"

    def _needs_client_secret(self) -> bool:
        """Whether the client is said to have one, by the account or by its provider."""
        method, entry = self.fields.get("token_endpoint_auth_method"), self._entry
        if method is None and entry is not None:
            of_grant = entry.grant(self.fields.get("grant_type"))
            method = of_grant.token_endpoint_auth_method or entry.token_endpoint_auth_method
        return str(method).startswith("client_secret")

    def _wrong(self, slot: Slot, value: Any) -> str:  # noqa: ANN401 - as it is read
        """Say what is wrong with one answer, by the program's own validation."""
        name = ".".join(slot)
        entry = self._entry
        is_sent = slot == ("username",) and entry is not None and entry.user_agent == "{username}"
        if is_sent and not _EMAIL.fullmatch(value):
            return "`username` is the account's e-mail there, which is sent as User-Agent"
        told = problems_of(self._probe(**_with(self.fields, slot, value)))
        found = [each for each in told if f"`{name}`" in each and "is missing" not in each]
        return in_one(found) if found else ""

    def _refused(self, **changed: Any) -> str:  # noqa: ANN401 - any field's
        try:
            self._admit(self._probe(**changed))
        except FormError as error:
            return str(error)
        return ""

    def _admit(self, probe: dict[str, Any]) -> None:
        if not problems_of(probe):
            self.admit(parse_credentials(json.dumps(probe)))

    def _require_valid(self) -> None:
        """Look at all that is known, with something in the place of what is not.

        Raises:
            CredentialsError: It does not validate, whatever follows.
            FormError: It could not be used.
        """
        probe = self._probe()
        if problems := [each for each in problems_of(probe) if not _OF_A_PAIR.match(each)]:
            raise CredentialsError(f"the credentials do not validate: {in_one(problems)}")
        self._admit(probe)

    def _probe(self, **changed: Any) -> dict[str, Any]:  # noqa: ANN401 - any field's
        """Complete what is known so far, so that only what is wrong looks wrong."""
        probe = {**self.fields, **changed}
        if not probe.keys() & PLACES:
            probe["token_endpoint"] = _ANYWHERE
        entry = _entry(str(probe["provider"])) if "provider" in probe else None
        if entry is not None:
            given = probe.get("provider_parameters", {})
            if isinstance(given, dict):
                examples = {name: one.example for name, one in entry.parameters.items()}
                asked = {name: examples[name] for name in examples if name not in given}
                probe["provider_parameters"] = {**asked, **given}
        if "grant_type" not in probe and "grant_parameters" not in probe:
            of_entry = entry.grant_types if entry else ()
            grants = [one for one in of_entry if one in NAMED_GRANTS]
            if not grants and providers.LOGIN in of_entry:
                probe["grant_parameters"] = {}
            else:
                probe["grant_type"] = next(iter(grants), "client_credentials")
        for name in self._names(probe):
            if name not in _OF_FILES:
                probe.setdefault(name, _LATER)
        # What is stored of a secret may be what has to be corrected.
        stored: list[Slot] = [
            (name,)
            for name in (SECRET_FIELDS - {"private_key"}) & probe.keys()
            if isinstance(probe[name], str)
        ]
        stored += [
            slot
            for name in _SENT
            for slot, value in _leaves((name,), probe.get(name))
            if _is_kept_secret(slot, value, {})
        ]
        for slot in [*self.secrets, *stored]:
            if _held(self.given, slot) is None and slot[0] not in changed:
                probe.update(_with(probe, slot, _LATER))
        return _without_half_a_pair(probe)


def _without_half_a_pair(probe: dict[str, Any]) -> dict[str, Any]:
    """Leave out a certificate or a key whose other one is asked for later."""
    if all(name in probe for name in _OF_FILES):
        return probe
    return {name: value for name, value in probe.items() if name not in _OF_FILES}


def _is_named_by_client_id(fields: Mapping[str, Any]) -> bool:
    """Whether what KMS signs would else not say who signs it."""
    assertion = fields.get("assertion")
    if not isinstance(assertion, dict) or assertion.get("signer") == _STS:
        return False
    claims = assertion.get("claims")
    return not (isinstance(claims, dict) and "iss" in claims)


def _doubt(secret: str) -> str:
    """Say what is most often a mistake in a secret, and need not be one; empty for nothing."""
    what = "" if secret.isascii() else "holds a character outside of ASCII"
    if len(secret) > 1 and secret[0] == secret[-1] in "'\"`":
        what = "stands in quotes, which are taken for a part of it"
    return f"it {what}: enter it again if that is right" if what else ""


# Where credentials are sent follows from them.
_MOVING: Final = frozenset({"provider_parameters", "token_endpoint", "verify_url"})


def _place_of(text: str) -> tuple[str, str]:
    """Tell what somebody means who names a place: a provider, or an address, also without https."""
    if "://" in text:
        return "token_endpoint", text
    if text not in providers.names() and _NO_SCHEME.fullmatch(text):
        return "token_endpoint", f"https://{text}"
    return "provider", text


def _is_asked(name: str, value: object) -> bool:
    """Whether something of an entry's example is the account's own, and no constant."""
    return value == _OWN or name in {"scope", *_SHOWN, *_OF_FILES}


def _is_wanted(slot: Slot, _: object, held: Mapping[str, Any]) -> bool:
    return _held(held, slot) is None


def _is_kept_secret(slot: Slot, value: object, _: Mapping[str, Any]) -> bool:
    is_template = isinstance(value, str) and value.startswith("{") and value.endswith("}")
    return isinstance(value, str) and is_secret(slot[-1]) and not is_template


def _leaves(slot: Slot, value: object) -> Iterator[tuple[Slot, object]]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _leaves((*slot, name), each)
    elif value is not None:
        yield slot, value


def _held(fields: Mapping[str, Any], slot: Slot) -> Any:  # noqa: ANN401 - any of JSON
    held: Any = fields
    for name in slot:
        held = held.get(name) if isinstance(held, dict) else None
    return held


def _with(fields: Mapping[str, Any], slot: Slot, value: Any) -> dict[str, Any]:  # noqa: ANN401
    """Change a field, or a part of one; the field whole is what is returned."""
    name, *rest = slot
    if not rest:
        return {name: value}
    held = fields.get(name)
    inner = held if isinstance(held, dict) else {}
    return {name: {**inner, **_with(inner, tuple(rest), value)}}


def _entry(name: str) -> providers.Provider:
    try:
        return providers.provider(name)
    except providers.ProviderError as error:
        raise FormError(str(error)) from None


def to_credentials(fields: Mapping[str, Any]) -> tuple[Credentials, str]:
    """Validate a filled-in form.

    Returns:
        The credentials, and the text to store.

    Raises:
        CredentialsError: It names the field and what to do, never a value.
    """
    text = json.dumps(fields, ensure_ascii=False)
    return parse_credentials(text), text


def caution(credentials: Credentials) -> str:
    """Tell what the provider's entry does not know of, or has besides; empty for neither."""
    if credentials.provider is None:
        return ""
    entry, grant = credentials.entry, credentials.grant_name or providers.LOGIN
    if grant not in entry.grant_types:
        known = ", ".join(entry.grant_types)
        return f"{entry.title} is known to take {known}, and not {grant}: see its documentation"
    example = entry.grant_types[grant].example
    signed = credentials.signed_assertion
    given = {
        "grant_parameters": credentials.grant_parameters,
        "assertion": {} if signed is None else msgspec.to_builtins(signed),
    }
    if isinstance(credentials.assertion, str):
        del given["assertion"]
    lacking = [
        f"{'.'.join(slot[1:])} in {name}"
        for name in given
        for slot, _ in _leaves((name,), example.get(name))
        if _held(given, slot) is None
    ]
    return f"{entry.title} takes {', '.join(lacking)}, too" if lacking else ""


def caution_about(name: str) -> str:
    """Tell what an account's name may lead to; empty where it leads to nothing.

    Secrets Manager ends each ARN with a hyphen and six characters of its own, and finds a secret
    by an ARN without them, unless what is left ends alike.
    """
    if re.search(r"-[A-Za-z0-9]{6}$", name) is None:
        return ""
    return (
        "a name that ends in a hyphen and six characters reads like the end of an ARN: let "
        "consumers ask for the secret by its name, or by its whole ARN"
    )


def cautions(credentials: Credentials, *, now: datetime) -> list[str]:
    """Tell all that is not refused, and may be a mistake or come to an end."""
    return [each for each in (caution(credentials), ending(credentials, now=now)) if each]


def read_object(content: str | bytes, *, name: str = "what was read") -> dict[str, Any]:
    """Read fields from a file's content.

    Args:
        content: Text, or the bytes of one.
        name: The file's, for messages.

    Raises:
        FormError: It is not one JSON object, or gives a field twice; it tells where, and nothing
            of it is repeated.
    """
    text = content if isinstance(content, str) else _text_of(content, name)
    # Editors of Windows begin a file with a byte-order mark.
    text = text.removeprefix("\ufeff")
    try:
        fields = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        place, kind = trouble_with(text)
        at = f"{name}, {place}" if place else name
        raise FormError(f"in {at}: {kind}; one JSON object is what is taken")
    if twice := given_twice(text):
        raise FormError(f"in {name}: one object gives {' and '.join(twice)} twice")
    return fields


def _text_of(content: bytes, name: str) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in content[:4]:
        raise FormError(f"in {name}: UTF-16; save it as UTF-8")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
    raise FormError(f"in {name}, line {line}: no UTF-8; save it as such")
