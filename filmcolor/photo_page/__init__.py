"""A page that colours photographs in the browser: the folder of files that `export-page` writes."""
