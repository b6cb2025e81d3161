"""The program at authorization servers that strangers have written, as ``make servers`` runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.servers import signing
from tests.servers.report import (
    DOCUMENT,
    play_all,
    prove_all,
    rendered,
    rendered_proofs,
    with_proofs,
    with_report,
)
from tests.servers.servers import KINDS
from tests.servers.signing import PROOFS

if TYPE_CHECKING:
    from tests.servers.servers import Kind
    from tests.servers.signing import Proof, Proved
    from tests.servers.trials import Result

# A hundred trials are played before the first assertion; a function starts for each that kills.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return play_all(kind for kind in KINDS if not kind.missing)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_is_promised_comes_of_every_trial(kind: Kind, results: list[Result]) -> None:
    if kind.missing:
        pytest.skip(f"no {kind.missing} on this machine")
    played = [each for each in results if each.kind is kind]
    broken = [each for each in played if each.outcome != each.expected]

    assert [f"{each.account}, {each.trial}: {each}" for each in broken] == []
    assert {each.account for each in played} == {"refresh-only", kind.primary_grant["grant_type"]}


def test_the_document_has_what_came_of_every_trial(results: list[Result]) -> None:
    if any(kind.missing for kind in KINDS):
        pytest.skip("the document has a column of every server, and not all are on this machine")
    document = DOCUMENT.read_text("utf-8")

    assert with_report(document, rendered(results)) == document, "run make servers"


@pytest.fixture(scope="module")
def proved() -> list[Proved]:
    return prove_all(proof for proof in PROOFS if not proof.kind.missing)


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.name)
def test_what_is_promised_comes_of_every_way_to_sign(proof: Proof, proved: list[Proved]) -> None:
    if proof.kind.missing:
        pytest.skip(f"no {proof.kind.missing} on this machine")
    played = [each for each in proved if each.proof is proof]

    assert [f"{each.trial}: {each}" for each in played if not each.is_as_promised] == []
    assert len(played) == len(signing.TRIALS)


def test_the_document_has_what_came_of_every_way_to_sign(proved: list[Proved]) -> None:
    if any(proof.kind.missing for proof in PROOFS):
        pytest.skip("the document has a row of every server, and not all are on this machine")
    document = DOCUMENT.read_text("utf-8")

    assert with_proofs(document, rendered_proofs(proved)) == document, "run make servers"
