"""What any released version left in Secrets Manager is read, and acted on as that version did.

`stored_forms.py` says how the forms are recorded, and docs/releasing.md when.
"""

from __future__ import annotations

from typing import Final

import pytest

from tests.scenarios.stored_forms import (
    Form,
    must_be_shown,
    recorded,
    shows,
)
from token_refresher import records
from token_refresher.journal import JournalEntry
from token_refresher.leases import LeaseContent, lease_id
from token_refresher.model import PublishedToken, TokenVersion
from token_refresher.ports import CURRENT, JOURNAL_STAGE, LEASE_PREFIX, LEASE_STAGE

FORMS: Final = recorded()
EACH: Final = pytest.mark.parametrize(
    "form",
    [
        pytest.param(form, id=f"{version}: {form.story}: {form.account}: {number}")
        for number, (version, form) in enumerate(FORMS)
    ],
)


@EACH
def test_what_was_left_is_acted_on_as_the_version_did_that_left_it(form: Form) -> None:
    assert form.played() == form.then


@EACH
def test_every_version_and_tag_of_ours_reads_as_ours(form: Form) -> None:
    for secret, stage in ((form.credentials, JOURNAL_STAGE), (form.token, CURRENT)):
        for version in secret.versions if secret else []:
            if stage in version.stages and version.version_id[:1].isdigit():
                assert (
                    str(TokenVersion.parse(version.version_id, now=form.now)) == version.version_id
                )
    for version in form.credentials.versions if form.credentials else []:
        if version.version_id.startswith(LEASE_PREFIX):
            assert LeaseContent.from_json(version.text) is not None
        if JOURNAL_STAGE in version.stages:
            assert JournalEntry.from_json(version.text) is not None
        if LEASE_STAGE in version.stages:
            assert len(version.version_id) == len(lease_id("any", 1))
    for key, text in (form.token.tags if form.token else {}).items():
        assert reads(key, text), key


def reads(key: str, text: str) -> bool:
    """Whether a tag is read; an unknown one is not."""
    match key:
        case records.FAILURE_TAG:
            return records.FailureRecord.from_tag(text) is not None
        case records.REFUSALS_TAG:
            return records.Refusals.from_tag(text) is not None
        case records.LEASE_TAG:
            return records.lease_end(text, text.rpartition("/")[0]) is not None
        case records.GRANT_EXPIRES_AT_TAG | records.CERTIFICATE_EXPIRES_AT_TAG:
            return records.GrantLifetime.from_tag(text) is not None
    return key == records.REFUSED_RESPONSE_TAG and len(text) == 59


@EACH
def test_a_published_token_of_an_earlier_version_has_what_consumers_read(form: Form) -> None:
    credentials = form.credentials.versions if form.credentials else []
    is_standard = not any('"publish"' in (each.text or "") for each in credentials)
    for version in form.token.versions if form.token else []:
        if version.version_id[:1] == "2" and is_standard:
            token = PublishedToken.from_json(version.text)
            assert token is not None
            assert token.expires_at > token.issued_at


def test_the_forms_of_all_versions_show_all_that_the_program_of_today_stores_and_reads() -> None:
    """What is new is recorded for the next release: make stored-forms."""
    assert "1.0.0" in {version for version, _ in FORMS}
    shown = {each for _, form in FORMS for each in shows(form)}
    assert must_be_shown() - shown == set()


def test_each_form_shows_what_no_other_of_its_version_shows_before_it() -> None:
    for version in {each for each, _ in FORMS}:
        known: set[str] = set()
        for form in (form for each, form in FORMS if each == version):
            assert shows(form) - known, form.story
            known |= shows(form)
