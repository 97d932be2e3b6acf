"""Pictures: from what analysis has worked out to matplotlib figures; readable in grey, engine and protocol on each."""
