"""What a state directory is for: one environment and one account, claimed at its first use and never changed."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import uuid
from dataclasses import asdict, dataclass

from trader.bootstrap.paths import Paths, write_whole
from trader.config import Settings
from trader.errors import ConfigError, CorruptError, UnwritableError

DEMO = "demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """`tag`: three characters that mark the client ids of this installation's orders, and of no other's on the account."""

    environment: str
    account: str
    tag: str


def installed(paths: Paths) -> Installation | None:
    """What the directory was claimed for; None for a demo's or an empty one. Raises CorruptError for a file that is not ours."""
    try:
        return Installation(**json.loads(paths.installed_for.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise CorruptError(f"{paths.installed_for}: not what this program wrote ({error})") from error


def environment_of(paths: Paths) -> str:
    """The environment whose state lies here."""
    found = installed(paths)
    return DEMO if found is None else found.environment


def claim(settings: Settings, paths: Paths) -> Installation:
    """Make the directory this environment's and account's. Raises ConfigError where it is another's, since books are never shared, and
    UnwritableError where the disk takes no file."""
    found, wanted = installed(paths), (settings.environment, settings.account)
    if found is None and (paths.world.exists() or paths.ledger.exists()):
        raise ConfigError(f"state_dir {paths.root}: a demo has lived there; name another directory for {settings.environment}")
    if found is None:
        found = Installation(environment=settings.environment, account=settings.account, tag=_tag(settings.account, paths))
        try:
            write_whole(paths.installed_for, asdict(found))
        except OSError as error:
            raise UnwritableError(
                f"{paths.installed_for}: {error.strerror}; nothing was started, and stops rest on the exchange"
            ) from error
    if (found.environment, found.account) != wanted:
        here = f"{found.environment} of account {found.account!r}"
        raise ConfigError(f"state_dir {paths.root} is that of {here}; name another directory for {wanted[0]} of account {wanted[1]!r}")
    return found


def holder_of(paths: Paths) -> str:
    """By what name a session of this directory takes the ledger's lease: no other directory's, as two machines may have one ledger in
    Postgres; the same after a kill, so that a restart need not wait for the lease of the dead. Raises UnwritableError."""
    if (known := _known_holder(paths)) is not None:
        return known
    name = f"{socket.gethostname()} {uuid.uuid4().hex[:12]}"
    try:
        write_whole(paths.holder, {"holder": name})
    except OSError as error:
        raise UnwritableError(f"{paths.holder}: {error.strerror}; nothing was started, and stops rest on the exchange") from error
    return name


def _known_holder(paths: Paths) -> str | None:
    """None where the file is not there or spoilt: a new name costs the next start the time of a lease, and nothing else."""
    try:
        return str(json.loads(paths.holder.read_text(encoding="utf-8"))["holder"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def must_be_demo(paths: Paths) -> None:
    """Raises ConfigError where paper or live have their state: a demo would mix its books into theirs."""
    if (found := installed(paths)) is not None:
        raise ConfigError(
            f"state_dir {paths.root} is that of {found.environment} of account {found.account!r}; name another one for a demo"
        )


def _tag(account: str, paths: Paths) -> str:
    """Differs between accounts, machines and directories."""
    text = f"{account} {uuid.getnode()} {paths.root.resolve()}"
    return base64.b32encode(hashlib.blake2b(text.encode(), digest_size=5).digest()).decode().lower()[:3]
