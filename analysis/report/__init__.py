"""`valenceflow report`: one HTML file of a campaign or of a comparison of models, that opens without a network."""
