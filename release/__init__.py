"""What becomes a release: wheels and sdists of both packages, the bill of materials, and a look for known holes.

Nothing is published from here. The same tree gives the same bytes, so that anybody can build what was published again.
"""
