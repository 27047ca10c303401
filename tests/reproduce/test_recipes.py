import pytest

from turnout.errors import UnknownNameError
from turnout.reproduce.recipes import Recipe, recipes_for


def test_the_papers_routers_come_in_each_form() -> None:
    recipes = recipes_for(["knn", "mf", "sw"], {})
    assert [(recipe.label, recipe.paper) for recipe in recipes] == [
        ("knn", None),
        ("mf (paper preset)", "MF"),
        ("mf", "MF"),
        ("sw (paper)", "SW"),
        ("sw (paper-without-itself)", "SW"),
        ("sw (released-code)", "SW"),
    ]
    assert recipes[1].settings["dim"] == 128


def test_settings_come_on_top_of_a_recipes_own() -> None:
    paper, default = recipes_for(["mf"], {"mf": {"dim": 8}})
    assert (paper.settings["dim"], paper.settings["batch_size"]) == (8, 64)
    assert default.settings == {"dim": 8}


def test_the_report_does_not_show_where_a_checkpoint_lies(tmp_path) -> None:
    recipe = Recipe("bert", "bert", {"checkpoint": str(tmp_path / "minilm"), "n_steps": 5})
    assert recipe.shown_settings == {"checkpoint": "minilm", "n_steps": 5}


def test_any_registered_router_may_be_run() -> None:
    (recipe,) = recipes_for(["linear", "linear"], {})
    assert (recipe.label, recipe.paper, recipe.knows_models) == ("linear", None, False)
    with pytest.raises(UnknownNameError, match="Did you mean 'knn'"):
        recipes_for(["knnn"], {})


def test_who_can_be_asked_about_another_pair() -> None:
    assert [recipe.knows_models for recipe in recipes_for(["knn", "mf"], {})] == [False, True, True]
