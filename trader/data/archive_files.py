"""What an OHLCVT archive holds: files `{ALTNAME}_{minutes}.csv` in a folder, in a zip at any depth, or one alone.

Kraken offers one zip of everything and one a quarter (KRAKEN.md section 10). Nothing is read here but names; a file that cannot be
used is named with its reason, the others stay usable.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from trader.domain.market import Timeframe
from trader.errors import ConfigError

NAME: Final = re.compile(r"^([A-Z0-9][A-Z0-9./-]*)_(\d+)\.csv$", re.IGNORECASE)
# None may begin with the end of a base and end with another quote: with TUSD among them XBTUSD would be XB/TUSD.
QUOTES: Final = ("USDT", "USDC", "USDQ", "USDR", "PYUSD", "RLUSD", "EURQ", "EURR", "EURC", "EUROP", "DAI", "USD1", "USD",
                 "EUR", "GBP", "CAD", "JPY", "AUD", "CHF", "AED", "DOT", "XBT", "BTC", "ETH")  # fmt: skip
COMMON: Final = {"XBT": "BTC", "XDG": "DOGE"}
BY_MINUTES: Final = {timeframe.minutes: timeframe for timeframe in Timeframe}
OTHER_MINUTES: Final = (30, 720)  # in the archive, but not stored: 15m and 4h say the same
BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFile:
    """One CSV of an archive. `container`: the zip it lies in, or None; `size` in bytes, unpacked."""

    name: str
    pair: str
    timeframe: Timeframe
    size: int
    path: Path
    container: Path | None = None

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """The bytes as a stream. Raises OSError, zipfile.BadZipFile, zlib.error or EOFError for a damaged file, while it is read."""
        if self.container is None:
            with self.path.open("rb") as file:
                yield file
            return
        with zipfile.ZipFile(self.container) as whole, whole.open(self.path.as_posix()) as member:
            yield member

    def sha256(self) -> str:
        """SHA-256 of the unpacked bytes; raises as `open` does."""
        hasher = hashlib.sha256()
        with self.open() as stream:
            while block := stream.read(BLOCK):
                hasher.update(block)
        return hasher.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The files of an archive in the order they are read, and those that cannot be used: name to reason."""

    files: tuple[ArchiveFile, ...]
    unusable: Mapping[str, str]


def contents(path: Path, names: Mapping[str, str] | None = None) -> Contents:
    """What a folder, a zip or a CSV offers, timeframe by timeframe, pairs by name, older quarters first.

    `names`: the venue's altname -> unified pair; without it a known quote asset at the end of the name decides.
    Raises ConfigError where there is no such path, or not one usable file in it.
    """
    if not path.exists():
        raise ConfigError(f"archive {path}: no such file or folder")
    found: list[ArchiveFile] = []
    unusable: dict[str, str] = {}
    for label, inside, container, size in _members(path, unusable):
        if not isinstance(named := _named(Path(label).name, names or {}), str):
            found.append(ArchiveFile(name=label, pair=named[0], timeframe=named[1], size=size, path=inside, container=container))
        else:
            unusable[label] = named
    if not found:
        reasons = "; ".join(f"{name}: {why}" for name, why in list(unusable.items())[:3])
        raise ConfigError(f"archive {path}: no file ALTNAME_MINUTES.csv that can be used" + (f" ({reasons})" if reasons else ""))
    order = list(Timeframe)
    found.sort(key=lambda file: (order.index(file.timeframe), file.pair, file.name))
    return Contents(files=tuple(found), unusable=unusable)


def _members(path: Path, unusable: dict[str, str]) -> Iterator[tuple[str, Path, Path | None, int]]:
    """(label, path, zip, size) of everything that might be a file of candles."""
    if path.is_dir():
        for inner in sorted(path.rglob("*")):
            if inner.suffix.lower() == ".zip":
                yield from _zipped(inner, inner.relative_to(path).as_posix() + "!", unusable)
            elif inner.suffix.lower() == ".csv":
                yield inner.relative_to(path).as_posix(), inner, None, inner.stat().st_size
    elif path.suffix.lower() == ".zip":
        yield from _zipped(path, "", unusable)
    else:
        yield path.name, path, None, path.stat().st_size


def _zipped(path: Path, prefix: str, unusable: dict[str, str]) -> Iterator[tuple[str, Path, Path, int]]:
    try:
        with zipfile.ZipFile(path) as whole:
            members = [info for info in whole.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError) as error:
        unusable[prefix.rstrip("!") or path.name] = f"not a whole zip file: {error}; fetch it again"
        return
    for info in members:
        if info.filename.lower().endswith(".zip"):
            unusable[prefix + info.filename] = "a zip inside a zip: unpack the outer one"
        elif "__MACOSX" not in info.filename:
            yield prefix + info.filename, Path(info.filename), path, info.file_size


def _named(name: str, names: Mapping[str, str]) -> tuple[str, Timeframe] | str:
    """(pair, timeframe) of a file name, or why it has none."""
    match = NAME.match(name)
    if match is None:
        return "not named ALTNAME_MINUTES.csv, for instance XBTEUR_15.csv"
    minutes = int(match[2])
    if minutes in OTHER_MINUTES:
        return f"{minutes} minutes are not stored; {', '.join(map(str, BY_MINUTES))} are"
    if minutes not in BY_MINUTES:
        return f"{minutes} minutes is no timeframe; {', '.join(map(str, BY_MINUTES))} are stored"
    pair = pair_of(match[1].upper(), names)
    return (pair, BY_MINUTES[minutes]) if "/" in pair else pair


def pair_of(altname: str, names: Mapping[str, str]) -> str:
    """`XBTEUR` -> BTC/EUR, by the longest quote asset that fits; a sentence without a slash where none does."""
    if altname in names:
        return names[altname]
    for quote in sorted(QUOTES, key=len, reverse=True):
        base = altname.removesuffix(quote)
        if base and base != altname:
            return f"{COMMON.get(base, base)}/{COMMON.get(quote, quote)}"
    return f"{altname!r} is no pair: it ends with none of the known quote assets {', '.join(sorted(QUOTES))}"
