"""What of the documentation is made from the code: the reference pages, the diagrams, and the site.

``python -m docs.sitegen pages`` writes the reference pages anew, ``python -m docs.sitegen build`` builds the site.
"""
