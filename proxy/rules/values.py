"""Values: objects that are equal where their parts are, and that nobody changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

Kind = TypeVar("Kind")


@dataclass_transform(frozen_default=True)
def value(kind: type[Kind]) -> type[Kind]:
    """As `dataclass(frozen=True, slots=True)`, for what each request makes: it takes half of the time.

    mypy sees to it that nobody changes one, where a frozen dataclass looks at each of its own first
    assignments too.
    """
    return dataclass(slots=True, unsafe_hash=True)(kind)
