"""How every main starts and ends: one clear line and exit code 2 for bad input.

absl ends with 1 on a bad flag. Here a bad flag, a damaged file or another run's folder ends with 2
and one line; SIGINT with 130 and SIGTERM with 75, after the state is saved.
"""

import math
import shutil
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import jax
from absl import app, flags, logging
from rich.console import Console

from experiments import compile_cache, help
from wfm_jax.results.manifest import RunFolderError
from wfm_jax.results.plan import Plan, print_plan
from wfm_jax.train.interrupt import Stopped

flags.adopt_module_key_flags(compile_cache)


class _Several(flags.Flag):
    """A text that may be given more than once: its value is the last one, ``given`` are all."""

    given: tuple[str, ...] = ()

    def parse(self, argument: Any) -> None:
        self.given = (*self.given, argument) if self.present else (argument,)
        super().parse(argument)


_WORKDIR = _Several(
    flags.ArgumentParser(), None, "workdir", None, "Folder of the run; made if it is not there."
)
WORKDIR = flags.DEFINE_flag(_WORKDIR, required=True)
OVERWRITE = flags.DEFINE_bool(
    "overwrite", False, "Move a run that is there aside first; nothing is deleted."
)
DRY_RUN = flags.DEFINE_bool(
    "dry_run", False, "Print what would be done and what it would cost; nothing is written."
)


def parse(argv: Sequence[str], module: ModuleType | None = None) -> list[str]:
    """Parses flags; a bad one is a line on stderr and exit code 2.

    Args:
        argv: the program's name and its arguments.
        module: the main, whose help --help prints.
    """
    if module is not None and set(help.ASKED) & set(argv[1:]):
        print(help.help_text(module, shutil.get_terminal_size((help.WIDEST, 24)).columns), end="")
        sys.exit(0)
    try:
        rest = flags.FLAGS(list(argv), known_only=False)
        _check_numbers()
    except SystemExit:  # --helpfull has been printed; absl ends it with 1
        sys.exit(0)
    except ValueError as error:  # what absl reads beside flags
        refuse(f"--flagfile: a text file is needed ({error})")
    except (flags.Error, OSError) as error:
        refuse(error)
    if len(rest) > 1:
        refuse(f"unexpected argument {rest[1]!r}: everything is a --flag")
    return rest


def workdirs() -> list[str]:
    """Every ``--workdir`` that was given, each once, in order; ``WORKDIR`` is the last one."""
    return list(dict.fromkeys(_WORKDIR.given if _WORKDIR.present else [WORKDIR.value]))


def flag_values(*modules: ModuleType) -> dict[str, Any]:
    """Names and values of all flags that the modules define."""
    return {
        flag.name: flag.value
        for module in modules
        for flag in flags.FLAGS.get_flags_for_module(module.__name__)
    }


def refuse(error: object, longest: int = 360) -> None:
    """Says what was wrong in one line and ends the process with 2.

    Args:
        error: what was wrong.
        longest: characters of the line; what is longer is cut in the middle.
    """
    program = sys.argv[0].rsplit("/", 1)[-1].removesuffix(".py")
    line = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode()
        for c in " ".join(str(error).split())
    )
    if len(line) > longest:
        line = f"{line[: longest // 2]} ... {line[-longest // 2 + 5 :]}"
    print(f"{program}: {line}", file=sys.stderr)
    sys.exit(2)


def _print(plan: Callable[[], Plan] | None) -> None:
    """Prints a plan; what is timed for it is compiled anew, and kept nowhere."""
    if plan is None:
        raise ValueError("--dry_run: this program has no plan to print")
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        told = plan()
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
    print_plan(told, Console(width=None if sys.stdout.isatty() else 100))


def _check_numbers() -> None:
    """No flag takes nan, none with bounds takes inf, and whole numbers have at most 32 bits."""
    for name in flags.FLAGS:
        flag = flags.FLAGS[name]
        bounds = (getattr(flag.parser, f"{end}_bound", None) for end in ("lower", "upper"))
        bounded = any(bound is not None for bound in bounds)
        if isinstance(flag.value, float) and not math.isfinite(flag.value):
            if bounded or math.isnan(flag.value):
                raise flags.ValidationError(f"--{name}={flag.value}: a finite number is needed")
        elif isinstance(flag.value, int) and not -(2**31) <= flag.value < 2**31:
            raise flags.ValidationError(
                f"--{name}={flag.value}: a number from {-(2**31)} to {2**31 - 1} is needed"
            )


def launch(main: Callable[[], None], plan: Callable[[], Plan] | None = None) -> None:
    """Runs ``main`` with flags parsed; ValueError, OSError and Stopped become exit codes.

    Args:
        main: does it.
        plan: what it would do; --dry_run prints that instead.
    """

    def guarded(_: Sequence[str]) -> None:
        logging.set_verbosity(logging.WARNING)
        try:
            if DRY_RUN.value:
                _print(plan)
                return
            compile_cache.use()
            main()
        except Stopped as stopped:
            print(stopped, file=sys.stderr)
            sys.exit(stopped.exit_code)
        except RunFolderError as error:  # it names every flag that differs
            refuse(error, longest=4000)
        except (ValueError, OSError, flags.Error) as error:
            refuse(error)

    module = sys.modules[main.__module__]
    app.run(guarded, flags_parser=lambda argv: parse(argv, module))
