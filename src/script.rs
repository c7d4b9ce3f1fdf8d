//! Pure rendering of `templates/` into the scripts and files that the nodes get.
