"""Download of images: streamed, verified, stored atomically."""
