"""Records of charged calls that are written before the calls are sent."""
