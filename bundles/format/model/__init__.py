"""What a bundle is: manifest, signature, paths, limits, canonical JSON, digests, errors."""
