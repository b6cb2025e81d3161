"""Credentials that are not complete: what they lack, and what is wrong as far as they are known.

Nobody is asked here. What is not known yet must not look wrong, so something stands in its place
when the program's own validation looks at the rest.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from token_refresher.credentials import ASSERTION, REFRESH_TOKEN, texts_in
from token_refresher.oauth import providers
from token_refresher.oauth.client_authentication import WITHOUT_SECRET
from token_refresher.parsing import (
    NAMED_GRANTS,
    in_one,
    invalid,
    parse_credentials,
    problems_of,
)
from token_refresher_cli.fields import (
    PLACES,
    SECRET_FIELDS,
    FormError,
    held_at,
    is_secret,
    leaves,
    with_value,
)
from token_refresher_cli.grant_fields import (
    OF_FILES,
    OWN,
    SENT,
    SHOWN,
    auth_method,
    entry_of,
    fields_needed,
    is_without_secret,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from token_refresher.credentials import Credentials
    from token_refresher_cli.fields import Slot

# In the place of what is asked for later.
_LATER: Final = "x"
_ANYWHERE: Final = "https://any.example/token"
# Until their files are asked for.
_OF_A_PAIR: Final = re.compile("`certificate` and `private_key` are missing")
_EMAIL: Final = re.compile(r"[!-~]+@[!-~]+\.[!-~]+")


@dataclass(frozen=True, slots=True)
class Draft:
    """Credentials while they are filled in.

    Attributes:
        fields: What is known so far; it is filled in here.
        admit: Raises `FormError` where credentials could not be used, such as for their host.
        stored: What is kept of credentials that are corrected; None where there were none.
        given: What was given before any question.
        unset: What of the stored fields shall go.
        secrets: What is to be filled in when all the rest is known.
    """

    fields: dict[str, Any]
    admit: Callable[[Credentials], None]
    stored: Mapping[str, Any] | None
    given: Mapping[str, Any]
    unset: Collection[Slot]
    secrets: list[Slot] = field(default_factory=list)

    def put(self, slot: Slot, value: Any) -> None:  # noqa: ANN401 - any of JSON
        """Fill in a field, or a part of one."""
        self.fields.update(with_value(self.fields, slot, value))

    @property
    def entry(self) -> providers.Provider | None:
        """Its provider's entry; None where no provider is named.

        Raises:
            FormError: There is no such provider.
        """
        return entry_of(str(self.fields["provider"])) if "provider" in self.fields else None

    def example(self) -> dict[str, Any]:
        """Show what the provider's entry has of this grant; nothing where it has none."""
        if (entry := self.entry) is None:
            return {}
        grant = str(self.fields.get("grant_type", providers.LOGIN))
        return shown(str(self.fields["provider"]), grant) if grant in entry.grant_types else {}

    @property
    def is_signed(self) -> bool:
        """Whether the assertion is no text, but says what is signed."""
        return isinstance(self.fields.get("assertion"), dict)

    def needed(self) -> Iterator[Slot]:
        """Tell what the grant needs, what its provider asks for, and stored secrets; in order."""
        example = self.example()
        for name in self._names(self.fields):
            yield (name,)
        if "scope" in example and self.stored is None:
            yield ("scope",)
        held = {name: self.fields.get(name) for name in SHOWN}
        for source, wanted, names in (
            (example, _is_wanted, SHOWN),
            (held, _is_kept_secret, SENT),
        ):
            for name in names:
                for slot, value in leaves((name,), source.get(name)):
                    if wanted(slot, value, held) and (self.stored is None or source is held):
                        yield slot

    def _names(self, fields: Mapping[str, Any]) -> list[str]:
        """Name the fields that these need, as far as grant, provider and templates tell."""
        example = self.example()
        grant = str(fields.get("grant_type"))
        names = [name for name, value in example.items() if value == OWN]
        if not example:
            names = fields_needed(grant)
            method = str(fields.get("token_endpoint_auth_method"))
            if method.startswith("client_secret"):
                names += ["client_id", "client_secret"]
            if method in WITHOUT_SECRET - {"none"} or _is_named_by_client_id(fields):
                names.append("client_id")
        is_by_tls = fields.get("token_endpoint_auth_method") == "tls_client_auth"
        if is_by_tls or (fields.keys() | example.keys()) & {*OF_FILES}:
            names += OF_FILES
        held = [text for name in SENT for text in texts_in(fields.get(name))]
        for name, template in (("assertion", ASSERTION), ("refresh_token", REFRESH_TOKEN)):
            if any(template in text for text in held):
                names.append(name)
        names += sorted((SECRET_FIELDS - {"private_key"}) & (self.stored or {}).keys())
        return [
            name
            for name in dict.fromkeys(names)
            if not (name == "client_secret" and is_without_secret(fields))
        ]

    def is_hidden(self, slot: Slot) -> bool:
        """Whether it is a secret that was not given."""
        *_, name = slot
        is_given = held_at(self.given, slot) is not None
        if slot == ("client_id",):
            # Where there is no other secret, the id is one.
            secret = self.example().get("client_secret", self.fields.get("client_secret"))
            return not is_given and secret == ""
        if slot[0] == "assertion":
            # A ready-made one is secret; what is said of another is not.
            return len(slot) == 1 and not is_given and not self.is_signed
        return not is_given and (slot[0] in SECRET_FIELDS or (len(slot) > 1 and is_secret(name)))

    @property
    def may_have_any_method(self) -> bool:
        """Whether nobody has said how the client authenticates, and there is a choice."""
        struct = NAMED_GRANTS.get(str(self.fields.get("grant_type")))
        said = {"assertion", "certificate", "client_secret", "token_endpoint_auth_method"}
        is_open = self.stored is None and not said & self.fields.keys()
        return is_open and self.entry is None and struct is not None and struct.needs_client

    @property
    def lacks_assertion(self) -> bool:
        """Whether the grant needs an assertion, and nobody has said which or to leave it out."""
        is_known = "assertion" in self.fields or ("assertion",) in [*self.unset, *self.secrets]
        return not is_known and "assertion" in self._names(self.fields)

    @property
    def lacks_files(self) -> bool:
        """Whether a certificate or its key is needed, and not there."""
        return any(
            name in OF_FILES and name not in self.fields for name in self._names(self.fields)
        )

    @property
    def needs_client_secret(self) -> bool:
        """Whether the client is said to have a secret, by the account or by its provider."""
        return str(auth_method(self.fields)).startswith("client_secret")

    def wrong(self, slot: Slot, value: Any) -> str:  # noqa: ANN401 - as it is read
        """Say what is wrong with one answer, by the program's own validation; empty for nothing."""
        name = ".".join(slot)
        entry = self.entry
        is_sent = slot == ("username",) and entry is not None and entry.user_agent == "{username}"
        if is_sent and not _EMAIL.fullmatch(value):
            return "`username` is the account's e-mail there, which is sent as User-Agent"
        told = problems_of(self._probe(**with_value(self.fields, slot, value)))
        found = [each for each in told if f"`{name}`" in each and "is missing" not in each]
        return in_one(found) if found else ""

    def refused(self, **changed: Any) -> str:  # noqa: ANN401 - any field's
        """Say why these could not be used with such changes; empty where that is not known."""
        try:
            self._admit(self._probe(**changed))
        except FormError as error:
            return str(error)
        return ""

    def _admit(self, probe: dict[str, Any]) -> None:
        if not problems_of(probe):
            self.admit(parse_credentials(json.dumps(probe)))

    def require_valid(self) -> None:
        """Look at all that is known, with something in the place of what is not.

        Raises:
            CredentialsError: It does not validate, whatever follows.
            FormError: It could not be used.
        """
        if problems := self.problems():
            raise invalid(problems)
        self._admit(self._probe())

    def problems(self) -> list[str]:
        """Tell all that is wrong with what is known, whatever follows.

        Raises:
            FormError: There is no such provider.
        """
        return [each for each in problems_of(self._probe()) if not _OF_A_PAIR.match(each)]

    def _probe(self, **changed: Any) -> dict[str, Any]:  # noqa: ANN401 - any field's
        """Complete what is known so far, so that only what is wrong looks wrong."""
        probe = {**self.fields, **changed}
        if not probe.keys() & PLACES:
            probe["token_endpoint"] = _ANYWHERE
        entry = entry_of(str(probe["provider"])) if "provider" in probe else None
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
            if name not in OF_FILES:
                probe.setdefault(name, _LATER)
        # What is stored of a secret may be what has to be corrected.
        stored: list[Slot] = [
            (name,)
            for name in (SECRET_FIELDS - {"private_key"}) & probe.keys()
            if isinstance(probe[name], str)
        ]
        stored += [
            slot
            for name in SENT
            for slot, value in leaves((name,), probe.get(name))
            if _is_kept_secret(slot, value, {})
        ]
        for slot in [*self.secrets, *stored]:
            if held_at(self.given, slot) is None and slot[0] not in changed:
                probe.update(with_value(probe, slot, _LATER))
        return _without_half_a_pair(probe)


def _without_half_a_pair(probe: dict[str, Any]) -> dict[str, Any]:
    """Leave out a certificate or a key whose other one is asked for later."""
    if all(name in probe for name in OF_FILES):
        return probe
    return {name: value for name, value in probe.items() if name not in OF_FILES}


def _is_named_by_client_id(fields: Mapping[str, Any]) -> bool:
    """Whether what KMS signs would else not say who signs it."""
    assertion = fields.get("assertion")
    if not isinstance(assertion, dict) or assertion.get("signer") == "sts":
        return False
    claims = assertion.get("claims")
    return not (isinstance(claims, dict) and "iss" in claims)


def _is_wanted(slot: Slot, _: object, held: Mapping[str, Any]) -> bool:
    return held_at(held, slot) is None


def _is_kept_secret(slot: Slot, value: object, _: Mapping[str, Any]) -> bool:
    is_template = isinstance(value, str) and value.startswith("{") and value.endswith("}")
    return isinstance(value, str) and is_secret(slot[-1]) and not is_template
