"""What is kept: documents, the SQLite store, queries."""
