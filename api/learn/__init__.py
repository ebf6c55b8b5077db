"""Learns from what runs cost: skills for agents, made of TraceCards."""
