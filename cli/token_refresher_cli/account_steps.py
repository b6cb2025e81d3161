"""The steps of `doctor` from an account's credentials to its consumer.

The order of judgement is the program's own, and so are the words: what a sweep would meet first is
told first. DNS and TLS are seen from this machine, which is not the function's; what was refused is
told from the function's own records, and nobody is asked.
"""

from __future__ import annotations

import socket
import ssl
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from msgspec import structs

from token_refresher.aws.signing import ALGORITHMS
from token_refresher.errors import CredentialsError, ExternalSecretError, SecretStoreError
from token_refresher.failures import FAILURES
from token_refresher.fixes import DENIED
from token_refresher.judgement import with_times_read
from token_refresher.leases import ABANDONED_AFTER, LeaseContent
from token_refresher.oauth.certificates import ClientCertificateError, identify
from token_refresher.oauth.errors import OAuthError
from token_refresher.policy import Reason
from token_refresher.records import LeaseEnd
from token_refresher.replication import FAILED, MISSING, behind_of
from token_refresher_cli.accounts import State
from token_refresher_cli.client_certificate import certificate_of, ending, require_in_force
from token_refresher_cli.deployment_steps import ALARMS, IDENTITY, SERVING
from token_refresher_cli.durations import say_duration, say_when
from token_refresher_cli.findings import Finding, Step, Verdict, unknown, well, wrong
from token_refresher_cli.problems import RefusedError, about, fix_for, sentence
from token_refresher_cli.proof import (
    OF_KEYS,
    authentication_of,
    found_by,
    issued_for,
    key_trouble,
    over_by_now,
    stack_trouble,
    usable_again,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from token_refresher.credentials import Credentials
    from token_refresher.model import Published
    from token_refresher.records import FailureRecord
    from token_refresher_cli.patient import Patient
    from token_refresher_cli.proof import SignedBy

_HERE: Final = "seen from this machine"
_OF_THIS_SHELL: Final = "so say the settings of this shell; with --stack the function's count"
# Of a way that ended before any response; this machine's may be another.
_ON_THE_WAY: Final = frozenset(
    {"address_not_global", "certificate_refused", "client_certificate_required", "connection_lost"}
    | {"no_connection", "proxy_refused", "timeout", "tls_too_old", "unknown_authority"}
)
_SENT_IN_VAIN: Final = frozenset({LeaseEnd.UNANSWERED, LeaseEnd.SPENT})
# What the function does with each secret, and with a token secret besides.
_READS: Final = ("DescribeSecret", "GetSecretValue")
_PUBLISHES: Final = ("CreateSecret", "PutSecretValue", "TagResource", "UntagResource")
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
# As Secrets Manager names its own key.
_AWS_MANAGED: Final = (None, "", "alias/aws/secretsmanager")
_KEYS_OF_THE_STACK: Final = {
    "credentials": "CredentialsKmsKeyArn",
    "tokens": "TokenSecretKmsKeyArn",
}


def _credentials_secret(patient: Patient) -> Finding:
    name, target, secret = patient.name, patient.target, patient.credentials_secret
    add = target.command("add", name)
    if secret is None:
        if patient.token_secret is None:
            problem = patient.connection.unknown(name).problem
            return wrong(problem.what.removesuffix("."), problem.fix, is_nowhere=True)
        return wrong(f"{target.credentials_id(name)} is gone", f"Put the credentials back: {add}")
    if secret.is_deleted:
        return _is_deleted(patient, target.credentials_id(name))
    if not patient.account.is_managed:
        return wrong(f"{target.credentials_id(name)} has no value yet", f"Add them: {add}")
    return well(f"{target.credentials_id(name)} has a value")


def _is_deleted(patient: Patient, secret_id: str) -> Finding:
    restore = patient.target.command("restore", patient.name)
    return wrong(f"{secret_id} is scheduled for deletion", f"Restore it: {restore}")


def _encryption(patient: Patient) -> Finding:
    secrets = {
        "credentials": patient.target.credentials_id(patient.name),
        "tokens": patient.target.token_id(patient.name),
    }
    said = []
    for kind, secret_id in secrets.items():
        key_id = _key_id(patient, kind, secret_id)
        if key_id in _AWS_MANAGED:
            continue
        key = patient.aws.key(key_id or "")
        if key.state != "Enabled":
            what = f"the KMS key of {secret_id} is {key.state}"
            return wrong(what, usable_again(key.state, key.arn, patient.target))
        if _is_unnamed(patient, kind, key.arn):
            return _unnamed(patient, secret_id, kind, key.arn)
        said.append(f"{secret_id} by {key.arn}")
    return well("; ".join(said) or "by the AWS managed key")


def _key_id(patient: Patient, kind: str, secret_id: str) -> str | None:
    """Name the key of a secret; of a token secret that is not there yet, the one to come."""
    if kind == "tokens" and patient.token_secret is None:
        return patient.connection.settings.token_secret_kms_key_id
    return patient.facts(secret_id).kms_key_id


def _is_unnamed(patient: Patient, kind: str, arn: str) -> bool:
    """Whether nobody has told the function's role of a key, and it shows.

    The key's own policy may allow it all the same: then the account has succeeded with it.
    """
    if patient.deployment is None or (patient.has_token_of_these and patient.failure is None):
        return False
    return patient.stack.parameters().get(_KEYS_OF_THE_STACK[kind]) != arn


def _unnamed(patient: Patient, secret_id: str, kind: str, arn: str) -> Finding:
    deploy = patient.target.deploy(f"{_KEYS_OF_THE_STACK[kind]}={arn}")
    return wrong(
        f"the KMS key of {secret_id} is none that the stack lets its function use",
        f"Let it, where the key's own policy does not, in a clone of this project: {deploy}",
    )


def _credentials(patient: Patient) -> Finding:
    try:
        credentials = patient.credentials
    except CredentialsError as error:
        correct = patient.target.command("correct", patient.name)
        return wrong(str(error), f"Correct them: {correct}")
    client = credentials.client
    grant = credentials.grant_name or "login"
    return well(f"they validate: {grant} grant at {client.host}, {authentication_of(client)}")


def _read(patient: Patient) -> Credentials | None:
    """Take the credentials; None where they may not be read, which a step before has told."""
    try:
        return patient.credentials
    except (RefusedError, SecretStoreError):
        return None


def _certificate(patient: Patient) -> Finding | None:
    """Look at the client's certificate, before anything is shown to a server."""
    if (credentials := _read(patient)) is None:
        return None
    certificate, private_key = credentials.certificate, credentials.private_key
    if certificate is None or private_key is None:
        return None
    flags = ["--certificate", "FILE", "--private-key", "FILE"]
    correct = f"Give another: {patient.target.command('correct', patient.name, flags=flags)}"
    try:
        identify(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate, private_key)
        require_in_force(credentials, now=patient.now)
    except (ClientCertificateError, CredentialsError) as error:
        return wrong(str(error).partition(": give")[0], correct)
    soon = ending(credentials, now=patient.now)
    found = certificate_of(credentials)
    until = f", until {found.ends_at:%Y-%m-%d}" if found else ""
    return well(f"{found.subject if found else 'it fits its key'}{until}{soon and f'; {soon}'}")


def _signature(patient: Patient) -> Finding | None:
    """Look whether the function could sign for the account; nothing is signed."""
    if (credentials := _read(patient)) is None:
        return None
    if (audience := issued_for(credentials)) is not None:
        return _identity_token(patient, audience)
    try:
        key = patient.connection.signing_key(credentials, patient.name)
    except CredentialsError as error:
        add = patient.target.command("add", "NAME")
        return wrong(str(error), f"Add it under another name, and remove this one: {add}")
    if key is None:
        return None
    trouble = key_trouble(patient.aws, key, patient.name, patient.target)
    if trouble is not None:
        return wrong(trouble.what, trouble.fix)
    if lacking := _may_not_sign(patient, key):
        return lacking
    said = f"the KMS key {key.alias} can sign, by {key.alg}"
    found, doubt = found_by(patient.aws, key, patient.name, patient.target)
    return well("; ".join(filter(None, (said, found, doubt))))


def _may_not_sign(patient: Patient, key: SignedBy) -> Finding | None:
    """Say why the function may not sign, as far as the stack and its role tell.

    The key's own policy may allow it all the same: then the account has succeeded with it.
    """
    if patient.deployment is None or (patient.has_token_of_these and patient.failure is None):
        return None
    parameters, credentials = patient.stack.parameters(), patient.credentials
    if trouble := stack_trouble(parameters, credentials, patient.name, patient.target):
        return wrong(trouble.what, trouble.fix)
    role, arn = patient.configuration.role, patient.aws.key(key.alias).arn
    said = {
        "kms:RequestAlias": key.alias,
        "kms:MessageType": "DIGEST",
        "kms:SigningAlgorithm": ALGORITHMS[key.alg],
    }
    try:
        denied = patient.stack.denied(role, ["kms:Sign"], arn, said)
    except RefusedError:
        # Where it may not be asked, the function's record has to do.
        return None
    if denied:
        return wrong(f"the function's role may not sign with {key.alias}", _deploying(patient))
    return None


def _identity_token(patient: Patient, audience: str) -> Finding:
    if patient.deployment is None:
        return unknown("only a stack tells its WebIdentityAudiences: give --stack")
    parameters, credentials = patient.stack.parameters(), patient.credentials
    if trouble := stack_trouble(parameters, credentials, patient.name, patient.target):
        return wrong(trouble.what, trouble.fix)
    if not patient.stack.hands_out_identity_tokens():
        enable = patient.target.aws("iam", "enable-outbound-web-identity-federation")
        return wrong("the AWS account hands out no identity tokens", f"Have it do so: {enable}")
    return well(f"AWS STS tells {audience} who runs there")


def _host(patient: Patient) -> Finding:
    credentials = patient.credentials
    try:
        patient.connection.admit(credentials, patient.name)
    except FAILURES as error:
        said, _, way_out = str(error).partition("; ")
        if patient.deployment is None:
            return unknown(f"{said}: {_OF_THIS_SHELL}")
        fix = way_out or fix_for(error.code, patient.name, patient.target)
        return wrong(said, sentence(fix))
    whose = "the function's settings" if patient.deployment else "this shell's settings"
    return well(f"{credentials.client.host} is allowed by {whose}")


def _dns(patient: Patient) -> Finding:
    url = urlsplit(patient.credentials.client.token_endpoint)
    host = url.hostname or ""
    if patient.connection.settings.token_endpoint_proxy is not None:
        return Finding(Verdict.SKIPPED, "the proxy of the settings looks names up")
    try:
        socket.getaddrinfo(host, url.port or 443, 0, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        is_unanswered = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
        said = f"no name server tells where {host} is" if is_unanswered else f"{host} is not found"
        correct = patient.target.command("correct", patient.name)
        fix = f"If this machine is not all that is wrong, correct the address: {correct}"
        return _not_reached(patient, said, "no_connection", fix)
    return well(f"{host} is found, {_HERE}")


def _tls(patient: Patient) -> Finding:
    """Shake hands, as the function does before it sends; nothing is sent."""
    # Who looks must not sign, and a handshake needs no assertion.
    client = structs.replace(patient.credentials.client, assertion=None)
    try:
        with patient.connection.endpoint().connect(client):
            return well(f"{client.host} is believed, {_HERE}")
    except OAuthError as error:
        if error.code == "host_not_allowed":
            # Those of the function have been looked at before.
            return unknown(f"not tried: {_OF_THIS_SHELL}")
        hint = patient.connection.doubt(error.code)
        said = patient.connection.trust_problem(error.code) or str(error)
        fix = _fix(patient, error.code)
        advice = f"{sentence(hint)} Else: {fix}" if hint else fix
        return _not_reached(patient, said, error.code, advice)


def _fix(patient: Patient, code: str) -> str:
    """Say what a person does about a code, but for what is being done."""
    fix = patient.connection.fix_for(code, patient.name)
    return sentence(fix.partition("; doctor ")[0])


def _not_reached(patient: Patient, said: str, code: str, fix: str) -> Finding:
    """Judge what this machine cannot reach by what the function has met."""
    failure, name = patient.failure, patient.name
    if failure is not None and failure.code in _ON_THE_WAY:
        same = "so it is for the function, which" if failure.code == code else "the function"
        known = _fix(patient, failure.code)
        if failure.code == "no_connection":
            known = f"{known} Or correct the address: {patient.target.command('correct', name)}"
        return wrong(f"{said}; {same} has recorded {failure.code}", known)
    if failure is not None:
        # Whatever it was, it is told by a later step, and it was not this.
        return unknown(f"{said}, {_HERE} alone: the function has recorded {failure.code}")
    if patient.has_token_of_these:
        return unknown(f"{said}, {_HERE} alone: the function got its last token there")
    if patient.deployment is not None and patient.configuration.is_in_vpc:
        return unknown(f"{said}, {_HERE}; the function is in a network of its own")
    return wrong(f"{said}, {_HERE}", fix)


def _client_and_grant(patient: Patient) -> Finding:
    failure = patient.failure
    if failure is not None and not _is_of_aws(failure) and not _is_of_lease(patient, failure):
        return _recorded(patient, failure, _over(patient, failure))
    if failure is None and patient.has_token_of_these and patient.account.published is not None:
        issued_at = patient.account.published.issued_at
        when = say_when(issued_at, now=patient.now) if issued_at else "before"
        return well(f"accepted {when}")
    return unknown("nobody is asked, and no response to the function is on record")


def _recorded(patient: Patient, failure: FailureRecord, fix: str = "") -> Finding:
    """Tell a failure that the function has recorded, and when it tries again."""
    again = patient.status.next_attempt_at
    when = say_when(failure.since, now=patient.now)
    times = when if failure.failures == 1 else f"{failure.failures} times, first {when}"
    said = f"{failure.code} ({failure.failure_class}), {times}"
    if again is not None:
        is_future = again > patient.now
        said += f"; tried again {say_when(again, now=patient.now) if is_future else 'next sweep'}"
    return wrong(said, fix or _fix(patient, failure.code))


def _over(patient: Patient, failure: FailureRecord) -> str:
    """Say that the key which the function has failed with is in order; empty where nobody knows.

    Whether the function may sign only a stack tells.
    """
    if failure.code not in OF_KEYS or not (patient.deployment or failure.code != "signing_denied"):
        return ""
    try:
        signature = _signature(patient)
    except RefusedError:
        return ""
    is_well = signature is not None and signature.verdict is Verdict.WELL
    return over_by_now(patient.name, patient.target) if is_well else ""


def _is_of_aws(failure: FailureRecord) -> bool:
    """Whether a code is an AWS API's: ours, and RFC 6749's, begin with a small letter."""
    return failure.code[:1].isupper()


def _is_of_lease(patient: Patient, failure: FailureRecord) -> bool:
    return failure.code.startswith("refresh_token_") or _is_sent_in_vain(patient)


def _is_sent_in_vain(patient: Patient) -> bool:
    """Whether the account has nothing but a refresh token of which nobody knows what it became."""
    is_in_vain = patient.account.lease_end in _SENT_IN_VAIN
    return is_in_vain and patient.credentials.is_refresh_only


def _lease(patient: Patient) -> Finding:
    account, failure = patient.account, patient.failure
    if account.lease is None:
        return well("no refresh token was ever leased")
    value = patient.connection.store.read_version(patient.name, account.lease)
    lease = LeaseContent.from_json(value.text) if value is not None else None
    leased = f"leased {say_when(lease.time, now=patient.now)}" if lease is not None else "leased"
    if _is_sent_in_vain(patient):
        said = f"the refresh token was {leased}, and is {account.lease_end}"
        code = f"refresh_token_{account.lease_end}"
        fix = _fix(patient, code)
        if failure is not None:
            said += f": {_recorded(patient, failure).said}"
        return wrong(said, fix)
    if account.lease_end is not None or lease is None:
        return well(f"{leased}; {account.lease_end or 'not to be read yet'}")
    journal = account.journal
    if journal is not None and journal.issued_at >= lease.time - timedelta(seconds=1):
        return well(f"{leased}, and its response was kept")
    over_at = lease.time + ABANDONED_AFTER
    if patient.now < over_at:
        return well(f"a refresh is under way, {leased}; it counts until {over_at:%H:%M} UTC")
    return well(f"{leased} by a run that was ended; the next sweep takes it up")


def _permissions(patient: Patient) -> Finding:
    failure = patient.failure
    is_denied = failure is not None and failure.code in DENIED
    # A function that may not write cannot put its failure on record either.
    is_proven = patient.has_token_of_these and patient.status.state is not State.OVERDUE
    is_unproven = failure is None and not is_proven
    is_asked = patient.deployment is not None and (is_denied or is_unproven)
    lacking = _lacking(patient) if is_asked else None
    if failure is not None and _is_of_aws(failure):
        return _recorded(patient, failure, _how_to_allow(patient, failure, lacking))
    if lacking:
        return wrong(lacking, _deploying(patient))
    return well("no call of the function that AWS refused is on record")


def _how_to_allow(patient: Patient, failure: FailureRecord, lacking: str | None) -> str:
    fix = _fix(patient, failure.code)
    if lacking:
        return f"{sentence(lacking)} {_deploying(patient)}"
    if lacking is not None and failure.code in DENIED:
        fix = (
            "The function's role has its permissions by now. If it stays, the policy of a secret "
            "or of its KMS key denies the call, or the organisation's."
        )
    if patient.deployment is None:
        return fix
    return f"{fix} Its log tells which call it was, by AWS CLI 2: {patient.log()}"


def _deploying(patient: Patient) -> str:
    deploy = patient.target.deploy()
    return f"Allow it, as the stack does, in a clone of this project: {deploy}"


def _lacking(patient: Patient) -> str | None:
    """Say which calls the policies of the function's role do not allow; empty for none.

    Returns:
        None where they may not be asked: the function's record has to do.
    """
    target = patient.target
    writes = ("PutSecretValue",) if patient.connection.settings.uses_refresh_tokens else ()
    needed = {
        target.credentials_id(patient.name): (*_READS, *writes),
        target.token_id(patient.name): (*_READS, *_PUBLISHES),
    }
    told = [_denied(patient, *each) for each in needed.items()]
    return None if None in told else next(filter(None, told), "")


def _denied(
    patient: Patient, secret_id: str, calls: Sequence[str], context: Mapping[str, str] = _NOTHING
) -> str | None:
    """Say which calls on a secret the function's role may not make; empty for none.

    Returns:
        None where its policies may not be asked.
    """
    role = patient.configuration.role
    _, partition, _, _, account, _ = role.split(":", 5)
    # The six characters that every secret's ARN ends with, whatever they are.
    name = f"secret:{secret_id}-AAAAAA"
    arn = f"arn:{partition}:secretsmanager:{patient.target.aws_region}:{account}:{name}"
    actions = [f"secretsmanager:{call}" for call in calls]
    try:
        denied = patient.stack.denied(role, actions, arn, context)
    except RefusedError:
        return None
    return f"the function's role may not {', '.join(denied)} on {secret_id}" if denied else ""


def _token(patient: Patient) -> Finding:
    account, status, now = patient.account, patient.status, patient.now
    if account.token is not None and account.token.is_deleted:
        return _is_deleted(patient, patient.target.token_id(patient.name))
    at_once = _at_once(patient)
    if account.published is None:
        return wrong("none was published yet", at_once)
    if status.needs_action:
        fix = patient.connection.fix_for(status.error or "", patient.name)
        return wrong(f"{status.error}: {_life(patient)}", sentence(fix) if fix else at_once)
    if status.expires_at is None:
        with about(patient.target.token_id(patient.name)):
            read = with_times_read(account, patient.connection.store)
        if read.is_foreign:
            error = ExternalSecretError()
            fix = fix_for(error.code, patient.name, patient.target)
            return wrong(f"{error.code}: it is none of this program's", sentence(fix))
        return _of_others(patient, read.published, at_once)
    if status.expires_at <= now:
        return wrong(_life(patient), at_once)
    if not patient.has_token_of_these and account.published.is_ours:
        again = status.next_attempt_at
        when = say_when(again, now=now) if again is not None and again > now else "next sweep"
        return well(f"{_life(patient)}; the credentials are new, and tried {when}")
    return well(f"{_life(patient)}; {_consumer(patient)}")


def _of_others(patient: Patient, published: Published | None, at_once: str) -> Finding:
    """Judge what others have put in the place of a token, by what it says of itself."""
    expires_at, now = published.expires_at if published else None, patient.now
    if expires_at is None:
        return wrong("others have put there what says no expiry, and may be no token", at_once)
    when = say_when(expires_at, now=now)
    if expires_at <= now:
        return wrong(f"others have published it, and it expired {when}", at_once)
    return well(f"others have published it, and it lives for {say_duration(expires_at - now)}")


def _at_once(patient: Patient) -> str:
    """Say what becomes of a token that is not as it should be."""
    status, now, target = patient.status, patient.now, patient.target
    if status.state is State.OVERDUE and patient.deployment is not None:
        log = f"Sweeps come, and none has put an attempt on record; the log: {patient.log()}"
        if patient.account.token is not None:
            return log
        # What a failure is put on record on could not be made.
        deploy = target.deploy("ResourceTags=KEY=VALUE")
        return (
            f"{log}\nWhere it says that CreateSecret is denied, your organisation may demand tags "
            f"on what is created; deploy with them: {deploy}"
        )
    if status.reason is Reason.BACKING_OFF or status.state is State.RATE_LIMITED:
        again = status.next_attempt_at
        when = say_when(again, now=now) if again is not None else "later"
        return f"It is {status.state}, and tried {when}: {target.command('status')}"
    return f"The next sweep asks; or at once: {target.command('refresh', patient.name)}"


def _life(patient: Patient) -> str:
    expires_at = patient.status.expires_at
    if expires_at is None:
        return "its expiry is not known"
    if expires_at <= patient.now:
        return f"it expired {say_when(expires_at, now=patient.now)}"
    return f"it lives for {say_duration(expires_at - patient.now)}"


def _consumer(patient: Patient) -> str:
    """Say whether anybody reads it; AWS tells the day."""
    read_at = patient.facts(patient.target.token_id(patient.name)).last_read_at
    return "nobody has read it" if read_at is None else f"last read on {read_at:%Y-%m-%d}"


def _replicas(patient: Patient) -> Finding | None:
    """Say which Region lacks the newest token; None where none is named."""
    token, here = patient.account.token, patient.target.aws_region
    # A function's settings do not tell which Region it is in.
    regions = [each for each in patient.connection.settings.replica_regions if each != here]
    if not regions or token is None:
        return None
    behind = behind_of(token.replicas, regions)
    if not behind:
        return well(f"the newest token is in {', '.join(regions)}")
    words = ", ".join(f"{region} ({word})" for region, word in behind.items())
    said = f"the newest token is not in {words}"
    if lacking := _may_not_copy(patient, behind):
        return wrong(f"{said}: {lacking}", _deploying(patient))
    if FAILED not in behind.values():
        return unknown(f"{said}; a Region that is missing is added after the next token")
    query = ("--secret-id", patient.target.token_id(patient.name), "--query", "ReplicationStatus")
    look = patient.target.aws("secretsmanager", "describe-secret", *query)
    return wrong(said, f"Another secret may have its name there. See why: {look}")


def _may_not_copy(patient: Patient, behind: Mapping[str, str]) -> str | None:
    """Say that the function's role may not add a Region that is missing, where that is known."""
    missing = next((region for region, word in behind.items() if word == MISSING), None)
    if missing is None or patient.deployment is None:
        return None
    context = {"secretsmanager:AddReplicaRegions": missing}
    token_id = patient.target.token_id(patient.name)
    return _denied(patient, token_id, ("ReplicateSecretToRegions",), context)


_FUNCTION, *_SWEEPS = SERVING
ACCOUNT: Final = (
    IDENTITY,
    _FUNCTION,
    Step("credentials secret", _credentials_secret),
    Step("encryption", _encryption),
    Step("credentials", _credentials),
    Step("certificate", _certificate),
    Step("signature", _signature),
    Step("host", _host),
    Step("DNS", _dns),
    Step("TLS", _tls),
    Step("client and grant", _client_and_grant),
    Step("lease", _lease),
    Step("permissions", _permissions),
    *_SWEEPS,
    ALARMS,
    Step("token", _token),
    Step("replicas", _replicas),
)
