"""The proof that the budget holds under overload: one command per part, from raw run times to retry storms."""
