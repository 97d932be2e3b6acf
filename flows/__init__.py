"""What runs: the two-step protocol and its relatives, campaigns, launchers."""
