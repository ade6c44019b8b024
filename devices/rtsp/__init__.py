"""Network cameras that speak RTSP."""
