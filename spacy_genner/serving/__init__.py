"""An HTTP server for pipelines: `genner serve`."""
