"""Options for all methods together, of which each method takes those that it has."""

from specs.config.solve_config import COMMON
from specs.methods.registry import make, options_of


def fitting(name, **options):
    """The options among these that the method called `name` takes in `solve`."""
    known = {*options_of(name), *COMMON}
    return {option: value for option, value in options.items() if option in known}


def make_with(name, shared):
    """The method called `name`, with the options among `shared` that it has."""
    known = options_of(name)
    return make(name, **{option: value for option, value in shared.items() if option in known})
