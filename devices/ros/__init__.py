"""ROS messages that were recorded by others."""
