"""Campaigns through a queue manager: jobflow-remote or FireWorks, both with MongoDB behind them."""
