"""The names under which a price list may know what OpenClaw calls a provider and a model.

Upstream: ``names.toml``.
Downstream: ``producers.contracts.pricing.book``.
Guarantee: pure; the name as it came is always tried first, so that a list's own entry beats every alias.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field


class ModelAlias(BaseModel):
    """A name of OpenClaw's for a model that the list has under another."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: str
    name: str
    is_: str = Field(alias="is")


class _Rewrite(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: str
    match: re.Pattern[str]
    to: str


class _PassThrough(BaseModel):
    providers: frozenset[str]


class _Local(BaseModel):
    providers: frozenset[str]
    not_ending: tuple[str, ...]


class Names(BaseModel):
    """The tables of ``names.toml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: dict[str, str]
    pass_through: _PassThrough
    maker: dict[str, str]
    local: _Local
    free: dict[str, str]
    model: tuple[ModelAlias, ...]
    rewrite: tuple[_Rewrite, ...]


NAMES: Final = Names.model_validate(tomllib.loads((Path(__file__).parent / "names.toml").read_text()))


def is_local(provider: str, model: str) -> bool:
    """Tell whether a model runs on a machine of one's own, where a token costs nothing."""
    return provider.lower() in NAMES.local.providers and not model.lower().endswith(NAMES.local.not_ending)


def is_free(provider: str, model: str) -> bool:
    """Tell whether the provider says by the model's name that it makes no charge."""
    suffix = NAMES.free.get(provider.lower())
    return suffix is not None and model.lower().endswith(suffix)


def listed_provider(provider: str) -> str:
    """Return the list's name of a provider."""
    name = provider.lower().strip()
    return NAMES.provider.get(name, name)


def listed_names(provider: str, model: str) -> Iterator[tuple[str, str]]:
    """Yield (provider, model) as a list may name them, the likeliest first; all in small letters."""
    listed, name = listed_provider(provider), model.lower().strip()
    if listed in NAMES.pass_through.providers:
        maker, slash, rest = name.partition("/")
        if slash:
            listed, name = listed_provider(maker), rest
        else:
            listed = next((owner for start, owner in NAMES.maker.items() if name.startswith(start)), listed)
    yield listed, name
    for alias in NAMES.model:
        if (alias.provider, alias.name) == (listed, name):
            yield listed, alias.is_
    for rewrite in NAMES.rewrite:
        if rewrite.provider not in ("*", listed):
            continue
        shorter = rewrite.match.sub(rewrite.to, name)
        if shorter and shorter != name:
            name = shorter
            yield listed, name
