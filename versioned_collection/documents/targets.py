"""Bringing documents to a wanted state, without overwriting anybody's concurrent change.

A `Target` says from which state a document may be moved and to which. A document in any
other state was changed by another client: it is kept, or the whole verb fails, as the
caller decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bson.raw_bson import RawBSONDocument
from pymongo.client_session import ClientSession

from versioned_collection.core.document import (
    DB_POINTER,
    DocumentKey,
    document_hash,
    document_key,
    has_zero_timestamp,
    must_be_put_anew,
    needs_literal,
)
from versioned_collection.driver.server_errors import (
    DOCUMENT_TOO_LARGE,
    DOCUMENT_VALIDATION_FAILURE,
    DUPLICATE_KEY,
    OVERFLOW,
)
from versioned_collection.driver.wire import by_keys, documents, of_ids
from versioned_collection.driver.writes import (
    WriteOutcome,
    delete_statement,
    replace_statement,
    upsert_statement,
    write,
)
from versioned_collection.errors import (
    DocumentRejected,
    PermissionDenied,
    VersioningError,
    WorkingCopyChanged,
)
from versioned_collection.repository.repository import Repository

_ATTEMPTS = 5
_LARGEST_GUARDED = 15 * 1024 * 1024
_WAYS_OUT = {
    DOCUMENT_TOO_LARGE: "Make it smaller",
    OVERFLOW: "Nest its lists and documents less deeply",
    DOCUMENT_VALIDATION_FAILURE: "Change the collection's validator, or what is to be stored",
}
"""What to do, by the code of a refusal; for any other one there is the next line."""

_IN_ITS_WAY = "Remove the index or the document in its way"


class Target(NamedTuple):
    """Where a document has to go.

    Attributes:
        key: The document.
        before: SHA-256 of the state it is expected in, None for "there is none".
        raw: The wanted document, None for "there shall be none".
        after: SHA-256 of `raw`.
    """

    key: DocumentKey
    before: bytes | None
    raw: bytes | None
    after: bytes | None


_Statement = tuple[Target, RawBSONDocument]
"""Where a document has to go, and what writes or deletes it."""

Admit = Callable[[Sequence[Target]], Iterable[DocumentKey]]
"""Returns which of some documents go past the validator, although others do not."""


class _Change(NamedTuple):
    """A document on its way.

    Attributes:
        target: Where it has to go.
        present: The document that is there, None for "there is none".
        literal: Whether the wanted document has to be written as a literal.
        anew: Whether it is taken out and put in anew, instead of replaced.
    """

    target: Target
    present: bytes | None
    literal: bool
    anew: bool


class UniqueClash(VersioningError):
    """Documents have to be taken out before others, or themselves, are put in.

    A unique index refused a document while the one that blocks it had yet to move; or a
    document is too large to be replaced in one statement that also checks what was there.
    """

    code = "unique_clash"


class WorkingCopyWriter:
    """Writes targets to the collection.

    Args:
        repository: The trackers of the collection.
        check: Makes sure that the lease is still held, before each command that writes.
        keep: Keep documents that another client changed, instead of raising.
        displace: Take changed documents out before putting the new ones in, which lets
            unique values be swapped. A missing document then counts as taken out by us.
        strict: Do not bypass a validator that refuses a document.
        admit: Where it is strict, tells for which documents it is bypassed all the same. It is
            asked once the validator has refused one, and outside of the transaction.
        torn: Whether a document may be missing that had to leave before it could come back
            changed, because a process without transactions died in between.

    Attributes:
        kept: The keys of the documents that were kept.
        tried: Those of documents that were written to without a transaction, which may be among
            them: another client has changed what was written. Whoever reads it clears it.
    """

    def __init__(
        self,
        repository: Repository,
        check: Callable[[], None],
        *,
        keep: bool = False,
        displace: bool = False,
        strict: bool = False,
        admit: Admit = lambda _: (),
        torn: bool = False,
    ) -> None:
        self._repository = repository
        self._check = check
        self._keep = keep
        self.displace = displace
        self._strict = strict
        self._admit = admit
        self._torn = torn
        self._taken: set[DocumentKey] = set()
        self._bypass = False
        self._admitted: set[DocumentKey] = set()
        self._exempt: set[DocumentKey] = set()
        # the rule of a validator of that level, empty where there is none, None until it is read
        self._moderate: Mapping[str, Any] | None = None
        self.kept: list[DocumentKey] = []
        self.tried: set[DocumentKey] = set()

    def write(self, targets: Sequence[Target], session: ClientSession | None) -> None:
        """Bring documents to their targets.

        Raises:
            WorkingCopyChanged: A document is in neither of its expected states.
            UniqueClash: A unique index is in the way; try again with `displace`.
            ValidatorInTheWay: A validator is to be bypassed; try again.
            DocumentRejected: The server refuses a document.
            PermissionDenied: A validator refuses one and the user may not bypass it.
        """
        if self.displace:
            self.take_out(targets, session)
        for moves in self._portions(targets, session):
            for _ in range(_ATTEMPTS):
                expected = len(moves)
                if session is None:
                    self.tried.update(move.target.key for move in moves)
                done = self._take_out(moves, session) + self._put_in(moves, session)
                if done >= expected:
                    break
                # without a transaction, another client was faster: look again
                left = [move.target for move in moves]
                moves = [move for part in self._portions(left, session) for move in part]
        self._taken.clear()

    def take_out(self, targets: Sequence[Target], session: ClientSession | None) -> None:
        """Remove the documents that are about to change: half of a displacing write."""
        for moves in self._portions(targets, session):
            self._take_out(moves, session)

    def _portions(
        self, targets: Sequence[Target], session: ClientSession | None
    ) -> Iterator[list[_Change]]:
        repository = self._repository
        wanted = {target.key: target for target in targets}
        for portion, present in by_keys(
            repository.db, repository.name, list(wanted), session=session
        ):
            yield list(self._moves([wanted[key] for key in portion], present, session))

    def _moves(
        self,
        targets: Iterable[Target],
        present: dict[DocumentKey, bytes],
        session: ClientSession | None,
    ) -> Iterator[_Change]:
        for target in targets:
            raw = present.get(target.key)
            state = None if raw is None else document_hash(raw)
            if state == target.after:
                continue
            if state == target.before or (raw is None and self._is_ours(target)):
                yield self._change(target, raw, session)
            elif self._keep:
                self.kept.append(target.key)
            else:
                document_id = self._repository.codec.value(target.key)
                raise WorkingCopyChanged(
                    f"the document with _id {document_id!r} was changed by another "
                    "client meanwhile; everything is as before. Register or discard the "
                    "change, then try again",
                    document_id=document_id,
                )

    def _change(
        self, target: Target, present: bytes | None, session: ClientSession | None
    ) -> _Change:
        """Return how a document gets where it has to go.

        A server with an oplog refuses to replace a document whose ``_id`` is a DBPointer.
        """
        wanted = target.raw
        literal = wanted is not None and needs_literal(wanted)
        anew = self.displace or (session is not None and target.key[0] == DB_POINTER)
        if literal and not anew and present is not None and wanted is not None:
            anew = must_be_put_anew(present, wanted)
        return _Change(target, present, literal, anew)

    def _is_ours(self, target: Target) -> bool:
        """Tell whether a missing document was taken out by us, to come back changed."""
        if self.displace or target.key in self._taken:
            return True
        return self._torn and target.raw is not None and needs_literal(target.raw)

    def _take_out(self, moves: list[_Change], session: ClientSession | None) -> int:
        leaving = [
            (target, present)
            for target, present, _, anew in moves
            if present is not None and (target.raw is None or anew)
        ]
        if session is None:  # without a transaction they are gone, whatever happens next
            self._taken.update(target.key for target, _ in leaving if target.raw is not None)
        self._note_exempt([target.key for target, _ in leaving if target.raw], session)
        statements = [
            (target, delete_statement(target.key, self._guard(present, session)))
            for target, present in leaving
        ]
        return self._run("delete", statements, session)

    def _note_exempt(self, keys: list[DocumentKey], session: ClientSession | None) -> None:
        """Note which documents a validator of level ``moderate`` lets be updated to anything.

        They come back as inserts, to which the server makes no exception.
        """
        repository = self._repository
        if not (self._strict and keys):
            return
        if self._moderate is None:
            options = (repository.collection_info() or {}).get("options", {})
            is_moderate = options.get("validationLevel") == "moderate"
            self._moderate = options.get("validator", {}) if is_moderate else {}
        if not self._moderate:
            return
        filter_ = {**of_ids("_id", keys), "$nor": [self._moderate]}
        for batch in documents(
            repository.db, repository.name, filter_, projection={"_id": 1}, session=session
        ):
            self._exempt.update(map(document_key, batch))

    def _put_in(self, moves: list[_Change], session: ClientSession | None) -> int:
        replacing, inserting, special = [], [], []
        for target, present, literal, anew in moves:
            raw = target.raw
            if raw is None:
                continue
            if present is not None and not anew:
                guard = self._guard(present, session)
                if guard is not None and len(guard) + len(raw) > _LARGEST_GUARDED:
                    raise UniqueClash("old and new document do not fit into one statement")
                replacing.append((target, replace_statement(raw, guard, literal=literal)))
            elif literal and has_zero_timestamp(raw):
                special.append((target, upsert_statement(raw)))
            else:
                inserting.append((target, RawBSONDocument(raw)))
        return (
            self._run("update", replacing, session)
            + self._run("insert", inserting, session)
            + self._run("update", special, session)
        )

    def _guard(self, raw: bytes | None, session: ClientSession | None) -> bytes | None:
        """Outside of a transaction the write itself has to check what it overwrites."""
        return raw if session is None else None

    def _run(self, kind: str, statements: list[_Statement], session: ClientSession | None) -> int:
        if kind == "delete":
            return self._write(kind, statements, session)
        past: list[_Statement] = []
        judged: list[_Statement] = []
        for one in statements:
            (past if self._bypass or one[0].key in self._admitted else judged).append(one)
        return self._write(kind, judged, session) + self._write(
            kind, past, session, bypassDocumentValidation=True
        )

    def _write(
        self,
        kind: str,
        statements: Sequence[_Statement],
        session: ClientSession | None,
        **options: Any,
    ) -> int:
        if not statements:
            return 0
        repository = self._repository
        try:
            outcome = write(
                repository.db,
                kind,
                repository.name,
                [statement for _, statement in statements],
                session=session,
                check=self._check,
                **options,
            )
        except PermissionDenied as error:
            if not options:
                raise
            raise PermissionDenied(
                "the collection's validator refuses a document that has to go past it, and the "
                "user may not bypass it: grant the action bypassDocumentValidation (role dbAdmin)",
                action="bypassDocumentValidation",
                namespace=error.facts.get("namespace"),
            ) from error
        self._raise_refusal(outcome, statements)
        return outcome.matched

    def _raise_refusal(self, outcome: WriteOutcome, statements: Sequence[_Statement]) -> None:
        if not outcome.errors:
            return
        refusal = outcome.errors[0]
        code, reason = refusal["code"], refusal["errmsg"]
        if code == DUPLICATE_KEY and not self.displace:
            raise UniqueClash(str(reason))
        target, statement = statements[refusal["index"]]
        if code == DOCUMENT_VALIDATION_FAILURE and self._lets_past(
            target, [one for one, _ in statements]
        ):
            raise ValidatorInTheWay(str(reason))
        document_id = self._repository.codec.value(target.key)
        raise DocumentRejected(
            f"the server refuses the document with _id {document_id!r}: "
            f"{reason}. {_WAYS_OUT.get(code, _IN_ITS_WAY)}, then try again",
            document_id=document_id,
            reason=reason,
            server_code=code,
            statement=statement,
        )

    def _lets_past(self, refused: Target, targets: Sequence[Target]) -> bool:
        """Tell whether the next attempt bypasses the validator for a document it has refused."""
        if refused.key in self._admitted or self._bypass:
            return False
        if not self._strict:
            self._bypass = True
            return True
        self._admitted |= self._exempt.union(self._admit(targets))
        return refused.key in self._admitted


class ValidatorInTheWay(VersioningError):
    """The validator refused a document; the next attempt bypasses it."""

    code = "validator_in_the_way"
