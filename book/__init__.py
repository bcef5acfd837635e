"""The book: how the site is made out of the pages under docs/ and the code, and what is checked about it.

No page stands here. `reference` writes the pages that come out of the code, `navigation` puts all pages in order for
MkDocs, `inspection` looks at what was built.
"""
