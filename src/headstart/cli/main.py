"""The command line: verbs, exit codes, errors as one sentence. Nothing heavy is imported before a verb runs."""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import traceback

import typer

# Threads that wait for each other must not spin: beside another busy process a training step can take ten times as long
# (docs/decisions/0007). Read by OpenMP when torch is first imported, which happens inside a verb.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from headstart.cli import (
    adapt,
    compare,
    demo,
    doctor,
    evaluate,
    fit,
    inspect,
    multitask,
    plan,
    predict,
    pretrain,
    rank,
    report,
    sources,
    tune,
)
from headstart.cli.common import taught

HELP = """Transfer learning that chooses its source, explains its strategy and proves that it helped.

A first look:        headstart demo
Your own images:     headstart inspect flowers/     then     headstart fit flowers/
                     (flowers/ has one folder of images a class: flowers/rose/1.jpg, flowers/tulip/7.jpg ...)
Your own texts:      headstart fit reviews.csv      (a column of sentences, a column of labels; or DATA/CLASS/1.txt)
                     (squad.json, names.conll and pairs for --task translation, too)
Two domains:         headstart adapt photos/ sketches/     or     headstart adapt source.csv target.csv
What came of it:     open the report.html that fit names; headstart predict RUN photo.jpg   or   RUN "a text"

Every verb teaches itself: headstart fit --help. Exit codes: 0 done, 1 the work failed, 2 the question was wrong,
4 a score below --min.
"""

STOPPED = 130

app = typer.Typer(
    name="headstart", help=taught(HELP), no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)  # fmt: skip
for _module in (
    demo,
    inspect,
    sources,
    rank,
    plan,
    fit,
    tune,
    adapt,
    multitask,
    pretrain,
    predict,
    evaluate,
    compare,
    report,
    doctor,
):
    _module.add(app)


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    if version:
        from importlib.metadata import version as of

        print(f"headstart {of('headstart')}")
        raise typer.Exit()


def kebab(arguments: list[str]) -> list[str]:
    """`--batch_size 8` is `--batch-size 8`; what comes after a lone `--` stays as it is."""
    found, over = [], False
    for argument in arguments:
        over = over or argument == "--"
        if not over and argument.startswith("--"):
            name, equals, value = argument.partition("=")
            argument = name.replace("_", "-") + equals + value
        found.append(argument)
    return found


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; give its exit code, print errors as one sentence on standard error."""
    from headstart.errors import HeadstartError

    arguments = arguments or ["--help"]
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    try:
        code = int(app(kebab(arguments), standalone_mode=False, prog_name="headstart") or 0)
        if code == STOPPED:  # typer's own answer to Ctrl-C
            _say("stopped", _go_on(arguments))
        return code
    except HeadstartError as error:
        if os.environ.get("HEADSTART_DEBUG"):
            raise
        _say("error", str(error))
        return error.exit_code
    except typer.Exit as done:
        return done.exit_code
    except (typer.Abort, KeyboardInterrupt):
        _say("stopped", _go_on(arguments))
        return STOPPED
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # a wrong option or verb, in click's words
            _say("error", _usage(error))
            return 2
        if os.environ.get("HEADSTART_DEBUG"):
            raise
        with tempfile.NamedTemporaryFile(
            "w", suffix=".txt", prefix="headstart-error-", delete=False, encoding="utf-8"
        ) as f:
            traceback.print_exc(file=f)
        _say("error", f"{type(error).__name__}: {error} (this is a fault of Headstart; the details are in {f.name})")
        return 1


def _go_on(arguments: list[str]) -> str:
    """What to type after Ctrl-C: a run goes on where it was, anything else is asked again (its features are cached)."""
    verb = next((argument for argument in arguments if not argument.startswith("-")), "")
    if verb == "demo":
        parts = [part for argument in arguments for part in argument.split("=", 1)]
        out = "".join(f" --out {folder}" for flag, folder in itertools.pairwise(parts) if flag in ("--out", "-o"))
        return f"what was finished is kept; headstart fit --resume{out} goes on"
    if verb in ("fit", "pretrain", "multitask"):
        return "what was finished is kept; the same command with --resume goes on"
    return "nothing was left half written; the same command starts again"


def _usage(error: Exception) -> str:
    text = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "headstart"
    return f"{text.rstrip('.')}. Try: {command} --help"


def _say(kind: str, text: str) -> None:
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    start, end = ("\033[1;31m", "\033[0m") if colour and kind == "error" else ("", "")
    clear = "\r\033[K" if sys.stderr.isatty() else ""  # a line of progress may stand there
    print(f"{clear}{start}{kind}:{end} {text}", file=sys.stderr)


if __name__ == "__main__":
    main()
