"""What is said of a number that an option does not take."""

from __future__ import annotations

import click
import pytest

from asrq_jobs.cli.numbers import Number, Whole


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        (Whole(min=1), "zork", "'zork' is not a whole number of at least 1."),
        (Whole(min=1), "0", "'0' is not a whole number of at least 1."),
        (Whole(1, 86400), "1.5", "'1.5' is not a whole number from 1 to 86400."),
        (Whole(max=3), "4", "'4' is not a whole number of at most 3."),
        (Whole(), "", "'' is not a whole number."),
        (Number(min=0.1), "0", "'0' is not a number of at least 0.1."),
        (Number(min=0), "nan", "'nan' is not a number of at least 0."),
    ],
)
def test_what_would_do_is_said(kind: click.ParamType[float], given: str, said: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        kind.convert(given, None, None)
    assert caught.value.message == said


def test_what_fits_is_a_number() -> None:
    assert (Whole(1, 3).convert("3", None, None), Number(min=0.1).convert("0.1", None, None)) == (3, 0.1)


def test_no_option_speaks_of_ranges() -> None:
    """Each option with a number has these words, those of later commands as well."""
    from asrq_jobs.cli import cli

    def types(command: click.Command) -> list[click.ParamType[object]]:
        found = [parameter.type for parameter in command.params]
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                found += types(command.get_command(context, name) or click.Command(name))
        return found

    numeric = (click.types.IntParamType, click.types.FloatParamType)
    of_numbers = [each for each in types(cli) if isinstance(each, numeric)]
    assert len(of_numbers) > 15
    assert all(isinstance(each, Whole | Number) for each in of_numbers)
