"""Raw logs that are read as if they were sensors: KITTI, EuRoC, GoPro, packet captures."""
