"""Keeping credentials out of what is printed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

HIDDEN = "***"

_SCHEME = re.compile(r"^[\w+.-]*://")
_LOGIN = re.compile(r"(mongodb(?:\+srv)?://)[^\s'\"]*@", re.IGNORECASE)
_PARAMETER = re.compile(
    r"\b(authMechanismProperties|tlsCertificateKeyFilePassword|proxyPassword|proxyUsername"
    r"|sslCertfilePassphrase|sslPEMPassphrase)=[^&\s'\"]*",
    re.IGNORECASE,
)
_SHORTEST = 4
"""Characters of a secret that is looked for in texts.

A shorter one stands in too many of them, and what is hidden there would tell it. It is hidden
where it stands as a password: in connection strings, and as the value of a setting.
"""

_REFERENCE = re.compile(r"\$\{([^{}:]+)\}")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text without logins of connection strings, and without known secrets.

    Args:
        text: What would be printed.
        secrets: Further texts that must not appear, longest first.
    """
    text = _LOGIN.sub(rf"\1{HIDDEN}@", text)
    text = _PARAMETER.sub(rf"\1={HIDDEN}", text)
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


def hide(value: Any, secrets: Iterable[str] = ()) -> Any:
    """Return a value of dicts and lists in which every text is redacted."""
    if isinstance(value, str):
        return redact(value, secrets)
    if isinstance(value, dict):
        return {name: hide(item, secrets) for name, item in value.items()}
    if isinstance(value, list):
        return [hide(item, secrets) for item in value]
    return value


def shown(uri: str) -> str:
    """Return a connection string as it may be shown: with the user, without secrets."""
    from versioned_collection.remotes.address import redacted

    return _PARAMETER.sub(rf"\1={HIDDEN}", redacted(uri))


def references_in(uri: str) -> list[str]:
    """Return the environment variables that a connection string refers to."""
    return _REFERENCE.findall(uri)


def secrets_of(uri: str | None, password: str | None) -> list[str]:
    """Return every spelling of the password that a message could contain, longest first.

    Those that are too short to be told from other texts are left out.

    Args:
        uri: The connection string; it need not be well formed.
        password: The password that is passed beside it.
    """
    found = {password} if password else set()
    if uri and "@" in uri:
        login = _SCHEME.sub("", uri).rpartition("@")[0]
        found.add(login if len(login) >= _SHORTEST else f"//{login}@")
        stated = _REFERENCE.sub("", login.partition(":")[2])
        # What is not percent-encoded is taken apart, and errors quote the parts.
        found.update((stated, *re.split(r"[/?#@:]", stated)))
    spellings = {
        spell(secret)
        for secret in found
        if secret
        for spell in (str, quote, quote_plus, unquote, unquote_plus, _escaped, _shown)
    }
    found = {one for one in spellings if len(one) >= _SHORTEST}
    return sorted(found, key=len, reverse=True)


def _escaped(text: str) -> str:
    """Return the text as it stands inside a JSON string."""
    return json.dumps(text)[1:-1]


def _shown(text: str) -> str:
    """Return the text as it stands inside a Python string."""
    return repr(text)[1:-1]
