"""What lidars share: from packets to sweeps."""
