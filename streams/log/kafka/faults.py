"""aiokafka's errors and the operating system's, told as errors of the log: what, where, and what to do. Never with a
secret.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiokafka import errors

from streams.log.interface import (
    LogCorrupt,
    LogDenied,
    LogError,
    LogUnavailable,
    LogVersion,
    RecordTooLarge,
    UnknownTopic,
)

_LOGIN: Final = (errors.AuthenticationFailedError, errors.SaslAuthenticationFailed)
_MECHANISM: Final = (
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
    errors.AuthenticationMethodNotSupported,
)
_FORBIDDEN: Final = (
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
    errors.TransactionalIdAuthorizationFailed,
)
_TOO_OLD: Final = (
    errors.IncompatibleBrokerVersion,
    errors.UnsupportedVersionError,
    errors.UnrecognizedBrokerVersion,
    NotImplementedError,
)
_TOO_LARGE: Final = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
_NO_LEADER: Final = (errors.LeaderNotAvailableError, errors.NotLeaderForPartitionError)
_NO_REPLICAS: Final = (errors.NotEnoughReplicasError, errors.NotEnoughReplicasAfterAppendError)
_MEMBERS: Final = (errors.UnknownMemberIdError, errors.IllegalGenerationError, errors.RebalanceInProgressError)
_SEQUENCE: Final = (
    errors.OutOfOrderSequenceNumber,
    errors.UnknownProducerId,
    errors.InvalidProducerEpoch,
    errors.DuplicateSequenceNumber,
)

#: What a client of the cluster may raise. `NotImplementedError`: aiokafka's word for a broker that speaks only newer
#: requests than it.
FAULTS: Final = (errors.KafkaError, OSError, TimeoutError, EOFError, NotImplementedError)

_AGAIN: Final = "it is tried again; look at the brokers if it lasts"


def told(fault: BaseException, where: str, doing: str) -> LogError:
    """The error of the log that says what this fault means. One that is an error of the log already comes back as it
    is.
    """
    if isinstance(fault, LogError):
        return fault
    if isinstance(fault, ssl.SSLError):
        return _of_tls(fault, where)
    for kinds, error, what, remedy in _TOLD:
        if isinstance(fault, kinds):
            return error(f"{what} ({doing})", where, remedy)
    if isinstance(fault, OSError) and not isinstance(fault, TimeoutError):
        reason = fault.strerror or type(fault).__name__
        return LogUnavailable(
            f"the brokers cannot be reached ({doing}: {reason})",
            where,
            "check the addresses, the network and the brokers",
        )
    return LogUnavailable(f"the brokers did not do it ({doing}: {type(fault).__name__})", where, _AGAIN)


def again(error: LogError) -> LogError:
    """The same error, of its own for each caller: a shared one would gather all their tracebacks."""
    return type(error)(error.what, error.where, error.remedy)


def is_final(fault: BaseException) -> bool:
    """Whether trying again cannot help: the login, the certificate, a right or the version is not as needed."""
    return not told(fault, "", "").retriable


@contextmanager
def telling(where: str, doing: str) -> Iterator[None]:
    """Turn faults of the block into errors of the log."""
    try:
        yield
    except FAULTS as fault:
        raise told(fault, where, doing) from fault


def _of_tls(fault: ssl.SSLError, where: str) -> LogError:
    if isinstance(fault, ssl.SSLCertVerificationError):
        what = f"the brokers' certificate is not trusted ({fault.verify_message})"
        return LogDenied(
            what, where, "set kafka.ca to the authority that signed it, and use the host name that it is for"
        )
    reason = (fault.reason or type(fault).__name__).replace("_", " ").lower()
    remedy = "check that this port speaks TLS, and kafka.certificate and kafka.key if the brokers ask for them"
    return LogDenied(f"TLS with the brokers failed ({reason})", where, remedy)


_TOLD: Final[tuple[tuple[tuple[type[BaseException], ...], type[LogError], str, str], ...]] = (
    (
        _LOGIN,
        LogDenied,
        "the brokers refused the login",
        "check kafka.username, kafka.sasl and the secret that kafka.password names",
    ),
    (
        _MECHANISM,
        LogDenied,
        "the brokers do not take this kind of login",
        "check kafka.sasl and kafka.security against the listener of this port",
    ),
    (
        _FORBIDDEN,
        LogDenied,
        "the brokers do not allow it to this user",
        "give it the rights of the list in docs/kafka.md",
    ),
    (
        _TOO_OLD,
        LogVersion,
        "the brokers do not speak what is needed",
        "use Apache Kafka 2.1 or newer, or another that says so of itself",
    ),
    (
        _TOO_LARGE,
        RecordTooLarge,
        "the brokers take no record of this size",
        "raise max.message.bytes: run `zoho-gocardless topics apply`",
    ),
    (
        (errors.UnknownTopicOrPartitionError,),
        UnknownTopic,
        "no such topic or partition",
        "run `zoho-gocardless topics apply`; check topic_prefix",
    ),
    (_NO_LEADER, LogUnavailable, "the partition has no leader", _AGAIN),
    (_NO_REPLICAS, LogUnavailable, "fewer copies of the partition are in step than min.insync.replicas", _AGAIN),
    (
        _SEQUENCE,
        LogUnavailable,
        "the brokers lost the thread of this producer",
        "it is replaced; the same call may succeed now",
    ),
    (
        _MEMBERS,
        LogUnavailable,
        "the group has members in other processes, and only they may set its positions",
        "stop its workers first",
    ),
    (
        (errors.CorruptRecordException,),
        LogCorrupt,
        "bytes are not what was written",
        "look at the brokers' disks; restore, or move to a new cluster",
    ),
    (
        (errors.KafkaConnectionError, errors.NodeNotReadyError),
        LogUnavailable,
        "the brokers cannot be reached",
        "check the addresses, the network and the brokers",
    ),
    (
        (errors.RequestTimedOutError, errors.KafkaTimeoutError, TimeoutError),
        LogUnavailable,
        "the brokers did not answer in time",
        _AGAIN,
    ),
)
