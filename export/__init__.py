"""Networks and the edit step as files for other runtimes, each verified against eager."""
