"""The paper's study on the bundled trio: what is run, how, and what was found."""
