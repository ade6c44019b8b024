"""What all cameras share, and MJPEG over HTTP: pictures, video, JPEG streams."""
