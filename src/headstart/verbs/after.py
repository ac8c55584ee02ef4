"""What comes after training: checked before it, so that nobody waits for a refusal."""

from __future__ import annotations

from headstart.errors import RecipeError, sentence
from headstart.recipe import Recipe
from headstart.training.after import After
from headstart.training.averaging import parse_average
from headstart.training.soup import parse_soup


def check_words(plan: Recipe) -> None:
    """Refuse words that say nothing, before any work."""
    parse_average(plan.average)
    parse_soup(plan.soup)


def after_of(plan: Recipe) -> After:
    """The recipe's words as values; the ends of the line are kept where there is source data to draw it on."""
    wise = None if plan.wise == "none" else plan.wise
    return After(parse_soup(plan.soup), wise, ends=plan.source_data is not None)


def check_after(plan: Recipe, *, by_steps: bool, pretrained: bool, n_valid: int) -> None:
    """Refuse what cannot act: no source to begin from, or validation images to judge by that are not there.

    Raises:
        RecipeError: a soup or a line of weights from a random start; a greedy soup, ``wise: auto`` or a temperature after
            gradient steps without validation images.
    """
    soup = parse_soup(plan.soup)
    random = [name for name, on in (("soup", soup), ("wise", plan.wise != "none")) if on and not pretrained]
    if random:
        raise RecipeError(
            sentence(
                "weights are averaged along and between trainings from one pretrained start, and this one is random",
                where="the recipe",
                got=", ".join(random),
                fix="--average 'ema(0.99)', which needs no source",
            )
        )
    if not by_steps or n_valid:
        return
    asked = {
        "--soup 'uniform(N)'": f"soup: {soup}" if soup and soup.kind == "greedy" else "",
        "--wise 0.5": "wise: auto" if plan.wise == "auto" else "",
        "--calibrate none": f"calibrate: {plan.calibrate}" if plan.calibrate != "none" else "",
    }
    for fix, option in asked.items():
        if option:
            raise RecipeError(
                sentence(
                    "this judges by held-out images, and there are none: the data has no validation split, and none is cut off",
                    where="the recipe",
                    got=option,
                    fix=f"--valid-fraction 0.2, or {fix}",
                )
            )
