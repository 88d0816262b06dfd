"""Three-way merging of documents: conflicts as values, policies, resolvers."""

from __future__ import annotations

from versioned_collection.core.merging.conflict import (
    KINDS,
    Conflict,
    ConflictKind,
    whole_document,
)
from versioned_collection.core.merging.documents import Merged, merge_documents
from versioned_collection.core.merging.paths import (
    ANY,
    ANY_STEPS,
    ElementKey,
    Path,
    Pattern,
    PatternLike,
    Step,
    TakenOut,
    path_text,
    pattern,
)
from versioned_collection.core.merging.policy import DEFAULT_POLICY, MergePolicy
from versioned_collection.core.merging.resolvers import (
    RESOLVERS,
    Exactly,
    FunctionResolver,
    MergeContext,
    Resolution,
    Resolver,
    ResolverLike,
    Side,
    resolved_value,
    resolver,
    run_resolver,
)
from versioned_collection.core.merging.settling import settle
from versioned_collection.core.merging.shown import ShownConflict
from versioned_collection.core.merging.values import (
    MISSING,
    UNRESOLVED,
    Value,
    document_value,
    keeps_id,
    python_value,
    raw_value,
)

__all__ = [
    "ANY",
    "ANY_STEPS",
    "DEFAULT_POLICY",
    "KINDS",
    "MISSING",
    "RESOLVERS",
    "UNRESOLVED",
    "Conflict",
    "ConflictKind",
    "ElementKey",
    "Exactly",
    "FunctionResolver",
    "MergeContext",
    "MergePolicy",
    "Merged",
    "Path",
    "Pattern",
    "PatternLike",
    "Resolution",
    "Resolver",
    "ResolverLike",
    "ShownConflict",
    "Side",
    "Step",
    "TakenOut",
    "Value",
    "document_value",
    "keeps_id",
    "merge_documents",
    "path_text",
    "pattern",
    "python_value",
    "raw_value",
    "resolved_value",
    "resolver",
    "run_resolver",
    "settle",
    "whole_document",
]
