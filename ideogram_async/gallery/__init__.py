"""A folder's images as one static page, that needs no network and no server.

Needs jinja2 and Pillow: `pip install "ideogram-async[cli]"`.
"""
