"""The tests, as a package: they import their helpers from `tests.support`, and no installed `tests` shadows ours."""
