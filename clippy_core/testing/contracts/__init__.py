"""What every plugin of a kind must do, as classes of tests: subclass one, say how your plugin is made, run pytest.

Each check is a method ``test_...`` whose first line says what it proves.  They use the real host, a fake provider in
process and virtual time; a suite takes a few seconds for one plugin.
"""
