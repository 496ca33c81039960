"""Files and folders that are read by the line and written in whole."""
