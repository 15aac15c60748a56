"""The views and columns that each person keeps; nobody sees those of others."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import JSONObject
from django.http import QueryDict

from foundation.principal import Principal
from incidents import columns
from incidents.errors import ColumnUnknownError, ViewInvalidError, ViewNotFoundError
from incidents.models import SavedView
from incidents.timeline.filters import FilterForm

AS_IT_OPENS = ""  # the name of the view that holds the columns
LONGEST_NAME = 60
MOST_VIEWS = 50


def of(principal: Principal) -> list[SavedView]:
    """The views of this person, by name."""
    return list(SavedView.objects.filter(owner=principal.name).exclude(name=AS_IT_OPENS))


def rows_of(principal: Principal) -> QuerySet[SavedView, Any]:
    """All that this person keeps, each as one JSON object, for a query that reads it along."""
    kept = SavedView.objects.filter(owner=principal.name).order_by("name")
    return kept.values(row=JSONObject(name="name", query="query", columns="columns"))


def split(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Named views, and the columns that the person chose, empty for the usual ones, from the rows of `rows_of`."""
    chosen: list[str] = next((row["columns"] for row in rows if row["name"] == AS_IT_OPENS), [])
    return [row for row in rows if row["name"] != AS_IT_OPENS], tuple(chosen)


def save(principal: Principal, name: str, query: str) -> SavedView:
    """Keep a filter under a name; a view of the same name is replaced.

    Args:
        principal: whose view it is; needs `bundles.view_bundle`.
        name: 1 to 60 printable characters.
        query: the query of an incident's address, such as `?kind=alert&severity=high%2B`; what is no filter is dropped.

    Raises:
        ViewInvalidError: the name or a part of the filter is not valid, or there are too many views.
    """
    principal.require("bundles.view_bundle")
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ViewInvalidError(f"Give the view a name of 1 to {LONGEST_NAME} characters.")
    form = FilterForm(QueryDict(query.removeprefix("?")))
    if not form.is_valid():
        raise ViewInvalidError(f"This part of the filter is not valid: {', '.join(form.errors)}.")
    owned = SavedView.objects.filter(owner=principal.name)
    if owned.exclude(name=name).count() >= MOST_VIEWS:
        raise ViewInvalidError(f"You have {MOST_VIEWS} views. Delete one first.")
    kept, _ = SavedView.objects.update_or_create(
        owner=principal.name, name=name, defaults={"query": form.filter().query(kind=form.kind_of_list())}
    )
    return kept


def delete(principal: Principal, name: str) -> None:
    """Delete a view of this person.

    Raises:
        ViewNotFoundError: there is no view of this name.
    """
    principal.require("bundles.view_bundle")
    deleted, _ = SavedView.objects.filter(owner=principal.name, name=name or None).delete()
    if not deleted:
        raise ViewNotFoundError("You have no view of this name.")


def choose_columns(principal: Principal, names: list[str]) -> None:
    """Keep the columns of the list of records; none means the usual ones.

    Raises:
        ColumnUnknownError: there is no such column.
    """
    principal.require("bundles.view_bundle")
    unknown = set(names) - {column.name for column in columns.ALL}
    if unknown:
        raise ColumnUnknownError(f"There is no such column: {', '.join(sorted(unknown))[:80]}.")
    SavedView.objects.update_or_create(
        owner=principal.name, name=AS_IT_OPENS, defaults={"query": "", "columns": sorted(set(names))}
    )
