"""Every public name of the product is reached by the product, and no name means two things.

What only tests call belongs into tests. Each exception has its reason; one that is no longer needed
fails as well.
"""

from __future__ import annotations

import textwrap
import tomllib
from collections.abc import Iterable, Iterator
from inspect import isfunction
from pathlib import Path

import pytest

import agentdash.client
import agentdash.worker
from agentdash.verb_table import VERBS, VerbEntry
from support.callers import Name, Product

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "agentdash" / "tui" / "tables"
SOURCES = ROOT / "controller" / "sources"
KNOWN = "known offender"

# What nothing in the product reaches: a name as `module:name`, or all of a module or package.
UNREACHED = {}
# Methods that nothing in the product calls.
UNCALLED = {
    "agentdash.worker.session:Session.when_context_fills": "agents call it",
    "agentdash.worker.plain:BlockingSession.is_stopping": "agents call it",
}
# Class names that are defined more than once.
SAME_CLASS_NAME = {}
# Constants and type aliases of the controller that have several values.
SAME_CONSTANT_NAME = {
    "T": "a type variable belongs to its file",
    "Amount": "a bounded count among the values; any exact number in planning",
    "Interval": "of a stored value; of a key of the fleet file, with the bounds of that key",
    "Replicas": "of a stored value; of a key of the fleet file, with the bounds of that key",
}


@pytest.fixture(scope="module")
def product() -> Product:
    return Product(ROOT, ("controller", "agentdash"))


def roots() -> list[Name]:
    """What the project's scripts call, their verbs, the tables of the console and the sources of
    metrics, which are found by their files, and what agents and their callers are built on.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    offered = [
        getattr(module, name)
        for module in (agentdash.worker, agentdash.client)
        for name in module.__all__
    ]
    return [
        *(Name(*script.split(":")) for script in project["scripts"].values()),
        *(Name(*verb.run.split(":")) for verb in every_verb(VERBS)),
        *(Name(f"agentdash.tui.tables.{file.stem}", "VIEWS") for file in TABLES.glob("[a-z]*.py")),
        *(
            Name(f"controller.sources.{file.stem}", "open_source")
            for file in SOURCES.glob("[a-z]*.py")
        ),
        *(
            Name(each.__module__, each.__name__)
            for each in offered
            if isinstance(each, type) or isfunction(each)
        ),
    ]


def every_verb(verbs: Iterable[VerbEntry]) -> Iterator[VerbEntry]:
    for verb in verbs:
        if verb.verbs:
            yield from every_verb(verb.verbs)
        else:
            yield verb


def excepted(found: set[str], exceptions: dict[str, str]) -> tuple[set[str], set[str]]:
    """What is found and not excepted, and the exceptions that nothing needs."""

    def covers(exception: str, name: str) -> bool:
        return name == exception or name.startswith((f"{exception}.", f"{exception}:"))

    left = {name for name in found if not any(covers(each, name) for each in exceptions)}
    needless = {each for each in exceptions if not any(covers(each, name) for name in found)}
    return left, needless


def test_every_public_name_is_reached_from_the_projects_scripts(product: Product) -> None:
    unreached = {str(name) for name in product.unreached(roots())}
    left, needless = excepted(unreached, UNREACHED)
    assert not left, "only tests use these: move them into tests, or remove them"
    assert not needless, "these are reached or gone: remove the exceptions"


def test_every_public_method_is_called_by_the_product(product: Product) -> None:
    uncalled, _ = excepted(product.uncalled_methods(), UNREACHED)
    left, needless = excepted(uncalled, UNCALLED)
    assert not left, "only tests call these: move them into tests, or remove them"
    assert not needless, "these are called or gone: remove the exceptions"


def test_no_class_name_means_two_things(product: Product) -> None:
    several = {name: each for name, each in product.classes_by_name().items() if len(each) > 1}
    left, needless = excepted(set(several), SAME_CLASS_NAME)
    assert not left, {name: several[name] for name in left}
    assert not needless, "these are defined once or gone: remove the exceptions"


def test_no_constant_of_the_controller_has_two_values() -> None:
    values = Product(ROOT, ("controller",)).values_by_name()
    several = {name: each for name, each in values.items() if len(each) > 1}
    left, needless = excepted(set(several), SAME_CONSTANT_NAME)
    assert not left, {name: dict(several[name]) for name in left}
    assert not needless, "these have one value or are gone: remove the exceptions"


PLANTED = {
    "shop/__init__.py": "from shop.goods import sold, unsold\n",
    "shop/__main__.py": "from shop import till\ntill.open_till()\n",
    "shop/till.py": """
        from shop import sold
        import shop.goods as wares

        LIMIT = 3

        def open_till():
            from shop.late import needed as found
            return [sold(), wares.Listed(LIMIT).shown(), found]

        def shut_till():
            return forgotten_too()

        def forgotten_too():
            return wares.PRICE
    """,
    "shop/goods.py": """
        import textual

        PRICE = 1
        LIMIT = 4

        def sold(): ...
        def unsold(): ...

        class Listed:
            def shown(self): ...
            def hidden(self): ...
            def passed_on(self): return self.inner.passed_on()

        class View(textual.App):
            def compose(self): ...
    """,
    "shop/late.py": "needed: int = 1\n_private = 2\nclass Listed(tuple): ...\n",
}


@pytest.fixture
def shop(tmp_path: Path) -> Product:
    for name, text in PLANTED.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(text), "utf-8")
    return Product(tmp_path, ("shop",))


def test_what_only_the_forgotten_refer_to_is_forgotten(shop: Product) -> None:
    assert {str(name) for name in shop.unreached([])} == {
        "shop.till:shut_till",
        "shop.till:forgotten_too",
        "shop.goods:PRICE",
        "shop.goods:LIMIT",
        "shop.goods:unsold",
        "shop.goods:View",
        "shop.late:Listed",
    }


def test_roots_lead_further(shop: Product) -> None:
    unreached = shop.unreached([Name("shop.till", "shut_till")])
    assert not {"shut_till", "forgotten_too", "PRICE"} & {each.name for each in unreached}


def test_methods_that_a_library_calls_are_left_out(shop: Product) -> None:
    assert shop.uncalled_methods() == {"shop.goods:Listed.hidden", "shop.goods:Listed.passed_on"}


def test_names_with_two_meanings_are_found(shop: Product) -> None:
    assert shop.classes_by_name()["Listed"] == ["shop.goods", "shop.late"]
    assert dict(shop.values_by_name()["LIMIT"]) == {"3": ["shop.till"], "4": ["shop.goods"]}
