"""The proof that the budget holds under overload, one command per part (README.md beside this file)."""
