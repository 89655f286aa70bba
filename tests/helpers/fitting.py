"""Options that tests give to all methods alike, of which each takes those that it has."""

from specs.config.solve_config import COMMON
from specs.methods.registry import make, options_of


def fitting(name, **options):
    """Those of the options that `solve` takes with the method called `name`."""
    known = {*options_of(name), *COMMON}
    return {option: value for option, value in options.items() if option in known}


def make_with(name, shared):
    """The method called `name` with those of the options that it has."""
    known = options_of(name)
    return make(name, **{option: value for option, value in shared.items() if option in known})
