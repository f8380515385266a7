"""The log agent for Fluentd and Fluent Bit: follows log files and forwards every line."""

__version__ = "0.1.0"
