"""The whole road in one command: from sensors to a dataset that loads, with a scorecard."""
