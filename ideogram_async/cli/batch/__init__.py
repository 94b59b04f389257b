"""Commands of `ideogram-async batch`."""
