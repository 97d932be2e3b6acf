"""Published numbers that scores are held against."""
