"""The families of models, and what each takes: museums of one vector or of many."""

from __future__ import annotations

from hm3_jax.retrieval.exact import ExactSearch, Search
from hm3_jax.retrieval.index_format import IndexLayout
from hm3_jax.retrieval.item_museums import ItemMuseums
from hm3_jax.retrieval.item_search import ItemSearch
from hm3_jax.retrieval.museums import KnownMuseums, Museums, of_one_vector
from hm3_jax.retrieval.terms import TermSearch

FAMILIES: dict[IndexLayout, type[KnownMuseums]] = {
    family.layout: family for family in (Museums, ItemMuseums)
}
"""Museums by what an index holds of them."""


def exact_search(museums: KnownMuseums) -> Search:
    """The exact search on the processor; of many vectors, with a look at terms."""
    if isinstance(museums, ItemMuseums):
        return TermSearch(ItemSearch(museums), museums)
    return ExactSearch(of_one_vector(museums, "museums"))
