"""Gallery of a batch folder: one static page that needs no network and no server.

Needs jinja2 and Pillow: `pip install "ideogram-async[cli]"`.
"""

from ideogram_async._requirements import needs_extra

with needs_extra("the gallery", "cli"):
    from ideogram_async._batch.gallery.page import write_page

__all__ = ["write_page"]
