"""A result, shown: on the terminal, as Markdown, as one HTML page. Nothing here measures or judges."""
