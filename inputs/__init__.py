"""What goes into a calculation: charge states, hosts, orderings, protocols, input sets."""
