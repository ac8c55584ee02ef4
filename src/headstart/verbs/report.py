"""`headstart report`: write a run's report again, in another language for instance."""

from __future__ import annotations

from pathlib import Path

from headstart.run import Run


def report(run: str | Path, *, lang: str | None = None) -> Path:
    """Write ``report.html`` from the files of a run folder and give its path.

    Args:
        run: a finished run folder.
        lang: ``"en"`` or ``"zh"`` (runs of ``fit`` and of ``multitask``); default: the language of the run's recipe.

    Raises:
        RunError: ``run`` is no finished run. RecipeError: a language that its report is not in.
    """
    from headstart.evaluation.report import write_report

    opened = Run(run)
    if opened.metrics.get("kind") == "multitask":
        from headstart.evaluation.multitask_report import write_multitask_report

        return write_multitask_report(opened.path, name=opened.path.name, lang=lang or "en")
    if opened.metrics.get("kind") in ("adaptation", "generalisation"):
        from headstart.errors import RecipeError, sentence
        from headstart.evaluation.adaptation_report import write_adaptation_report
        from headstart.evaluation.generalisation_report import write_generalisation_report

        if lang not in (None, "en"):
            raise RecipeError(
                sentence("the report of an adaptation is in English so far", got=f"--lang {lang}", fix="--lang en")
            )
        write = write_adaptation_report if opened.metrics["kind"] == "adaptation" else write_generalisation_report
        return write(opened.path, name=opened.path.name)
    return write_report(opened.path, lang=lang or opened.recipe.get("lang", "en"))
