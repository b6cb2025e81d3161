"""The form that asks for what an account's credentials lack.

What they lack is a draft's to tell, and what is wrong with an answer the program's own validation:
so a new grant, provider or field needs no form. Secrets are asked for last, when all that can fail
without them has been looked at.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from token_refresher.oauth import providers
from token_refresher.parsing import FIELD_NAMES, invalid, problems_of, unknown_fields
from token_refresher_cli.client_certificate import PemFileError, read_pem
from token_refresher_cli.draft import Draft
from token_refresher_cli.fields import (
    PLACES,
    SECRET_FIELDS,
    FormError,
    held_at,
    joined,
    with_value,
    without,
)
from token_refresher_cli.grant_fields import (
    GRANT_TYPES,
    OF_FILES,
    OWN,
    SENT,
    entry_of,
    fields_needed,
    is_own,
    is_without_secret,
    known_to_grant,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from token_refresher.credentials import Credentials
    from token_refresher_cli.fields import Slot

# What people copy from a page, and a program sends in one line.
_COPIED: Final = SECRET_FIELDS - {"assertion", "private_key"} | {
    *("client_id", "username", "partner_code")
}
_UNSEEN: Final = "holds a character that no screen shows: paste it again"
# Whose tokens an account gets, as far as that may be seen.
_WHO: Final = ("client_id", "username", "partner_code")
_NO_SCHEME: Final = re.compile(
    r"(?=[^/]*[.:])[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[0-9]+)?/\S*", re.ASCII
)
_PLACE: Final = "provider or token_endpoint"
# How a client authenticates; the first is what is meant where nothing is said.
_METHODS: Final = (
    *("client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"),
    *("tls_client_auth", "none"),
)
# Where an assertion comes from.
_KMS, _STS, _READY_MADE = "kms", "sts", "ready-made"
_SIGNERS: Final = (
    f"An assertion is signed by the account's own KMS key ({_KMS}), is issued by AWS STS for an "
    f"audience ({_STS}), or is a text that you have ({_READY_MADE})."
)
_KEPT: Final = "the stored one"
_ANOTHER_GRANT: Final = "any other comes with --grant-type and --grant-parameter"
# Where credentials are sent follows from them.
_MOVING: Final = frozenset({"provider_parameters", "token_endpoint", "verify_url"})
# Told by their names, together.
_IS_MISSING: Final = re.compile(r"is missing|^give exactly one of")


class NotGivenError(FormError):
    """Something is missing, nothing is wrong, and there is nobody to ask."""


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

    def choice(self, field: str, choices: Sequence[str], *, other: str = "") -> str:
        """Ask for one of several words; the first is the default.

        Args:
            field: Its name.
            choices: The words.
            other: How another one is given, where there is a way.
        """

    def tell(self, text: str) -> None:
        """Say what is wrong with an answer, or what was made of it."""


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
    kept = without(known_to_grant(stored or {}, given), unset)
    fields = joined(kept, given)
    if is_without_secret(fields) and "client_secret" not in given:
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
    left = None if stored is None else kept
    if misspelt:
        known = {name: value for name, value in fields.items() if name in FIELD_NAMES}
        draft = Draft(known, admit, stored=left, given=given, unset=unset)
        raise invalid([*misspelt, *draft.problems()])
    form = _Form(Draft(fields, admit, stored=left, given=given, unset=unset), asker)
    if stored is not None and not (given or asked or unset):
        # Nobody has said what is wrong with it.
        form.ask_again()
    return form.filled_in(asked)


def _with_only_grant(fields: dict[str, Any]) -> dict[str, Any]:
    """Add the grant of a provider that has but one, where none is given."""
    if "provider" not in fields or fields.keys() & {"grant_type", "grant_parameters"}:
        return fields
    [grant, *others] = entry_of(str(fields["provider"])).grant_types
    if others:
        return fields
    is_login = grant == providers.LOGIN
    return {**fields, **({"grant_parameters": {}} if is_login else {"grant_type": grant})}


def _require_all(fields: Mapping[str, Any], misspelt: list[str], asked: Collection[Slot]) -> None:
    """Check that nothing is missing or misspelt, where there is nobody to ask."""
    missing = [] if fields.keys() & PLACES else [_PLACE]
    if "grant_parameters" in fields:
        needed = []
    elif "grant_type" in fields:
        needed = fields_needed(str(fields["grant_type"]))
    else:
        needed = ["grant_type or grant_parameters", "client_id", "client_secret"]
    optional = {"client_secret"} if is_without_secret(fields) else set()
    if "provider" in fields and not entry_of(str(fields["provider"])).needs_client_id:
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
        raise invalid([*wrong, *said])
    raise NotGivenError(said[0])


@dataclass(frozen=True, slots=True)
class _Form:
    """A form that is filled in, one question after the other."""

    draft: Draft
    asker: Asker

    def filled_in(self, asked: Collection[Slot]) -> dict[str, Any]:
        """Ask for what can be seen, look at it as a whole, and ask for what cannot."""
        self.draft.secrets.extend(asked)
        for name, *_ in asked:
            self.draft.fields.setdefault(name, {})
        if not self.draft.fields.keys() & PLACES:
            self._ask_for_place()
        if "provider" in self.draft.fields:
            self._ask_for_parameters()
        self.draft.require_valid()
        if "grant_type" not in self.draft.fields and "grant_parameters" not in self.draft.fields:
            self._ask_for_grant()
            if self.draft.may_have_any_method:
                self._ask_for_method()
        if self.draft.lacks_assertion:
            self._ask_for_signer()
        for slot in self.draft.needed():
            self._ask_or_note(slot)
        if self.draft.lacks_files:
            self._ask_for_files()
        self.draft.require_valid()
        # In one order, whatever of it is given, stored or asked for by its name.
        for slot in sorted(self.draft.secrets, key=_place_in_request):
            self._ask_for_secret(slot)
        return self.draft.fields

    def _ask_or_note(self, slot: Slot) -> None:
        """Ask for what is not known; what is secret is asked for later."""
        is_settled = slot in self.draft.unset or slot in self.draft.secrets or slot[0] in OF_FILES
        if is_settled or (slot == ("assertion",) and self.draft.is_signed):
            return
        if slot == ("assertion", "signer"):
            # The same for all of them.
            self.draft.put(slot, held_at(self.draft.example(), slot))
        elif self.draft.is_hidden(slot):
            self.draft.secrets.append(slot)
        elif held_at(self.draft.fields, slot) is None:
            self._ask(slot, about=self._about(slot))

    def ask_again(self) -> None:
        """Ask where the account is and who it is, though that is stored."""
        of_provider = self.draft.entry.parameters if self.draft.entry else ()
        for slot in (
            ("token_endpoint",),
            *(("provider_parameters", name) for name in of_provider),
            *((name,) for name in _WHO),
            *(("assertion", name) for name in ("kid", "x5t#S256")),
        ):
            stored = held_at(self.draft.fields, slot)
            if stored is None or self.draft.is_hidden(slot):
                continue
            is_text = isinstance(stored, str)
            if slot == ("token_endpoint",) and is_text and "?" in stored:
                kept = "is kept; its query may hold a secret; for another: --token-endpoint"
                self.asker.tell(f"token_endpoint {kept}")
                continue
            # What no screen shows is shown by none.
            self._ask(slot, stored=stored if is_text and stored.isprintable() else "")
        if any(name in self.draft.fields for name in OF_FILES):
            self._ask_for_files()

    def _ask_for_place(self) -> None:
        def wrong(text: str) -> str:
            name, value = _place_of(text)
            if name == "provider":
                return self._wrong_provider(value)
            problem = self.draft.wrong(("token_endpoint",), value)
            return problem or self.draft.refused(**{name: value})

        name, value = _place_of(self._answer(_PLACE, wrong))
        self.draft.fields[name] = value

    def _wrong_provider(self, name: str) -> str:
        try:
            providers.provider(name)
        except providers.ProviderError as error:
            own = "; a server of your own is given by the whole https URL of its token endpoint"
            return f"{error}{own if '.' in name or '/' in name else ''}"
        return ""

    def _ask_for_parameters(self) -> None:
        entry = entry_of(str(self.draft.fields["provider"]))
        given = self.draft.fields.get("provider_parameters", {})
        if not isinstance(given, dict):
            # Validation says what it must be.
            return
        for name, parameter in entry.parameters.items():
            if name not in given and parameter.default is None:
                about = f"{parameter.about}; such as {parameter.example}"
                self._ask(("provider_parameters", name), about=about)

    def _ask_for_grant(self) -> None:
        entry = self.draft.entry
        # Where nothing else is known, it is machines that ask.
        known = list(entry.grant_types) if entry else ["client_credentials", *GRANT_TYPES]
        grant = self.asker.choice("grant_type", list(dict.fromkeys(known)), other=_ANOTHER_GRANT)
        if grant == providers.LOGIN and entry is not None:
            self.draft.fields["grant_parameters"] = {}
        else:
            self.draft.fields["grant_type"] = grant
        if entry is not None and self.draft.stored is None:
            if entry.advice:
                self.asker.tell(entry.advice.replace("`", ""))
            for name, value in entry.grant(grant).example.items():
                if name not in self.draft.fields and not is_own(name, value):
                    self.draft.fields[name] = value
                    self.asker.tell(f"{name}: {json.dumps(value)}, as for every such account")

    def _ask_for_method(self) -> None:
        method = self.asker.choice("token_endpoint_auth_method", _METHODS)
        if method != _METHODS[0]:
            self.draft.fields["token_endpoint_auth_method"] = method

    def _ask_for_signer(self) -> None:
        self.asker.tell(_SIGNERS)
        signer = self.asker.choice("assertion", (_KMS, _STS, _READY_MADE))
        if signer == _READY_MADE:
            self.draft.secrets.append(("assertion",))
            return
        self.draft.fields["assertion"] = {"signer": signer}
        if signer == _STS:
            about = "whom the token is for, such as api://AzureADTokenExchange"
            self._ask(("assertion", "audience"), about=about)

    def _ask_for_files(self) -> None:
        """Ask for the files of certificate and key, until they are a pair that can be shown."""
        wanted = [name for name in OF_FILES if name not in self.draft.given]
        while True:
            for name in wanted:
                self._ask_for_file(name)
            if not (problem := self.draft.refused()):
                return
            self.asker.tell(problem)
            if not wanted:
                return

    def _ask_for_file(self, name: str) -> None:
        stored = _KEPT if name in self.draft.fields else ""
        about = f"the file that has it, in PEM{', not encrypted' if name == 'private_key' else ''}"
        while (answer := self.asker.text(name, about=about, stored=stored)) != _KEPT:
            about = ""
            try:
                self.draft.fields[name] = read_pem(Path(answer).expanduser(), name)
            except PemFileError as error:
                self.asker.tell(str(error))
            else:
                return

    def _about(self, slot: Slot) -> str:
        example = held_at(self.draft.example(), slot)
        if slot == ("client_id",) and self.draft.is_signed:
            return "who signs: it becomes the claims iss and sub"
        if isinstance(example, list):
            example = " ".join(map(str, example))
        return f"such as {example}" if example not in (None, OWN) else ""

    def _ask(self, slot: Slot, *, about: str = "", stored: str = "") -> None:
        is_list = isinstance(held_at(self.draft.example(), slot), list)

        def read(text: str) -> Any:  # noqa: ANN401 - a text, or a list of them
            if is_list:
                return text.replace(",", " ").split()
            return _place_of(text)[1] if slot == ("token_endpoint",) else text

        def wrong(text: str) -> str:
            value = read(text)
            if problem := self.draft.wrong(slot, value):
                return problem
            if not text.isprintable():
                return f"it {_UNSEEN}"
            if slot[0] not in _MOVING:
                return ""
            return self.draft.refused(**with_value(self.draft.fields, slot, value))

        answer = self._answer(slot[-1], wrong, about, stored)
        self.draft.put(slot, read(answer))

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
            problem = self.draft.wrong(slot, answer)
            if not problem and not answer.isprintable():
                problem = f"it {_UNSEEN}"
            if not problem and answer != doubted:
                problem = _doubt(answer)
            if not problem:
                self.draft.put(slot, answer)
                return
            doubted = answer
            self.asker.tell(problem)

    def _means_empty(self, slot: Slot) -> str:
        """Say what no answer means; empty where there must be one."""
        if held_at(self.draft.fields, slot) is not None:
            return "keeps the stored one"
        if slot != ("client_secret",) or self.draft.needs_client_secret:
            return ""
        if self.draft.stored is not None:
            return "for a client without one, as is stored"
        # RFC 6749 4.4 has this grant for clients with a secret alone, and a server that is told of
        # none says no more than invalid_client.
        is_of_clients = self.draft.fields.get("grant_type") == "client_credentials"
        return "" if is_of_clients else "for a client without one"

    def _why_needed(self, slot: Slot) -> str:
        needed = f"`{'.'.join(slot)}` is needed"
        if slot != ("client_secret",) or self.draft.needs_client_secret:
            return needed
        return f"{needed} with this grant, but with --token-endpoint-auth-method none"


def _place_in_request(slot: Slot) -> int:
    """Put fields of their own before what is a parameter or a header."""
    return SENT.index(slot[0]) + 1 if slot[0] in SENT else 0


def _doubt(secret: str) -> str:
    """Say what is most often a mistake in a secret, and need not be one; empty for nothing."""
    what = "" if secret.isascii() else "holds a character outside of ASCII"
    if len(secret) > 1 and secret[0] == secret[-1] in "'\"`":
        what = "stands in quotes, which are taken for a part of it"
    return f"it {what}: enter it again if that is right" if what else ""


def _place_of(text: str) -> tuple[str, str]:
    """Tell what somebody means who names a place: a provider, or an address, also without https."""
    if "://" in text:
        return "token_endpoint", text
    if text not in providers.names() and _NO_SCHEME.fullmatch(text):
        return "token_endpoint", f"https://{text}"
    return "provider", text
