"""The paper's study on the bundled trio: its plan, its runs, and the analysis of their results."""
