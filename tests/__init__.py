"""The tests; a regular package, since a dependency installs a package named tests too."""
