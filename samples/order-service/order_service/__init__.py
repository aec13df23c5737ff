"""Takes orders over HTTP and follows them until they are paid or rejected."""
