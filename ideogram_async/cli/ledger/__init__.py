"""Commands of `ideogram-async ledger`."""
