"""Passwords of stores, kept out of messages: a MongoDB URI or a store's YAML may hold them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote_plus, unquote_plus

HIDDEN = "***"

# Greedy up to the last @ of the authority: a password may hold an unescaped @.
_CREDENTIALS = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)(?P<user>[^\s:/@]*):(?P<password>[^\s]*)@")
_DRIVER_DETAIL = re.compile(r" \(configured timeouts: [^)]*\)|, Timeout: [\d.]+s, Topology Description: .*")
_TO_ESCAPE = frozenset(":/?#[]@")
_SECRET_FIELDS = re.compile(r"passw|secret|token|passphrase|private_key|access_key", re.IGNORECASE)


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """Text without the passwords of URIs in it, nor any of the given secrets."""
    shown = _CREDENTIALS.sub(rf"\g<scheme>\g<user>:{HIDDEN}@", text)
    for secret in sorted(secrets, key=len, reverse=True):
        shown = shown.replace(secret, HIDDEN)
    return shown


def database_words(error: Exception | str, secrets: Iterable[str] = ()) -> str:
    """What a database's driver says, in one line without passwords and without the state that pymongo adds."""
    text = " ".join(str(error).split()) or type(error).__name__
    return redacted(_DRIVER_DETAIL.sub("", text), secrets)


def redacted_spec(spec: Any) -> Any:
    """A store's monty dict with every password replaced."""
    if isinstance(spec, Mapping):
        return {
            name: HIDDEN if value and _SECRET_FIELDS.search(str(name)) else redacted_spec(value)
            for name, value in spec.items()
        }
    if isinstance(spec, list | tuple):
        return [redacted_spec(value) for value in spec]
    return redacted(spec) if isinstance(spec, str) else spec


def secrets_of(spec: Any) -> set[str]:
    """Every password in a store's monty dict, as written and as a URI escapes it."""
    found = set(_secrets(spec))
    return found | {quote_plus(s) for s in found} | {unquote_plus(s) for s in found}


def check_uris(spec: Any) -> None:
    """Refuse URIs whose password holds characters that must be escaped: what reads them would print parts of it.

    Raises
    ------
    ValueError
        Without the password.
    """
    for text in _strings(spec):
        if any(set(match["password"]) & _TO_ESCAPE for match in _CREDENTIALS.finditer(text)):
            raise ValueError(
                f"the password in {redacted(text)} holds one of {' '.join(sorted(_TO_ESCAPE))}: "
                "escape it with urllib.parse.quote_plus"
            )


def _strings(spec: Any) -> Iterator[str]:
    if isinstance(spec, Mapping):
        for value in spec.values():
            yield from _strings(value)
    elif isinstance(spec, list | tuple):
        for value in spec:
            yield from _strings(value)
    elif isinstance(spec, str):
        yield spec


def _secrets(spec: Any) -> Iterator[str]:
    if isinstance(spec, Mapping):
        for name, value in spec.items():
            if isinstance(value, str) and value and _SECRET_FIELDS.search(str(name)):
                yield value
            else:
                yield from _secrets(value)
    elif isinstance(spec, list | tuple):
        for value in spec:
            yield from _secrets(value)
    elif isinstance(spec, str):
        yield from (match["password"] for match in _CREDENTIALS.finditer(spec) if match["password"])
